"""Option values in anyone's spelling: what they mean, and what is refused."""

import math
from dataclasses import fields
from typing import Any

import pytest

from poetgen.data.conditions import Conditions
from poetgen.data.vocab import Vocabulary
from poetgen.errors import UsageError
from poetgen.prosody.phonology import rhyme_groups
from poetgen.sampling.options import DEFAULT_PARTICLES, Options, OptionValues
from poetgen.sampling.prompt import NO_PROMPT, prepare_prompt
from poetgen.sampling.request import NO_CONSTRAINTS, Constraints, Request, Settings

PLAIN = ("<pad>", "<bos>", "<eos>", "<unk>", *"，。？！", *"床前明月光云")
VOCAB = Vocabulary(PLAIN)
LISTENING = Vocabulary(
    (
        *PLAIN,
        *"静夜思",
        *(f"<form:{f}>" for f in ("五绝", "七绝", "五律", "七律")),
        "<title>",
        "<author:李白>",
    )
)


def refused(**values: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        Options().updated(values)
    assert "\n" not in caught.value.why + caught.value.fix
    return caught.value


def test_nothing_asked_is_the_default_request() -> None:
    assert Options().request(VOCAB, seed=3) == Request(3)
    assert (Options().settings, Options().constraints) == (Settings(), NO_CONSTRAINTS)


def test_every_option_reaches_the_request() -> None:
    options = Options(
        prompt="牀前",
        temperature=0.5,
        top_k=9,
        top_p=0.8,
        min_p=0.1,
        seed=7,
        form="qijue",
        rhyme=True,
        rhyme_group="東",
        tones=True,
        acrostic="雲 月 明 光",
        acrostic_at="end",
        title="靜夜思",
        author="李白",
        particles=8,
        best_of=3,
        allow_copies=True,
    )
    assert options.request(LISTENING, seed=1, index=5) == Request(
        seed=7,
        index=5,
        prompt=prepare_prompt("床前", VOCAB),
        conditions=Conditions("七绝", "李白", "静夜思"),
        settings=Settings(0.5, 9, 0.8, 0.1, particles=8, best_of=3, allow_copies=True),
        constraints=Constraints("七绝", True, "东", True, "云月明光", "end"),
    )


def test_the_keys_for_keywords_are_those_of_the_options() -> None:
    assert {"prompt", *OptionValues.__annotations__} == {field.name for field in fields(Options)}


def test_an_update_changes_only_what_it_names() -> None:
    base = Options(top_p=0.5, form="五绝", rhyme=True)
    assert base.updated({"form": "七绝", "seed": 9}) == Options(
        top_p=0.5, form="七绝", rhyme=True, seed=9
    )
    assert base.updated({}) == base


def test_an_update_may_contradict_what_was_there() -> None:
    with pytest.raises(UsageError, match="soft and tones contradict"):
        Options(form="五绝", tones=True).updated({"soft": True})


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("五绝", "五绝"),
        ("五絕", "五绝"),
        ("wujue", "五绝"),
        ("qijue", "七绝"),
        ("wulv", "五律"),
        ("qilv", "七律"),
    ],
)
def test_a_form_goes_by_name_alias_and_in_either_script(name: str, form: str) -> None:
    options = Options(form=name)
    assert options.constraints == Constraints(form)
    assert options.conditions == Conditions(form)


def test_a_soft_form_is_told_and_not_imposed() -> None:
    options = Options(form="五绝", soft=True, rhyme=True)
    assert options.constraints == Constraints(rhyme=True)
    assert options.conditions == Conditions("五绝")


def test_every_rhyme_group_is_found_by_its_name() -> None:
    assert len(rhyme_groups()) == 106
    for group in rhyme_groups():
        assert Options(rhyme_group=group).constraints == Constraints(rhyme=True, rhyme_group=group)


@pytest.mark.parametrize(
    ("values", "why", "fix"),
    [
        ({"form": "绝句"}, "there is no form 绝句", "五绝 (wujue)"),
        ({"soft": True}, "soft needs a form", "七律 (qilv)"),
        ({"tones": True}, "tones needs a form", "五绝 (wujue)"),
        ({"tones": True, "soft": True, "form": "五绝"}, "soft and tones contradict", "Leave one"),
        ({"rhyme_group": "中"}, "中 is no rhyme group", "Did you mean 东 or 送?"),
        ({"rhyme_group": "一东"}, "一东 is no rhyme group", "Did you mean 东?"),
        ({"rhyme_group": "ong"}, "ong is no rhyme group", "东 冬 江"),
        ({"rhyme_group": "送", "form": "五绝"}, "送 is not a level rhyme group", "东 冬 江"),
        (
            {"acrostic": "春夏秋", "form": "五绝"},
            "the acrostic 春夏秋 has 3 characters, but 五绝 has 4 lines",
            "Give 4 characters",
        ),
        (
            {"acrostic": "春夏秋冬", "form": "五律", "soft": True},
            "the acrostic 春夏秋冬 has 4 characters, but 五律 has 8 lines",
            "Give 8 characters",
        ),
        ({"acrostic": "春，夏"}, "the acrostic 春，夏 is not all of Han characters", "春夏秋冬"),
        ({"acrostic": "abcd"}, "the acrostic abcd is not all of Han", "春夏秋冬"),
        ({"acrostic": " "}, "the acrostic   is not all of Han", "春夏秋冬"),
        ({"acrostic_at": "middle"}, "acrostic_at is 'middle'", "start or end"),
        ({"particles": 0}, "particles is 0", "from 1 to 1000"),
        ({"particles": 10**9}, "particles is 1000000000", "from 1 to 1000"),
        ({"best_of": 0}, "best-of is 0", "from 1 to 1000"),
        ({"best_of": -1, "temperature": 0}, "best-of is -1", "from 1 to 1000"),
        ({"temperature": -1}, "temperature is -1", "from 0 to 100"),
        ({"temperature": math.nan}, "temperature is nan", "from 0 to 100"),
        ({"temperature": "warm"}, "temperature is 'warm', not a number", "Give a number"),
        ({"temperature": True}, "temperature is True, not a number", "Give a number"),
        ({"temperature": None}, "temperature is None, not a number", "Give a number"),
        ({"top_k": 2.5}, "top_k is 2.5, not a whole number", "Give a whole number"),
        ({"seed": "x"}, "seed is 'x', not a whole number", "Give a whole number"),
        ({"rhyme": 1}, "rhyme is 1, not true or false", "Give true or false"),
        ({"form": None}, "form is None, not a string", "Give a string"),
        ({"prompt": 5}, "prompt is 5, not a string", "Give a string"),
        ({"promt": "床"}, "unknown key 'promt'", "Did you mean prompt?"),
        ({"rhyme-group": "东"}, "unknown key 'rhyme-group'", "mean rhyme_group?"),
        ({"x": "东"}, "unknown key 'x'", "Take one of prompt, temperature, "),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(values: dict[str, Any], why: str, fix: str) -> None:
    error = refused(**values)
    assert error.why.startswith(why)
    assert fix in error.fix
    assert error.exit_code == 2


def test_several_particles_are_for_constraints_and_for_chance() -> None:
    assert Options(form="五绝").settings.particles == DEFAULT_PARTICLES
    assert Options(rhyme=True, particles=7).settings.particles == 7
    assert Options(particles=7).settings.particles == 1
    assert Options(form="五绝", soft=True).settings.particles == 1
    greedy = Options(form="五绝", temperature=0, particles=7, best_of=3).settings
    assert (greedy.particles, greedy.best_of) == (1, 1)


def test_an_acrostics_place_alone_constrains_nothing() -> None:
    assert not Options(acrostic_at="end").constraints
    assert Options(acrostic="云").constraints


def test_a_stream_takes_one_particle() -> None:
    assert Options(form="五绝").streamed().settings.particles == 1
    assert not Options(form="五绝").can_stream
    assert Options(form="五绝", particles=1).can_stream
    assert Options(particles=1).streamed() == Options(particles=1)
    assert not Options(best_of=2).can_stream
    for several in (Options(particles=2), Options(best_of=2)):
        with pytest.raises(UsageError, match="stream"):
            several.streamed()


def test_the_line_seed_goes_before_the_callers() -> None:
    assert Options(seed=0).request(VOCAB, seed=5).seed == 0
    assert Options().request(VOCAB, seed=5).seed == 5


def test_what_the_model_cannot_be_told_is_warned_about() -> None:
    options = Options(prompt="床鹤", title="静夜思", author="李白")
    request = options.request(VOCAB, seed=1)
    assert [warning.split(":")[0] for warning in request.warnings] == [
        "not in the model's vocabulary, kept but read as unknown",
        "the model was not trained with authors",
        "the model was not trained with titles",
    ]
    known = Options(prompt="床前", title="静夜思", author="李白", form="五绝")
    assert known.request(LISTENING, seed=1).warnings == ()
    (warning,) = Options(title="静夜鹤").request(LISTENING, seed=1).warnings
    assert warning == "the model does not know 鹤 of the title: read as unknown"


def test_unknown_characters_of_an_acrostic_are_named_once() -> None:
    (warning,) = Options(acrostic="床鹤床鹤").request(VOCAB, seed=1).warnings
    assert warning.count("鹤 (U+9E64") == 1
    (warning,) = Options(prompt="鹤云", acrostic="鹤床").request(VOCAB, seed=1).warnings
    assert warning.count("鹤") == 1


def test_a_form_that_the_model_is_not_told_matters_only_if_it_is_not_imposed() -> None:
    assert Options(form="五绝").request(VOCAB, seed=1).warnings == ()
    (warning,) = Options(form="五绝", soft=True).request(VOCAB, seed=1).warnings
    assert "not trained with the form" in warning


def test_without_a_prompt_the_model_begins() -> None:
    assert Options(prompt=None).request(VOCAB, seed=1).prompt == NO_PROMPT
    with pytest.raises(UsageError, match="the prompt is empty"):
        Options(prompt="").request(VOCAB, seed=1)

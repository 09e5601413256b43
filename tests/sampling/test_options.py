"""Options: their declaration, their canonical spelling, and which values are refused."""

import inspect
import math
from dataclasses import fields
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from poetgen.data.conditions import NO_CONDITIONS, Conditions
from poetgen.errors import UsageError
from poetgen.prosody.forms import FORMS
from poetgen.prosody.grammar import FormGrammar, FreeGrammar, GrammarState
from poetgen.prosody.phonology import rhyme_groups
from poetgen.sampling.options import (
    CHOICE,
    CONDITION,
    MANY,
    MAX_PARALLEL,
    VERSE,
    Options,
    declared_options,
    field_docs,
)
from tests.prosody.verses import ALPHABET

# --- The declaration -------------------------------------------------------------------------------


def test_declared_options_are_the_fields() -> None:
    assert list(declared_options()) == [field.name for field in fields(Options)]


def test_declared_options_have_a_help_text_and_a_group() -> None:
    texts = field_docs(Options)
    assert list(texts) == list(declared_options())
    for name, option in declared_options().items():
        assert texts[name].endswith("."), name
        assert len(texts[name]) > 10, name
        assert option.group in (CHOICE, VERSE, CONDITION, MANY), name


def test_field_docs_is_short() -> None:
    assert {name: text for name, text in field_docs(Options).items() if len(text) > 160} == {}


def test_options_signature_is_readable() -> None:
    signature = str(inspect.signature(Options))
    assert signature.startswith("(prompt: str | None = None, *, temperature: float = 0.8, ")
    assert "Annotated" not in signature


def test_declared_options_have_distinct_short_flags() -> None:
    shorts = [option.short for option in declared_options().values() if option.short]
    assert sorted(shorts) == ["-f", "-n", "-s", "-t"]


def test_declared_options_per_call() -> None:
    per_call = {name for name, option in declared_options().items() if option.per_call}
    assert per_call == {"num", "unique", "batch_size"}


@pytest.mark.parametrize(
    ("name", "text", "inside", "outside"),
    [
        ("temperature", "from 0 to 100", [0, 0.5, 100], [-1e-9, 100.5, math.nan]),
        ("top_p", "above 0 to 1", [1e-9, 1], [0, 1.1, math.nan]),
        ("num", "1 or more", [1, 10**400], [0]),
    ],
)
def test_option_range(name: str, text: str, inside: list[float], outside: list[float]) -> None:
    assert declared_options()[name].range == text
    for value in inside:
        assert getattr(Options().updated({name: value}), name) == value
    for value in outside:
        with pytest.raises(UsageError) as caught:
            Options().updated({name: value})
        assert caught.value.fix == f"Expected a number {text}."


# --- Values ----------------------------------------------------------------------------------------


def test_options_default_to_no_constraints() -> None:
    options = Options()
    assert (options.temperature, options.top_k, options.top_p, options.min_p) == (0.8, 0, 1, 0)
    assert (options.prompt, options.seed, options.num, options.batch_size) == (None, None, 1, 64)
    assert (options.particles, options.best_of) == (1, 1)
    assert not options.is_constrained
    assert options.conditions == NO_CONDITIONS


def test_options_are_canonical() -> None:
    options = Options(
        form="qijue",
        rhyme_group="東",
        acrostic="雲 月 明 光",
        title="靜夜思",
        author="李 白",
    )
    assert options == Options(
        form="七绝",
        rhyme_group="东",
        acrostic="云月明光",
        title="静夜思",
        author="李白",
    )
    assert hash(options) == hash(options.updated({}))


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
def test_form_by_name_alias_and_script(name: str, form: str) -> None:
    options = Options(form=name)
    assert options.form == form
    assert options.imposed_form == FORMS[form]
    assert options.conditions == Conditions(form)


def test_soft_form_is_a_condition_only() -> None:
    options = Options(form="五绝", soft=True)
    assert options.imposed_form is None
    assert not options.is_constrained
    assert options.conditions == Conditions("五绝")
    assert Options(form="五绝", soft=True, rhyme=True).is_constrained


def test_rhyme_group_by_name_is_a_constraint() -> None:
    assert len(rhyme_groups()) == 106
    for group in rhyme_groups():
        options = Options(rhyme_group=group)
        assert (options.is_constrained, options.rhyme_group) == (True, group)
    without = Options(rhyme_group="东").updated({"rhyme_group": ""})
    assert not without.is_constrained


def test_is_constrained() -> None:
    for options in (Options(form="五绝"), Options(rhyme=True), Options(acrostic="云")):
        assert options.is_constrained
    assert not Options(acrostic_at="end").is_constrained
    assert not Options(title="静夜思", author="李白", prompt="床前").is_constrained


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0},
        {"temperature": 100},
        {"temperature": Fraction(1, 3)},
        {"temperature": np.float32(0.5)},
        {"top_k": 10**400},
        {"top_k": np.int64(3)},
        {"top_p": 1e-9},
        {"top_p": 1},
        {"min_p": 0},
        {"min_p": 1},
        {"particles": 1},
        {"particles": 1000},
        {"seed": -1},
        {"seed": 10**30},
    ],
    ids=str,
)
def test_options_accept_values_in_range(values: dict[str, Any]) -> None:
    options = Options(**values)
    assert {name: getattr(options, name) for name in values} == values


@pytest.mark.parametrize(
    ("values", "why", "fix"),
    [
        ({"form": "绝句"}, "there is no form 绝句", "五绝 (wujue)"),
        ({"soft": True}, "soft needs a form", "七律 (qilv)"),
        ({"tones": True}, "tones needs a form", "五绝 (wujue)"),
        ({"tones": True, "soft": True, "form": "五绝"}, "soft and tones contradict", "Drop one"),
        (
            {"rhyme_group": "重"},
            "重 is not a rhyme group",
            "Did you mean 冬/宋/肿? The level groups are 东 冬",
        ),
        ({"rhyme_group": "一东"}, "一东 is not a rhyme group", "Did you mean 东?"),
        ({"rhyme_group": "ong"}, "ong is not a rhyme group", "东 冬 江"),
        ({"rhyme_group": "送", "form": "五绝"}, "送 is not a level rhyme group", "东 冬 江"),
        (
            {"acrostic": "春夏秋冬雪", "form": "五绝"},
            "the acrostic 春夏秋冬雪 has 5 characters, but 五绝 has 4 lines",
            "Shorten the acrostic, or choose another form, or none",
        ),
        (
            {"acrostic": "春夏秋冬" * 3, "form": "五律", "soft": True},
            "the acrostic 春夏秋冬春夏秋冬春夏秋冬 has 12 characters, but 五律 has 8 lines",
            "Shorten the acrostic",
        ),
        (
            {"acrostic": "春，夏"},
            "the acrostic 春，夏 has characters that are not Chinese",
            "春夏秋冬",
        ),
        ({"acrostic": "abcd"}, "the acrostic abcd has characters that", "春夏秋冬"),
        ({"acrostic": " "}, "the acrostic   has characters that", "春夏秋冬"),
        ({"acrostic_at": "middle"}, "acrostic_at is 'middle'", "start or end"),
        ({"particles": None}, "particles is None, not a whole number", "Give a whole number"),
        ({"particles": 0}, "particles is 0", "from 1 to 1000"),
        ({"particles": MAX_PARALLEL + 1}, "particles is 1001", "from 1 to 1000"),
        ({"best_of": 0}, "best_of is 0", "from 1 to 1000"),
        ({"best_of": -1, "temperature": 0}, "best_of is -1", "from 1 to 1000"),
        ({"num": 0}, "num is 0", "1 or more"),
        ({"batch_size": 0}, "batch_size is 0", "1 or more"),
        ({"temperature": -1}, "temperature is -1", "from 0 to 100"),
        ({"temperature": 100.5}, "temperature is 100.5", "from 0 to 100"),
        ({"temperature": math.nan}, "temperature is nan", "from 0 to 100"),
        ({"temperature": math.inf}, "temperature is inf", "from 0 to 100"),
        ({"temperature": Fraction(201, 2)}, "temperature is 201/2", "from 0 to 100"),
        ({"temperature": np.float32(-1)}, "temperature is -1", "from 0 to 100"),
        ({"temperature": "warm"}, "temperature is 'warm', not a number", "Give a number"),
        ({"temperature": True}, "temperature is True, not a number", "Give a number"),
        ({"temperature": None}, "temperature is None, not a number", "Give a number"),
        ({"top_k": -1}, "top_k is -1", "0 or more"),
        ({"top_k": np.int64(-1)}, "top_k is -1", "0 or more"),
        ({"top_k": 2.5}, "top_k is 2.5, not a whole number", "Give a whole number"),
        ({"top_p": 0}, "top_p is 0", "above 0 to 1"),
        ({"top_p": -0.5}, "top_p is -0.5", "above 0 to 1"),
        ({"top_p": 1.1}, "top_p is 1.1", "above 0 to 1"),
        ({"top_p": math.nan}, "top_p is nan", "above 0 to 1"),
        ({"min_p": -0.1}, "min_p is -0.1", "from 0 to 1"),
        ({"min_p": 1.1}, "min_p is 1.1", "from 0 to 1"),
        ({"min_p": math.nan}, "min_p is nan", "from 0 to 1"),
        ({"seed": "x"}, "seed is 'x', not a whole number", "Give a whole number"),
        ({"rhyme": 1}, "rhyme is 1, not true or false", "Give true or false"),
        ({"form": None}, "form is None, not a string", "Give a string"),
        ({"prompt": 5}, "prompt is 5, not a string", "Give a string"),
        ({"promt": "床"}, "unknown key 'promt'", "Did you mean prompt?"),
        ({"rhyme-group": "东"}, "unknown key 'rhyme-group'", "mean rhyme_group?"),
        ({"x": "东"}, "unknown key 'x'", "Use one of prompt, temperature, "),
    ],
    ids=str,
)
def test_options_refuse(values: dict[str, Any], why: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        Options().updated(values)
    assert caught.value.why.startswith(why)
    assert fix in caught.value.fix
    assert "\n" not in caught.value.why + caught.value.fix
    assert caught.value.exit_code == 2


def test_updated_changes_only_what_it_names() -> None:
    base = Options(top_p=0.5, form="五绝", rhyme=True)
    assert base.updated({"form": "七绝", "seed": 9}) == Options(
        top_p=0.5, form="七绝", rhyme=True, seed=9
    )
    assert base.updated({}) == base


def test_updated_checks_the_whole() -> None:
    with pytest.raises(UsageError, match="soft and tones contradict"):
        Options(form="五绝", tones=True).updated({"soft": True})


# --- Derived values --------------------------------------------------------------------------------


def test_num_particles_is_1_where_weights_are_equal() -> None:
    assert Options(form="五绝").num_particles == 1
    assert Options(form="五绝", particles=4).num_particles == 4
    assert Options(rhyme=True, particles=7).num_particles == 7
    assert Options(particles=7).num_particles == 1
    assert Options(form="五绝", soft=True).num_particles == 1
    greedy = Options(form="五绝", temperature=0, particles=7, best_of=3)
    assert (greedy.num_particles, greedy.num_candidates) == (1, 1)
    assert Options(best_of=3).num_candidates == 3


@pytest.mark.parametrize(
    "values", [{}, {"form": "五绝"}, {"particles": 1, "acrostic": "床"}], ids=str
)
def test_one_poem_of_one_particle_can_be_streamed(values: dict[str, Any]) -> None:
    options = Options(**values)
    options.require_streamable()
    assert options.num_particles == options.num_candidates == options.num == 1


@pytest.mark.parametrize(
    "values",
    [{"particles": 2}, {"particles": 4, "form": "五绝"}, {"best_of": 2}, {"num": 2}],
    ids=str,
)
def test_several_poems_cannot_be_streamed(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="a stream shows one poem") as caught:
        Options(**values).require_streamable()
    assert caught.value.fix == "Drop either the stream or the other options."


def test_grammar_of_the_constraints() -> None:
    form = Options(form="五绝", acrostic="床疑举低").grammar(ALPHABET)
    assert isinstance(form, FormGrammar)
    assert form.num_lines == 4
    assert form.allowed(form.start).required == "床"
    soft = Options(form="五绝", soft=True, rhyme=True).grammar(ALPHABET)
    assert isinstance(soft, FreeGrammar)
    assert soft.num_lines is None
    shorter = Options(form="五律", acrostic="床疑举").grammar(ALPHABET)
    assert shorter.num_lines == 8
    assert shorter.allowed(shorter.start).required == "床"
    fourth = GrammarState(shorter.start.interpretations, line=3)
    assert shorter.allowed(fourth).required == ""
    at_end = Options(acrostic="床疑", acrostic_at="end").grammar(ALPHABET)
    assert at_end.num_lines == 2
    assert at_end.allowed(at_end.start).required == ""

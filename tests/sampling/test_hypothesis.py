"""Partial poems: what they read, what may follow, and which prompts their constraints refuse."""

import math
from typing import Any

import numpy as np
import pytest

from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem
from poetgen.data.vocab import BOS, EOS, PAD, UNK, Vocabulary
from poetgen.errors import ConstraintError
from poetgen.prosody.marks import MARKS
from poetgen.sampling.hypothesis import Context, Hypothesis, PoemTask, SampledToken, parse_prompt
from poetgen.sampling.masks import Mask
from tests.prosody.verses import ALPHABET, HERON_TOWER, QUIET_NIGHT
from tests.sampling.models import CONDITIONED_VOCAB, make_request, vocabulary

VOCAB = vocabulary(ALPHABET)
CONTEXT = Context(VOCAB, 40)


def started(
    prompt: str = "", *, context: Context = CONTEXT, written: str = "", **options: Any
) -> Hypothesis:
    """Return a hypothesis that has read its conditions, its prompt and `written`."""
    hypothesis = PoemTask(3, make_request(prompt, **options), context).beginning
    given = hypothesis.task.given[1:]
    for token in [*given, *context.vocab.encode(written)]:
        hypothesis.append(token, 0.0)
    return hypothesis


def refusal(prompt: str, **options: Any) -> str:
    with pytest.raises(ConstraintError) as caught:
        parse_prompt(make_request(prompt, **options), CONTEXT)
    assert caught.value.exit_code == 3
    assert caught.value.fix
    return caught.value.why


# --- PoemTask --------------------------------------------------------------------------------------


def test_poem_task_reads_conditions_bos_and_prompt() -> None:
    context, ids = Context(CONDITIONED_VOCAB, 40), CONDITIONED_VOCAB.ids
    request = make_request("床鹤", form="五绝", soft=True, title="明月")
    task = PoemTask(0, request, context)
    conditions = [ids["<form:五绝>"], ids["<title>"], ids["明"], ids["月"]]
    assert task.given == [*conditions, BOS, ids["床"], UNK]
    assert task.num_conditions == 4


def test_poem_task_limits_poems_without_a_fixed_end() -> None:
    def limit(prompt: str = "", **options: Any) -> float:
        return PoemTask(0, make_request(prompt, **options), CONTEXT).max_position

    assert limit() == 40
    assert limit("床前") == 42
    assert limit(rhyme=True) == 40
    assert limit(form="五绝") == limit(acrostic="床") == math.inf
    assert limit(form="五绝", soft=True) == 40


def test_poem_task_draws_from_the_stream_of_its_request() -> None:
    request = make_request(seed=5, index=2)
    task = PoemTask(0, request, CONTEXT)
    assert task.random.random() == request.random_stream().random()


# --- Hypothesis ------------------------------------------------------------------------------------


def test_append_returns_the_steps_of_the_poem() -> None:
    context, ids = Context(CONDITIONED_VOCAB, 40), CONDITIONED_VOCAB.ids
    request = make_request("鹤", form="五绝", soft=True)
    hypothesis = PoemTask(3, request, context).beginning
    assert hypothesis.append(BOS, 9.0) is None
    assert hypothesis.position == hypothesis.task.num_conditions
    assert hypothesis.append(UNK, 1.0) == SampledToken(3, UNK, 1.0, True, "鹤")
    assert hypothesis.append(ids["月"], 2.0) == SampledToken(3, ids["月"], 2.0, False, "月")
    assert hypothesis.append(EOS, 3.0) == SampledToken(3, EOS, 3.0, False, "")
    assert not hypothesis.is_active
    assert not hypothesis.is_dead
    assert hypothesis.append(PAD, 4.0) is None


def test_append_ends_a_poem_at_the_limit() -> None:
    context = Context(VOCAB, 2)
    assert started("床前", context=context, written="明").is_active
    assert not started("床前", context=context, written="明月").is_active
    assert started(context=context, form="五绝", written="床前明月").is_active


def test_multiply_weight_keeps_what_earlier_steps_left() -> None:
    hypothesis = started()
    hypothesis.weight = 1.0
    for share in (0.5, 0.25, 0.5):
        hypothesis.multiply_weight(share)
    assert hypothesis.weight == 0.0625


def test_forced_token_is_read_from_conditions_and_prompt() -> None:
    context, ids = Context(CONDITIONED_VOCAB, 40), CONDITIONED_VOCAB.ids
    request = make_request("鹤月", form="五绝", soft=True)
    hypothesis = PoemTask(0, request, context).beginning
    for token in (BOS, UNK, ids["月"]):
        assert hypothesis.is_in_prompt
        assert hypothesis.allowed() is None
        assert hypothesis.forced_token() == token
        hypothesis.append(token, 0.0)
    assert not hypothesis.is_in_prompt
    assert hypothesis.allowed() is not None


def test_forced_token_of_an_inactive_hypothesis_is_padding() -> None:
    dead = started(acrostic="床", written="床")
    assert dead.allowed() is not None
    dead.kill()
    assert dead.allowed() is None
    assert dead.forced_token() == PAD


def test_forced_token_of_an_unknown_character_is_unk() -> None:
    first = started(acrostic="鹤床")
    assert (first.allowed(), first.forced_token()) == (None, UNK)
    second = started(acrostic="床鹤")
    assert second.allowed() is not None
    second = started(acrostic="床鹤", written="床前明，")
    assert (second.allowed(), second.forced_token()) == (None, UNK)
    assert not second.is_in_prompt
    step = second.append(UNK, 5.0)
    assert step == SampledToken(3, UNK, 5.0, False, "鹤")
    assert second.allowed() is not None
    at_end = started(acrostic="光鹤", acrostic_at="end", written="白日依山尽白光，黄河入海流白")
    assert (at_end.allowed(), at_end.forced_token()) == (None, UNK)


def symbols(mask_V: Mask | None, vocab: Vocabulary = VOCAB) -> set[str]:
    assert mask_V is not None
    return {vocab.symbols[i] for i in np.flatnonzero(mask_V)}


def test_allowed_is_what_the_grammar_allows() -> None:
    assert symbols(started(acrostic="床疑").allowed()) == {"床"}
    assert symbols(started(written="床前明月光", form="五绝").allowed()) == set("，？！")
    assert symbols(started(written=HERON_TOWER, form="五绝").allowed()) == {"<eos>"}


def test_allowed_without_constraints_is_text_and_after_it_the_end() -> None:
    text = {*MARKS, *VOCAB.characters}
    assert symbols(started().allowed()) == text
    assert symbols(started(written="床").allowed()) == {*text, "<eos>"}
    assert symbols(started("床").allowed()) == {*text, "<eos>"}
    conditioned = started(context=Context(CONDITIONED_VOCAB, 40), form="五绝", soft=True)
    assert conditioned.position == 1
    assert "<eos>" not in symbols(conditioned.allowed(), CONDITIONED_VOCAB)


def test_open_disregards_the_constraints() -> None:
    text = {*MARKS, *VOCAB.characters}
    assert symbols(started(acrostic="床疑").open()) == text
    assert symbols(started(written="床前明月光", form="五绝").open()) == {*text, "<eos>"}


LINES = (LineBloomFilter.from_poems([Poem("床前明月光。")]),)


def is_copy(character: str, prompt: str = "", written: str = "", **options: Any) -> bool:
    context = Context(VOCAB, 40, LINES)
    hypothesis = started(prompt, context=context, written=written, **options)
    return hypothesis.is_verbatim_copy(VOCAB.ids[character])


def test_is_verbatim_copy_of_a_whole_line_only() -> None:
    assert is_copy("光", written="床前明月")
    assert is_copy("光", written="山月，床前明月")
    assert not is_copy("霜", written="床前明月")
    assert not is_copy("光", written="山床前明月")
    assert not is_copy("。", written="床前明月光")


def test_is_verbatim_copy_exempts_lines_begun_in_the_prompt() -> None:
    assert not is_copy("光", "床前", "明月")
    assert is_copy("光", "山月，", "床前明月")
    assert is_copy("光", "山月", "，床前明月")


def test_is_verbatim_copy_waits_for_the_end_of_the_line() -> None:
    assert is_copy("光", written="床前明月", form="五绝")
    assert not is_copy("光", written="床前明月", form="七绝")


def test_is_verbatim_copy_may_be_switched_off() -> None:
    assert not is_copy("光", written="床前明月", allow_copies=True)


# --- parse_prompt ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "constraints", "why"),
    [
        (
            "床前明月光，",
            {"form": "七绝"},
            "， after character 5 (光) ends a line of 5; the lines of 七绝 have 7 characters",
        ),
        (
            "床前明月光疑",
            {"form": "五绝"},
            "character 6 (疑) is too much: a line of 五绝 has 5 characters",
        ),
        (
            "床前明月光。疑是",
            {"form": "五绝"},
            "。 after character 5 (光) does not fit here: 五绝 needs one of ，？！",
        ),
        (
            HERON_TOWER + "白",
            {"form": "五绝"},
            "character 21 (白) is too much: the poem has 4 lines",
        ),
        ("，床", {"form": "五绝"}, "， after the beginning has no line before it"),
        # 疑是地上霜: 上 is oblique where 仄仄仄平平 has a level fourth position.
        (
            QUIET_NIGHT,
            {"form": "五绝", "tones": True},
            "character 9 (上) is oblique; 平 is needed here",
        ),
        # 对: after 平平 … the second line has an oblique second position.
        (
            "床前明月光，低头",
            {"form": "五绝", "tones": True},
            "character 7 (头) is level; 仄 is needed here",
        ),
        (
            "白日依山尽，黄河入海愁。欲穷千里目，更上一层霜",
            {"form": "五绝", "rhyme": True},
            "character 20 (霜) rhymes in 阳; 尤 is needed here",
        ),
        (
            "白日依山尽，黄河入海流。欲穷千里目，更上一层流",
            {"form": "五绝", "rhyme": True},
            "character 20 (流) has rhymed before",
        ),
        (
            "白日依山尽，黄河入海月",
            {"form": "五绝", "rhyme": True},
            "character 10 (月) has no level reading to rhyme by",
        ),
        (
            "白日依山尽，黄河入海流",
            {"form": "五绝", "rhyme_group": "东"},
            "character 10 (流) rhymes in 尤; 东 is needed here",
        ),
        # Line 1 ends level, so it rhymes, in the requested group.
        (
            "更上一层楼",
            {"form": "五绝", "rhyme_group": "东", "tones": True},
            "character 5 (楼) rhymes in 尤; 东 is needed here",
        ),
        ("床前", {"acrostic": "春夏秋冬"}, "character 1 (床) does not fit here: 春 is required"),
        (
            "床前明月光，疑是地上霜。举",
            {"acrostic": "床疑"},
            "character 11 (举) is too much: the poem has 2 lines",
        ),
        (
            "床前明月，",
            {"acrostic": "光霜", "acrostic_at": "end"},
            "， after character 4 (月) does not fit here: 光 is required",
        ),
    ],
)
def test_parse_prompt_names_the_violation(text: str, constraints: dict[str, Any], why: str) -> None:
    assert refusal(text, **constraints) == why


def test_parse_prompt_refuses_impossible_constraints() -> None:
    ends = {"form": "五绝", "acrostic_at": "end"}
    assert refusal("", rhyme=True, acrostic="光流目霜", **ends) == (
        "line 4 cannot end in 霜: it rhymes in 阳; 尤 is needed here"
    )
    assert refusal("", form="五律", rhyme_group="侵") == (
        "the model has fewer than the 5 characters needed that rhyme in 侵"
    )


def test_parse_prompt_refuses_a_dead_end() -> None:
    context = Context(vocabulary("月落"), 40)  # the fourth position must be level
    with pytest.raises(ConstraintError, match=r"vocabulary can follow character 3 \(落\)"):
        parse_prompt(make_request("落月落", form="五绝", tones=True), context)


@pytest.mark.parametrize("acrostic", ["楼流目秋", "鳌流目楼"])
def test_parse_prompt_refuses_lines_that_cannot_end(acrostic: str) -> None:
    # After 仄仄平平 a level end would be the third level in a row, whether it has an id or not.
    options = {"form": "五绝", "tones": True, "acrostic": acrostic, "acrostic_at": "end"}
    assert refusal("白日依山", **options) == "character 4 (山) is level; 仄 is needed here"


def test_parse_prompt_accepts_an_unknown_required_character() -> None:
    grammar, state = parse_prompt(make_request("床前明，", acrostic="床鹤"), CONTEXT)
    assert grammar.allowed(state).required == "鹤"


def test_parse_prompt_makes_a_grammar_once() -> None:
    vocab = Vocabulary(VOCAB.symbols)
    grammars = {
        id(parse_prompt(make_request(index=i, form="五绝"), Context(vocab, 40))[0]) for i in (1, 2)
    }
    assert len(grammars) == 1


def test_a_prompt_without_constraints_is_not_parsed() -> None:
    task = PoemTask(0, make_request("，，床。"), CONTEXT)
    assert (task.grammar, task.beginning.grammar_state) == (None, None)

"""Continuations of a verse: tone patterns by hand, real verses, and random walks."""

from collections.abc import Mapping
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from poetgen.errors import ConstraintError
from poetgen.prosody.forms import FORMS, form_of
from poetgen.prosody.grammar import (
    ANY_CHARACTER,
    ANY_TONE,
    EITHER,
    Allowed,
    CharacterClass,
    ConstraintViolation,
    Grammar,
    GrammarState,
    Required,
    acrostic,
    make_grammar,
    may_begin,
    next_tones,
    rhyming_characters,
    tone_of,
)
from poetgen.prosody.marks import MARKS, split_lines
from poetgen.prosody.phonology import readings
from poetgen.prosody.scan import line_fits, scan
from tests.prosody.verses import (
    ALPHABET,
    HERON_TOWER,
    SPRING_VIEW,
    WHITE_EMPEROR,
)

# --- Tones -----------------------------------------------------------------------------------------

TONES = {"平": frozenset({"平"}), "仄": frozenset({"去"}), "中": frozenset[str]()}
FREE = EITHER * 5


@pytest.mark.parametrize(
    ("character", "tone"), [("山", "平"), ("月", "仄"), ("中", "平"), ("看", "中"), ("☃", "中")]
)
def test_tone_of_a_character(character: str, tone: str) -> None:
    assert tone_of(character) == tone


def test_tone_of_a_character_by_any_reading() -> None:
    assert [tone_of(c, any_reading=True) for c in "山月中看"] == ["平", "仄", "中", "中"]


@pytest.mark.parametrize(
    ("line_type", "fitting"),
    [
        # By hand: positions 2, 4 and 5 fixed, 1 and 3 free.
        ("a", {"仄仄平平仄", "平仄平平仄", "仄仄仄平仄", "平仄仄平仄"}),
        # Not 三平尾: the third is oblique.
        ("A", {"仄仄仄平平", "平仄仄平平"}),
        # The type itself and the licensed variant 平平仄平仄.
        ("b", {"平平平仄仄", "仄平平仄仄", "平平仄仄仄", "仄平仄仄仄", "平平仄平仄", "仄平仄平仄"}),
        # Not 孤平: not both the first and the third oblique.
        ("B", {"平平仄仄平", "平平平仄平", "仄平平仄平"}),
    ],
)
def test_may_begin_with_whole_lines_of_five(line_type: str, fitting: set[str]) -> None:
    lines = {"".join(line) for line in product("平仄", repeat=5)}
    assert {line for line in lines if may_begin(line, line_type, FREE)} == fitting


def test_may_begin_only_within_the_length() -> None:
    assert may_begin("仄仄平平仄", "a", FREE)
    assert not may_begin("仄仄平平仄仄", "a", FREE)


def test_may_begin_depends_on_the_template() -> None:
    assert may_begin("仄", "B", FREE)
    assert not may_begin("仄", "B", "中中仄中中")  # 孤平
    assert may_begin("平", "B", "中中仄中中")
    assert not may_begin("平", "B", "中仄中中中")


def accepted_lines(line_type: str, length: int) -> set[str]:
    return {
        line
        for line in map("".join, product("平仄中", repeat=length))
        if line_fits([TONES[tone] for tone in line], line_type)
    }


def reached_lines(line_type: str, template: str) -> set[str]:
    found = {""}
    for fixed in template:
        found = {
            line + tone
            for line in found
            for tone in next_tones(line, line_type, template)
            if fixed in (EITHER, tone)
        }
    return found


@pytest.mark.parametrize("length", [5, 7])
@pytest.mark.parametrize("line_type", "aAbB")
def test_next_tones_lead_to_the_lines_that_scan_accepts(line_type: str, length: int) -> None:
    found, accepted = reached_lines(line_type, EITHER * length), accepted_lines(line_type, length)
    assert found <= accepted
    # Only lines that a 中 saves from three levels at the end are left out.
    assert all(line_type == "A" and line[-3] == "平" for line in accepted - found)
    assert {line for line in found if "中" not in line} == {
        line for line in accepted if "中" not in line
    }


@pytest.mark.parametrize("line_type", "aAbB")
def test_next_tones_match_a_template(line_type: str) -> None:
    single = {line for line in accepted_lines(line_type, 5) if "中" not in line}
    for template in map("".join, product("平仄中", repeat=5)):
        fitting = {
            line
            for line in single
            if all(fixed in (EITHER, tone) for fixed, tone in zip(template, line, strict=True))
        }
        if fitting:
            found = reached_lines(line_type, template)
            assert {line for line in found if "中" not in line} == fitting
            assert found <= accepted_lines(line_type, 5)


def test_next_tones_where_only_an_either_can_complete() -> None:
    assert next_tones("仄仄", "A", FREE) == "仄中"
    assert may_begin("仄仄平平", "A", FREE)
    assert next_tones("仄仄平平", "A", FREE) == "中"
    assert next_tones("仄平", "A", FREE) == ""


# --- Real verses -----------------------------------------------------------------------------------


def grammar_for(
    alphabet: tuple[str, ...], *, form: str = "", starts: str = "", ends: str = "", **options: Any
) -> Grammar:
    """Return a grammar with an acrostic that `starts` or `ends` the lines."""
    required = acrostic(ends, at_end=True) if ends else acrostic(starts)
    return make_grammar(FORMS.get(form), required=required, alphabet=alphabet, **options)


def read_on(grammar: Grammar, state: GrammarState, text: str) -> GrammarState:
    for character in text:
        state = grammar.advance(state, character)
    return state


def read(grammar: Grammar, text: str) -> GrammarState:
    state = grammar.start
    for character in text:
        state = grammar.advance(state, character)
    return state


def state_after(text: str, **options: Any) -> GrammarState:
    return read(grammar_for(ALPHABET, **options), text)


def allowed_after(text: str, **options: Any) -> Allowed:
    grammar = grammar_for(ALPHABET, **options)
    return grammar.allowed(read(grammar, text))


@pytest.mark.parametrize(
    ("poem", "form", "group"),
    [(HERON_TOWER, "五绝", "尤"), (WHITE_EMPEROR, "七绝", "删"), (SPRING_VIEW, "五律", "侵")],
)
def test_form_grammar_accepts_regulated_poems(poem: str, form: str, group: str) -> None:
    alphabet = (*ALPHABET, *"颜关弯湾环班攀蛮斑阴林音吟琴禽寻临")
    lines = split_lines(poem)
    for position in range(FORMS[form].line_length):
        required = {(number, position): line[position] for number, line in enumerate(lines)}
        grammar = make_grammar(
            FORMS[form], rhyme_group=group, tones=True, required=required, alphabet=alphabet
        )
        assert grammar.allowed(read(grammar, poem)) == Allowed(end=True)
    starts = "".join(line[0] for line in lines)
    grammar = grammar_for(alphabet, form=form, rhyme_group=group, tones=True, starts=starts)
    assert grammar.allowed(read(grammar, poem)) == Allowed(end=True)


@pytest.mark.parametrize(
    ("text", "character", "options", "why"),
    [
        ("床前明月光", "疑", {"form": "五绝"}, "is too much: a line of 五绝 has 5 characters"),
        (HERON_TOWER, "白", {"form": "五绝"}, "is too much: the poem has 4 lines"),
        ("", "，", {"form": "五绝"}, "has no line before it"),
        ("", "，", {"rhyme": True}, "has no line before it"),
        ("床前", "，", {"form": "五绝"}, "ends a line of 2; the lines of 五绝 have 5 characters"),
        ("床前明月光", "。", {"form": "五绝"}, "does not fit here: 五绝 needs one of ，？！"),
        ("床前", "山", {"form": "五绝", "tones": True, "starts": "床更深低"}, None),
        ("", "前", {"starts": "床"}, "does not fit here: 床 is required"),
        ("床前", "，", {"ends": "光"}, "does not fit here: 光 is required"),
        ("白日依山尽，黄河入海", "山", {"form": "五绝", "rhyme_group": "尤"}, "rhymes in 删; 尤"),
    ],
)
def test_advance_names_the_violation(
    text: str, character: str, options: dict[str, Any], why: str | None
) -> None:
    grammar = grammar_for(ALPHABET, **options)
    state = read(grammar, text)
    if why is None:
        grammar.advance(state, character)
        return
    with pytest.raises(ConstraintViolation) as caught:
        grammar.advance(state, character)
    assert str(caught.value).startswith(why)


def test_make_grammar_refuses_line_ends_that_cannot_be() -> None:
    def refusal(ends: str, **options: Any) -> str:
        with pytest.raises(ConstraintError) as caught:
            grammar_for(ALPHABET, form="五绝", ends=ends, **options)
        assert caught.value.exit_code == 3
        return caught.value.why

    assert refusal("光流目霜", rhyme=True) == (
        "line 4 cannot end in 霜: it rhymes in 阳; 尤 is needed here"
    )
    assert refusal("光流目流", rhyme=True) == "line 4 cannot end in 流: it has rhymed before"
    assert refusal("光流山楼", tones=True) == (
        "line 3 cannot end in 山: it fits none of the tone patterns that are still possible"
    )
    grammar_for(ALPHABET, form="五绝", ends="尽流目楼", rhyme=True, tones=True)


def test_make_grammar_opens_only_large_enough_rhyme_groups() -> None:
    # ALPHABET has four characters that rhyme in 侵: 深 心 金 簪, and an octave may need five.
    assert "侵" in state_after("", form="五绝", rhyme=True).interpretations[0].groups
    assert "侵" not in state_after("", form="五律", rhyme=True).interpretations[0].groups
    with pytest.raises(ConstraintError) as caught:
        grammar_for(ALPHABET, form="五律", rhyme_group="侵")
    assert caught.value.why == "the model has fewer than the 5 characters needed that rhyme in 侵"
    with pytest.raises(ConstraintError, match="that rhyme with one another"):
        grammar_for(tuple("山月"), form="五绝", rhyme=True)


def test_make_grammar_opens_small_groups_for_required_ends() -> None:
    grammar = grammar_for(("楼",), form="五绝", ends="光流目楼", rhyme=True)
    (only,) = grammar.start.interpretations
    assert only.groups == frozenset("尤")


def test_form_grammar_allows_its_marks() -> None:
    assert allowed_after("床前明月光", form="五绝") == Allowed(marks="，？！")
    assert allowed_after("床前明月光，疑是地上霜", form="五绝") == Allowed(marks="。？！")
    assert allowed_after("床前明月", form="五绝").marks == ""


def test_form_grammar_narrows_the_orders_of_lines() -> None:
    def orders(text: str) -> list[str]:
        return [one.order for one in state_after(text, form="五绝", tones=True).interpretations]

    assert orders("白") == ["aBbA", "ABbA", "bAaB", "BAaB"]
    assert orders("白日") == ["aBbA", "ABbA"]
    assert orders("白日依山尽") == ["aBbA"]


def test_form_grammar_rhymes_line_1_if_it_ends_level() -> None:
    with_tones = state_after("更上一层楼", form="五绝", tones=True, rhyme=True)
    assert [(one.order, one.groups) for one in with_tones.interpretations] == [
        ("ABbA", frozenset("尤"))
    ]
    (free,) = state_after("更上一层楼", form="五绝", rhyme=True).interpretations
    assert len(free.groups) > 1


def test_form_grammar_leaves_both_readings_of_line_1_open() -> None:
    # 光 is level in 阳 and, a reading hardly used, oblique in 漾: it rhymes in BAaB, not in bAaB.
    state = state_after("床前明月光", form="五绝", tones=True, rhyme=True)
    assert [one.order for one in state.interpretations] == ["BAaB"]
    state = state_after("床前明月光", form="五绝", tones=True, rhyme=True, any_reading=True)
    assert [one.order for one in state.interpretations] == ["bAaB", "BAaB"]
    assert frozenset("阳") == state.interpretations[1].groups < state.interpretations[0].groups


def test_form_grammar_refuses_a_tone_that_poets_did_not_use() -> None:
    # 不 has a level reading in the rhyme book; line 2 must have a level character at position 4.
    prompt = "白日依山尽，黄河入海流。欲穷千里目，更上一"
    assert allowed_after(prompt, form="五绝", tones=True).classes == (CharacterClass("平中"),)
    with pytest.raises(ConstraintViolation, match="is oblique; 平 is needed here"):
        state_after(prompt + "不", form="五绝", tones=True)
    state_after(prompt + "不", form="五绝", tones=True, any_reading=True)


def test_form_grammar_refuses_a_rhyme_that_poets_did_not_use() -> None:
    # 望 is level in 阳, but poets hardly used it so.
    state = state_after("床前明月光，疑是地上", form="五绝", rhyme=True)
    grammar = grammar_for(ALPHABET, form="五绝", rhyme=True)
    with pytest.raises(ConstraintViolation, match="has no level reading"):
        grammar.advance(state, "望")
    any_reading = grammar_for(ALPHABET, form="五绝", rhyme=True, any_reading=True)
    state = any_reading.advance(read(any_reading, "床前明月光，疑是地上"), "望")
    assert state.interpretations[0].groups == frozenset("阳")


def test_form_grammar_keeps_several_rhyme_groups_open() -> None:
    alphabet = (*ALPHABET, "重", "峰", "冬")  # 重 rhymes in 冬, 中 and 空 in 东
    grammar = grammar_for(alphabet, form="五绝", rhyme=True)
    state = read(grammar, "白日依山尽，轻舟过万重")
    assert state.interpretations[0].groups == frozenset("冬")


def test_form_grammar_has_one_line_length() -> None:
    grammar = grammar_for(ALPHABET, form="七绝")
    assert grammar.line_length(grammar.start) == 7


def test_free_grammar_makes_couplets_of_equal_lines() -> None:
    assert allowed_after("白日依山", rhyme=True).marks == "，？！"
    assert allowed_after("白日依山尽，黄河入", rhyme=True).marks == ""
    at_end = allowed_after("白日依山尽，黄河入海", rhyme=True)
    assert at_end.marks == ""
    assert at_end.classes[0].groups
    assert allowed_after("白日依山尽，黄河入海流", rhyme=True) == Allowed(marks="。？！")
    # A longer line from the prompt continues until it rhymes.
    overlong = allowed_after("白日依山尽，黄河入海流月", rhyme=True)
    assert (overlong.marks, bool(overlong.classes[0].groups)) == ("", True)


def test_free_grammar_ends_after_two_couplets_or_more() -> None:
    couplet = HERON_TOWER[:12]
    assert not allowed_after(couplet, rhyme=True).end
    assert not allowed_after(HERON_TOWER[:18], rhyme=True).end
    complete = allowed_after(HERON_TOWER, rhyme=True)
    assert complete.end
    assert complete.classes
    assert not allowed_after(HERON_TOWER + "白", rhyme=True).end


def test_free_grammar_ends_where_no_rhyme_is_left() -> None:
    grammar = grammar_for(ALPHABET, rhyme=True)
    state = read(grammar, HERON_TOWER)
    left = frozenset(rhyming_characters(ALPHABET, level_only=False)["尤"]) - state.rhymed
    assert "秋" in left
    assert grammar.allowed(state._replace(rhymed=state.rhymed | (left - {"秋"}))).classes
    assert grammar.allowed(state._replace(rhymed=state.rhymed | left)) == Allowed(end=True)


def test_free_grammar_limits_the_first_line() -> None:
    assert allowed_after("床前", starts="床疑").marks == ""
    assert allowed_after("床前明", starts="床疑") == Allowed(ANY_CHARACTER, marks="，？！")
    assert allowed_after("床" * 16, starts="床疑") == Allowed(marks="，？！")


def test_free_grammar_has_a_line_per_acrostic_character() -> None:
    assert allowed_after("", starts="床疑").required == "床"
    assert allowed_after("床前明月光，", starts="床疑").required == "疑"
    assert allowed_after("床前明月光，疑是地上霜。", starts="床疑") == Allowed(end=True)


@pytest.mark.parametrize("rhyme", [False, True])
@pytest.mark.parametrize("first", ["白日依山尽", "山月晚", "黄河入海流明月"])
def test_free_grammar_gives_acrostic_lines_one_length(first: str, rhyme: bool) -> None:
    grammar = grammar_for(ALPHABET, starts=first[0] + "前疑是", rhyme=rhyme)
    state = read(grammar, first + "，")
    for start, rest, mark in (("前", "山", "。"), ("疑", "明", "，"), ("是", "看", "。")):
        length = len(first)
        assert grammar.line_length(state) == length
        for character in start + rest * (length - 2):
            assert grammar.allowed(state).marks == ""
            state = grammar.advance(state, character)
        last = candidates(grammar.allowed(state))[-1]
        state = grammar.advance(state, last)
        assert set(candidates(grammar.allowed(state))) < set(MARKS)
        state = grammar.advance(state, mark)
    assert grammar.allowed(state) == Allowed(end=True)


def test_free_grammar_gives_a_single_line_a_length() -> None:
    assert allowed_after("床前明月光", starts="床").marks == ""
    assert allowed_after("床前明月光明月", starts="床") == Allowed(marks="。？！")
    assert allowed_after("床前明月光明月光", starts="床") == Allowed(marks="。？！")


@pytest.mark.parametrize(
    ("num_lines", "marks"),
    [
        (2, "，。"),
        (3, "，，。"),
        (4, "，。，。"),
        (5, "，。，，。"),
        (6, "，。，。，。"),
        (7, "，。，。，，。"),
        (8, "，。，。，。，。"),
    ],
)
def test_free_grammar_ends_odd_numbers_of_lines(num_lines: int, marks: str) -> None:
    grammar = grammar_for(ALPHABET, starts="山" * num_lines)
    state = grammar.start
    for line, mark in enumerate(marks):
        state = read_on(grammar, state, "山山山")
        is_inner = num_lines % 2 == 1 and line == num_lines - 2
        expected = "，" if is_inner else {"，": "，？！", "。": "。？！"}[mark]
        assert grammar.allowed(state).marks == expected
        state = grammar.advance(state, mark)
    assert grammar.allowed(state) == Allowed(end=True)


def test_free_grammar_rhymes_the_last_line() -> None:
    state = state_after("山山光，山山流，山山", starts="山山山", rhyme=True)
    grammar = grammar_for(ALPHABET, starts="山山山", rhyme=True)
    last = grammar.allowed(state)
    assert last.classes[0].groups == frozenset("尤")
    assert last.excluded >= {"流"}
    with pytest.raises(ConstraintViolation, match="rhymes in 阳; 尤 is needed here"):
        read_on(grammar, state, "霜。")
    unrhymed = state_after("山山光，山山流。山山", starts="山山山山", rhyme=True)
    assert grammar_for(ALPHABET, starts="山山山山", rhyme=True).allowed(unrhymed).classes == (
        ANY_CHARACTER
    )


def test_free_grammar_makes_lines_with_required_ends_equal() -> None:
    assert allowed_after("床前明月", ends="光霜").required == ""
    assert allowed_after("床前明月明月", ends="光霜").required == "光"
    assert allowed_after("床前明月光，疑是地上", ends="光霜").required == "霜"
    assert allowed_after("床前明月光，疑是地上霜", ends="光霜") == Allowed(marks="。？！")


# --- Required characters at any position -----------------------------------------------------------


def test_acrostic_at_start_and_end() -> None:
    assert acrostic("春秋", at_end=True) == {(0, -1): "春", (1, -1): "秋"}
    assert acrostic("") == {}


@pytest.mark.parametrize("outside", [(4, 0), (0, 5)])
def test_form_grammar_refuses_positions_outside_the_form(outside: tuple[int, int]) -> None:
    with pytest.raises(ConstraintError, match="五绝 has 4 lines of 5 characters"):
        make_grammar(FORMS["五绝"], required={outside: "山"}, alphabet=ALPHABET)


def test_form_grammar_requires_characters_at_any_position() -> None:
    grammar = make_grammar(FORMS["五绝"], required={(0, 2): "月", (1, 4): "光"}, alphabet=ALPHABET)
    assert grammar.allowed(read(grammar, "床前")).required == "月"
    assert grammar.allowed(read(grammar, "床前月")).required == ""
    assert grammar.allowed(read(grammar, "床前月山山，山山山山")).required == "光"
    with pytest.raises(ConstraintViolation, match="does not fit here: 月 is required"):
        read(grammar, "床前明")


def test_form_grammar_refuses_required_tones_that_conflict() -> None:
    # No line type has a level second and a level fourth position, 平平仄平仄 apart: it ends oblique.
    required = {(0, 1): "山", (0, 3): "山", (0, 4): "山"}
    with pytest.raises(ConstraintError, match="line 1 cannot end in 山: it fits none"):
        make_grammar(FORMS["五绝"], tones=True, required=required, alphabet=ALPHABET)
    required = {(0, 2): "山", (0, 3): "山", (0, 4): "山"}  # 三平尾
    with pytest.raises(ConstraintError, match="line 1 cannot end in 山: it fits none"):
        make_grammar(FORMS["五绝"], tones=True, required=required, alphabet=ALPHABET)
    required = {(0, 1): "山", (1, 1): "山"}  # 对
    with pytest.raises(ConstraintError, match="山 has the wrong tone for position 2 of line 2"):
        make_grammar(FORMS["五绝"], tones=True, required=required, alphabet=ALPHABET)


def test_form_grammar_counts_on_a_required_either() -> None:
    # Of 仄仄平平中 the last character keeps the line from ending in three level tones.
    alphabet = (*ALPHABET, "看")
    required = {(0, i): c for i, c in enumerate("白日依山看")}
    grammar = make_grammar(FORMS["五绝"], tones=True, required=required, alphabet=alphabet)
    assert {one.order for one in read(grammar, "白日依山看").interpretations} == {"ABbA", "aBbA"}


def test_form_grammar_reserves_a_required_rhyme() -> None:
    grammar = make_grammar(FORMS["五绝"], rhyme=True, required={(3, 4): "楼"}, alphabet=ALPHABET)
    assert {"楼"} == grammar.allowed(read(grammar, "白日依山")).excluded
    assert "楼" in grammar.allowed(read(grammar, "白日依山尽，黄河入海")).excluded


def test_free_grammar_lengthens_lines_as_required() -> None:
    grammar = make_grammar(required={(0, 8): "月", (1, 0): "光"}, alphabet=ALPHABET)
    assert grammar.allowed(read(grammar, "山" * 8)) == Allowed(ANY_CHARACTER, "月")
    assert grammar.allowed(read(grammar, "山" * 8 + "月")).marks == "，？！"
    later = make_grammar(required={(0, 0): "山", (3, 8): "月"}, alphabet=ALPHABET)
    assert later.allowed(read(later, "山" * 8)).marks == ""
    assert later.allowed(read(later, "山" * 9)).marks == "，？！"
    with pytest.raises(ConstraintViolation) as caught:
        read(grammar, "山山山，")
    assert str(caught.value) == "ends a line of 3; 月 is required at position 9"


def test_free_grammar_lengthens_couplets_as_required() -> None:
    grammar = make_grammar(rhyme=True, required={(1, 5): "月"}, alphabet=ALPHABET)
    assert grammar.allowed(read(grammar, "山" * 6)).marks == ""
    assert grammar.allowed(read(grammar, "山" * 7)).marks == "，？！"
    after_short = read(grammar, "山山山，山山山山山")
    assert grammar.line_length(after_short) == 7
    assert grammar.allowed(after_short).required == "月"


def candidates(allowed: Allowed) -> list[str]:
    """Return the characters of ALPHABET and the marks that `allowed` admits, "" for the end."""

    def fits(character: str, one: CharacterClass) -> bool:
        own = readings(character)
        has_tone = one.tones == ANY_TONE or (bool(own) and tone_of(character) in one.tones)
        groups = {r.rhyme for r in own if r.tone == "平" or not one.level_only}
        return has_tone and (one.groups is None or bool(one.groups & groups))

    found = [c for c in ALPHABET if any(fits(c, one) for one in allowed.classes)]
    found = [c for c in found if c not in allowed.excluded]
    if allowed.required:
        found = [c for c in found if c == allowed.required]
    return [*found, *allowed.marks, *([""] if allowed.end else [])]


def walk(grammar: Grammar, random: Random) -> str:
    """Return a random text that the grammar allows; there may be no dead end."""
    state, text = grammar.start, ""
    while character := random.choice(candidates(grammar.allowed(state))):
        state, text = grammar.advance(state, character), text + character
        assert len(text) < 200
    return text


def holds(required: Required, lines: tuple[str, ...]) -> bool:
    return all(lines[line][position] == c for (line, position), c in required.items())


def templates(num_lines: int, num_positions: int) -> st.SearchStrategy[Mapping[Any, str]]:
    positions = st.tuples(st.integers(0, num_lines - 1), st.integers(-1, num_positions - 1))
    return st.dictionaries(positions, st.sampled_from(ALPHABET), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data(), form=st.sampled_from(list(FORMS.values())), seed=st.integers(0, 99))
def test_form_grammar_meets_any_template_or_refuses(
    data: st.DataObject, form: Any, seed: int
) -> None:
    required = data.draw(templates(form.num_lines, form.line_length))
    rhyme, tones = data.draw(st.booleans()), data.draw(st.booleans())
    last = form.line_length - 1
    required = {at: c for at, c in required.items() if at[1] >= 0 or (at[0], last) not in required}
    try:
        grammar = make_grammar(form, rhyme=rhyme, tones=tones, required=required, alphabet=ALPHABET)
    except ConstraintError:
        assert rhyme or tones
        return
    lines = split_lines(walk(grammar, Random(seed)))
    assert form_of(lines) == form.name
    assert holds(required, lines)
    scanned = scan(lines)
    assert scanned is not None
    if tones:
        assert not any(s.breaks or s.lone_level or s.three_level_end for s in scanned.lines)
    if rhyme:
        assert scanned.level_rhyme
        assert len({line[-1] for line in lines[1::2]}) == form.num_lines // 2


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data(), seed=st.integers(0, 99))
def test_free_grammar_meets_any_template(data: st.DataObject, seed: int) -> None:
    required = data.draw(templates(5, 12))
    lines = split_lines(walk(make_grammar(required=required, alphabet=ALPHABET), Random(seed)))
    assert len(lines) == 1 + max(line for line, _ in required)
    assert holds(required, lines)
    assert len({len(line) for line in lines}) == 1


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data(), seed=st.integers(0, 99))
def test_free_grammar_meets_any_template_in_rhyme(data: st.DataObject, seed: int) -> None:
    required = {at: c for at, c in data.draw(templates(6, 12)).items() if at[1] >= 0}
    assume(required)
    grammar = make_grammar(rhyme=True, required=required, alphabet=ALPHABET)
    lines = split_lines(walk(grammar, Random(seed)))
    assert holds(required, lines)
    ends = [line[-1] for line in lines[1::2]] + ([lines[-1][-1]] if len(lines) % 2 else [])
    assert set.intersection(*({r.rhyme for r in readings(end)} for end in ends))
    assert len(set(ends)) == len(ends)
    assert len({len(line) for line in lines}) == 1

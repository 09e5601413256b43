"""Prompts as users type them."""

import pytest

from poetgen.errors import UsageError
from poetgen.sampling.prompt import NO_PROMPT, Prompt, prepare_prompt, warn_of_unknown
from tests.sampling.models import VOCAB


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("床前", "床前"),
        ("牀前", "床前"),
        ("雲", "云"),
        ("床前明月光,", "床前明月光，"),
        (" 床 前\t明月?\n", "床前明月？"),
        ("「床前」、明月：光!", "床前，明月，光！"),
    ],
)
def test_prepare_prompt_normalizes(typed: str, text: str) -> None:
    assert prepare_prompt(typed, VOCAB) == Prompt(text)


@pytest.mark.parametrize("typed", ["", "   ", "\n\t", "「」", "\u3000"])
def test_prepare_prompt_refuses_an_empty_text(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        prepare_prompt(typed, VOCAB)
    assert caught.value.why == "the prompt is empty"
    assert "床前" in caught.value.fix
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("typed", ["，", "，。", "?!", "、、", ";"])
def test_prepare_prompt_refuses_marks_only(typed: str) -> None:
    with pytest.raises(UsageError, match="has no characters, only marks") as caught:
        prepare_prompt(typed, VOCAB)
    assert caught.value.fix


@pytest.mark.parametrize(
    "typed", ["Hello", "😀", "鹤", "鹤，", "\ud800", "123", "山鹤。"], ids=ascii
)
def test_prepare_prompt_refuses_only_unknown_characters(typed: str) -> None:
    with pytest.raises(UsageError, match="vocabulary has no character of the prompt") as caught:
        prepare_prompt(typed, VOCAB)
    assert "\n" not in caught.value.why
    assert "Chinese character" in caught.value.fix
    caught.value.why.encode()  # can be printed


@pytest.mark.parametrize(
    ("typed", "text", "named"),
    [
        ("床鹤", "床鹤", ["鹤 (U+9E64 CJK UNIFIED IDEOGRAPH-9E64)"]),
        ("床😀", "床😀", ["😀 (U+1F600 GRINNING FACE)"]),
        ("床\ud800", "床\ufffd", ["\ufffd (U+FFFD REPLACEMENT CHARACTER)"]),
        (
            "moon月",
            "moon月",
            ["m (U+006D LATIN SMALL LETTER M)", "o (U+006F LATIN", "n (U+006E LATIN"],
        ),
        ("月\ue000", "月\ue000", ["(U+E000 unnamed)"]),
    ],
    ids=ascii,
)
def test_prepare_prompt_keeps_and_names_unknown_characters(
    typed: str, text: str, named: list[str]
) -> None:
    prompt = prepare_prompt(typed, VOCAB)
    assert prompt.text == text
    (warning,) = prompt.warnings
    assert warning.startswith("not in the model's vocabulary, kept but read as unknown: ")
    for name in named:
        assert warning.count(name) == 1


def test_prepare_prompt_names_folded_characters() -> None:
    assert "A (U+0041 LATIN CAPITAL LETTER A)" in prepare_prompt("Ａ月", VOCAB).warnings[0]


def test_prepare_prompt_keeps_a_very_long_text() -> None:
    assert prepare_prompt("牀前明月光," * 5000, VOCAB) == Prompt("床前明月光，" * 5000)


def test_no_prompt_is_empty() -> None:
    assert Prompt() == NO_PROMPT
    assert (NO_PROMPT.text, NO_PROMPT.warnings) == ("", ())


def test_warn_of_unknown_names_each_character_once() -> None:
    (warning,) = warn_of_unknown("鹤床鹤鳌", VOCAB)
    assert warning.count("鹤 (U+9E64") == warning.count("鳌 (U+9CCC") == 1
    assert "床" not in warning
    assert warn_of_unknown("床前", VOCAB) == ()

"""Prompts as people type them."""

import pytest

from poetgen.data.vocab import Vocabulary
from poetgen.errors import UsageError
from poetgen.sampling.prompt import NO_PROMPT, Prompt, prepare_prompt

VOCAB = Vocabulary(("<pad>", "<bos>", "<eos>", "<unk>", *"，。？！", *"床前明月光云"))


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
def test_a_prompt_is_brought_to_the_corpus_spelling(typed: str, text: str) -> None:
    assert prepare_prompt(typed, VOCAB) == Prompt(text)


@pytest.mark.parametrize("typed", ["", "   ", "\n\t", "「」", "\u3000"])
def test_an_empty_prompt_is_refused(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        prepare_prompt(typed, VOCAB)
    assert caught.value.why == "the prompt is empty"
    assert "床前" in caught.value.fix
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("typed", ["，", "，。", "?!", "、、", ";"])
def test_a_prompt_of_marks_alone_is_refused(typed: str) -> None:
    with pytest.raises(UsageError, match="has no character in it") as caught:
        prepare_prompt(typed, VOCAB)
    assert caught.value.fix


@pytest.mark.parametrize(
    "typed", ["Hello", "😀", "鹤", "鹤，", "\ud800", "123", "山鹤。"], ids=ascii
)
def test_a_prompt_without_a_known_character_is_refused(typed: str) -> None:
    with pytest.raises(UsageError, match="the model knows no character of the prompt") as caught:
        prepare_prompt(typed, VOCAB)
    assert "\n" not in caught.value.why
    assert "Chinese character" in caught.value.fix
    caught.value.why.encode()  # it can be printed


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
def test_an_unknown_character_is_kept_and_named(typed: str, text: str, named: list[str]) -> None:
    prompt = prepare_prompt(typed, VOCAB)
    assert prompt.text == text
    (warning,) = prompt.warnings
    assert warning.startswith("not in the model's vocabulary, kept but read as unknown: ")
    for name in named:
        assert warning.count(name) == 1


def test_full_width_letters_are_unknown_by_their_narrow_names() -> None:
    assert "A (U+0041 LATIN CAPITAL LETTER A)" in prepare_prompt("Ａ月", VOCAB).warnings[0]


def test_a_very_long_prompt_is_kept_whole() -> None:
    assert prepare_prompt("牀前明月光," * 5000, VOCAB) == Prompt("床前明月光，" * 5000)


def test_no_prompt_is_empty_and_warns_of_nothing() -> None:
    assert Prompt() == NO_PROMPT
    assert (NO_PROMPT.text, NO_PROMPT.warnings) == ("", ())

"""`poetgen.data.normalize`: script, variants, marks and spaces; idempotence on any text."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poetgen.data.normalize import STEPS, normalize, normalize_by_steps, to_traditional
from poetgen.data.variants import VARIANTS
from poetgen.prosody.marks import MARKS

SCRAPS = [
    *map(chr, VARIANTS),
    *VARIANTS.values(),
    *"乾坤沈吟余馀著着于於后後里裡发發髮台臺面麵",
    *"，。？！、；：,.?!;:｡､…—「」《》·（）[]{}",
    *"abＡ１〇□\u3000 \t\n\u200b\ufeff\x00\ufffd😀",
]
TEXTS = st.text(
    st.one_of(
        st.sampled_from(SCRAPS),
        st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF),
        st.characters(categories=["Cs"]),
        st.characters(),
    ),
    max_size=30,
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", ""),
        ("山风吹竹径，溪月照柴门。", "山风吹竹径，溪月照柴门。"),
        ("舉頭望明月，低頭思故鄉。", "举头望明月，低头思故乡。"),
        ("乾坤", "乾坤"),
        ("乾枯", "干枯"),
        ("王后後來", "王后后来"),
        ("江隄鴈影", "江堤雁影"),
        ("沈唫", "沉吟"),
    ],
)
def test_normalize_script_and_variants(raw: str, expected: str) -> None:
    assert normalize(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("春,夏.秋?冬!", "春，夏。秋？冬！"),
        ("春､夏｡", "春，夏。"),
        ("春、夏：秋；冬", "春，夏，秋。冬"),
        ("春—夏──秋", "春，夏，秋"),
        ("春……夏", "春。夏"),
        ("春？。夏。！秋，，", "春？夏。秋，"),
        ("「春」『夏』“秋”‘冬’《山》〈水〉", "春夏秋冬山水"),
        ("\"春\"'夏'", "春夏"),
        ("山·水•月", "山水月"),
        (" 春\u3000夏\t秋\n冬\r\n", "春夏秋冬"),
    ],
)
def test_normalize_marks_and_spaces(raw: str, expected: str) -> None:
    assert normalize(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("ＡＢ１２", "AB12"),
        ("moon 月", "moon月"),
        ("春😀眠", "春😀眠"),
        ("春\ud800眠", "春\ufffd眠"),
        ("\udfff", "\ufffd"),
        ("𠀀", "𠀀"),
        ("豈", "岂"),
        ("□〇", "□〇"),
    ],
)
def test_normalize_keeps_other_characters(raw: str, expected: str) -> None:
    assert normalize(raw) == expected


@pytest.mark.parametrize(
    ("raw", "steps"),
    [
        ("山风吹竹径。", []),
        ("山风吹竹径.", ["mark_folded"]),
        ("山风吹竹径？。", ["mark_doubled"]),
        ("山風吹竹径。", ["simplified"]),
        ("山风吹竹隄。", ["variant_folded"]),
        ("沈唫", ["variant_folded", "simplified"]),
        ("「山風」吹竹隄。。", ["mark_folded", "mark_doubled", "simplified", "variant_folded"]),
    ],
)
def test_normalize_names_steps(raw: str, steps: list[str]) -> None:
    text, named = normalize_by_steps(raw)
    assert named == steps
    assert set(named) <= set(STEPS)
    assert text == normalize(raw)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_normalize_is_idempotent(raw: str) -> None:
    once = normalize(raw)
    assert normalize_by_steps(once) == (once, [])


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_normalize_output_is_encodable(raw: str) -> None:
    text = normalize(raw)
    text.encode("utf-8")
    assert "".join(text.split()) == text
    assert not any(a in MARKS and b in MARKS for a, b in pairwise(text))


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_normalize_names_steps_iff_changed(raw: str) -> None:
    text, steps = normalize_by_steps(raw)
    assert (text == raw) == (steps == [])


@pytest.mark.parametrize("first", range(0x3400, 0xA000, 0x400))
def test_normalize_every_hanzi(first: int) -> None:
    # Separated by marks, so that no two characters form a phrase.
    raw = "，".join(map(chr, range(first, first + 0x400)))
    text = normalize(raw)
    assert len(text) == len(raw)
    assert normalize(text) == text


def test_to_traditional_converts_phrases() -> None:
    assert to_traditional("山风吹竹径，头发出门前。") == "山風吹竹徑，頭髮出門前。"


def test_to_traditional_round_trip() -> None:
    verse = "山风吹竹径，溪月照柴门。夜静无人语，钟声过远村。"
    assert to_traditional(verse) != verse
    assert normalize(to_traditional(verse)) == verse

"""`poetgen.data.clean`: each change and drop reason, and counts that add up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poetgen.data.clean import MAX_LINE, MIN_HANZI, clean, clean_text, drop_reason
from poetgen.data.normalize import normalize
from poetgen.data.poem import Poem
from poetgen.data.read import BrokenRecord, RawRecord
from poetgen.prosody.marks import MARKS, STOPS

COUPLET = "山风吹竹径，溪月照柴门。"


def record(text: str, title: str = "", author: str = "") -> RawRecord:
    return RawRecord(text, title, author, "a.json: record 0")


@pytest.mark.parametrize(
    ("raw", "text", "changes"),
    [
        (COUPLET, COUPLET, []),
        ("山风吹竹径（一作洞），溪月照柴门。", COUPLET, ["note_removed"]),
        ("山风吹竹径(一作洞)，溪月照柴门。", COUPLET, ["note_removed"]),
        ("山风吹竹径〖洞，一作径。〗，溪月照柴门。", COUPLET, ["note_removed"]),
        ("山风吹竹径（一作（洞）（（道））），溪月照柴门。", COUPLET, ["note_removed"]),
        ("山风吹竹径（一作〖洞〗(道)），溪月照柴门。", COUPLET, ["note_removed"]),
        (COUPLET + "（此首一作甲诗，又", COUPLET, ["note_removed"]),
        (COUPLET + "〖见\n乙集", COUPLET, ["note_removed"]),
        (COUPLET + "（见（乙）集", COUPLET, ["note_removed"]),
        ("山风吹[竹]径，溪月照柴门。", COUPLET, ["restored_character"]),
        ("山风吹［竹］径，[溪月]照柴门。", COUPLET, ["restored_character"]),
        ("山风吹[竹（一作叶）]径，溪月照柴门。", COUPLET, ["note_removed", "restored_character"]),
        ("山风吹竹径、溪月照柴门；", COUPLET, ["mark_folded"]),
        ("山风吹竹径,溪月照柴门.", COUPLET, ["mark_folded"]),
        ("「山风吹竹径」，《溪月》照柴门。", COUPLET, ["mark_folded"]),
        ("山风吹竹径，\n溪月 照柴门。", COUPLET, ["mark_folded"]),
        ("山风吹竹径，溪月照柴门？。", "山风吹竹径，溪月照柴门？", ["mark_doubled"]),
        ("山風吹竹徑，溪月照柴門。", COUPLET, ["simplified"]),
        ("山风吹竹径，溪月照长隄。", "山风吹竹径，溪月照长堤。", ["variant_folded"]),
        ("山风吹竹径，溪月照柴门。-329-", COUPLET, ["stray_mark"]),
        ("山风吹竹径，〔〕溪月*照柴门。", COUPLET, ["stray_mark"]),
        ("山风吹竹径，*。溪月照柴门。", COUPLET, ["stray_mark"]),
        ("*，山风吹竹径，溪月照柴门。", COUPLET, ["stray_mark"]),
        ("山风吹竹径)，溪月照柴门。", COUPLET, ["stray_mark"]),
        ("山风吹竹径，溪月照柴门", COUPLET, ["closed"]),
        ("山风吹竹径，溪月照柴门，", COUPLET, ["closed"]),
        ("", "", []),
        ("（全缺）", "", ["note_removed"]),
    ],
)
def test_clean_text_removes_and_names(raw: str, text: str, changes: list[str]) -> None:
    assert clean_text(raw) == (text, changes)


def test_clean_text_names_all_changes() -> None:
    raw = "「山風」吹[竹]徑（一作洞），溪月照長隄？。*"
    assert clean_text(raw) == (
        "山风吹竹径，溪月照长堤？",
        [
            "note_removed",
            "restored_character",
            "mark_folded",
            "mark_doubled",
            "simplified",
            "variant_folded",
            "stray_mark",
        ],
    )


def test_clean_text_names_leading_mark() -> None:
    text, changes = clean_text("，" + COUPLET)
    assert text == COUPLET
    assert len(changes) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("山风吹□径，溪月照柴门。", "lacuna"),
        ("山风吹○径，溪月照柴门。", "lacuna"),
        ("山风吹\ufffd径，溪月照柴门。", "lacuna"),
        ("□□", "lacuna"),
        ("山风吹{竹均}径，溪月照柴门。", "unencoded_character"),
        ("山风吹⿰木径，溪月照柴门。", "unencoded_character"),
        ("山风吹\ue123径，溪月照柴门。", "unencoded_character"),
        ("。", "stub"),
        ("山风吹竹径溪月照柴门。", "stub"),
        ("山风吹竹，溪月照。", "stub"),
        ("山风吹竹，溪月照门。", None),
        ("山风吹竹径溪月照柴门夜静无人语钟过。溪月照柴门。", "prose"),
        ("山风吹竹径溪月照柴门夜静无人语钟。溪月照柴门。", None),
        (COUPLET, None),
    ],
)
def test_drop_reason(text: str, reason: str | None) -> None:
    assert drop_reason(text) == reason


def test_drop_reason_bounds() -> None:
    assert len("山风吹竹溪月照门") == MIN_HANZI
    assert len("山风吹竹径溪月照柴门夜静无人语钟") == MAX_LINE


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("（缺）", "empty"),
        ("-329-", "empty"),
        ("山风吹□径，溪月照柴门。", "lacuna"),
        ("山风吹●径，溪月照柴门。", "lacuna"),
        ("山风吹\ud800径，溪月照柴门。", "lacuna"),
        ("山风吹{竹均}径，溪月照柴门。", "unencoded_character"),
        ("山风吹｛竹均｝径，溪月照柴门。", "unencoded_character"),
        ("山风吹竹径。", "stub"),
        ("序云山中多竹每夜风来则其声萧萧然也，乃作此诗以记之。", "prose"),
        ("Only Latin letters, and a stop.", "empty"),
    ],
)
def test_clean_drops_records(raw: str, reason: str) -> None:
    poems, report = clean([record(raw)])
    assert poems == []
    assert (report.read, report.kept) == (1, 0)
    assert report.dropped == {reason: 1}
    assert report.changed == {}


def test_clean_normalizes_title_and_author() -> None:
    poems, _ = clean([record("山風吹竹徑，溪月照柴門。", "山居 其二", "無名氏")])
    assert poems == [Poem(COUPLET, "山居其二", "无名氏")]


def test_clean_drops_duplicates() -> None:
    poems, report = clean(
        [
            record(COUPLET, "甲"),
            record("山风吹竹径。溪月照柴门！", "乙"),
            record("山風吹竹徑（一作洞），溪月照柴門。", "丙"),
            record("山风吹竹径，溪月照柴扉。", "丁"),
        ]
    )
    assert [poem.title for poem in poems] == ["甲", "丁"]
    assert report.dropped == {"duplicate": 2}
    assert report.changed == {}


def test_clean_counts_add_up() -> None:
    records: list[RawRecord | BrokenRecord] = [
        record(COUPLET),
        BrokenRecord("b.json: record 7", "expected an object, found int"),
        record("山風吹竹徑，溪月照柴門。"),
        record("霜葉隨溪下（一作去），寒鴉繞樹啼"),
        record("霜叶随□下，寒鸦绕树啼。"),
        record("夜静无人语，钟声过远村？。"),
        record("。"),
        record("□，（一作"),
        BrokenRecord("c.jsonl: line 2", 'no "paragraphs"'),
    ]
    poems, report = clean(iter(records))
    assert [poem.text for poem in poems] == [
        COUPLET,
        "霜叶随溪下，寒鸦绕树啼。",
        "夜静无人语，钟声过远村？",
    ]
    assert report.read == 9
    assert report.kept == 3
    assert report.dropped == {"broken_record": 2, "duplicate": 1, "lacuna": 2, "empty": 1}
    assert report.read == report.kept + report.dropped.total()
    assert report.changed == {"note_removed": 1, "simplified": 1, "closed": 1, "mark_doubled": 1}
    assert report.broken == [
        "b.json: record 7: expected an object, found int",
        'c.jsonl: line 2: no "paragraphs"',
    ]


def test_clean_without_records() -> None:
    poems, report = clean([])
    assert (poems, report.read, report.kept) == ([], 0, 0)


DIRT = st.text(
    st.sampled_from(
        [*"山风吹竹径溪月照柴门風徑隄", *"，。？！、；", *"（）()〖〗[]{}「」□○*1a \n", "\ud800"]
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(DIRT)
def test_clean_text_yields_normalized_verse(raw: str) -> None:
    text, _ = clean_text(raw)
    if drop_reason(text) is None:
        assert normalize(text) == text
        assert text[-1] in STOPS
        assert text[0] not in MARKS
        assert clean_text(text) == (text, [])


@settings(max_examples=100, deadline=None)
@given(st.lists(DIRT, max_size=10))
def test_clean_read_is_kept_plus_dropped(texts: list[str]) -> None:
    poems, report = clean([record(text) for text in texts])
    assert report.read == len(texts)
    assert report.kept == len(poems)
    assert report.read == report.kept + report.dropped.total()

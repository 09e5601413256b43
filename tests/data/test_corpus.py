"""`poetgen.data.corpus`: paths, loading, truncation and the report; also on the real corpus."""

import json
from pathlib import Path

import pytest

from poetgen.data.clean import CleaningReport
from poetgen.data.corpus import (
    DEFAULT_FOLDER,
    Corpus,
    corpus_paths,
    corpus_report,
    load_corpus,
    truncate,
)
from poetgen.data.normalize import normalize
from poetgen.data.poem import Poem, fingerprint, is_hanzi
from poetgen.data.split import SPLITS, Split, leaked_lines_rate, split_poems
from poetgen.data.vocab import Vocabulary
from poetgen.errors import CorpusError
from poetgen.prosody.marks import MARKS, STOPS
from tests import bars

COUPLETS = [
    "山风吹竹径，溪月照柴门。",
    "霜叶随溪下，寒鸦绕树啼。",
    "夜静无人语，钟声过远村。",
]


def test_paths_given_override_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POETGEN_CORPUS", "elsewhere")
    assert corpus_paths([Path("a"), Path("b")]) == [Path("a"), Path("b")]


def test_paths_environment_overrides_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POETGEN_CORPUS", "elsewhere")
    assert corpus_paths() == [Path("elsewhere")]


@pytest.mark.parametrize("value", [None, ""])
def test_paths_default(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("POETGEN_CORPUS", value)
    assert corpus_paths() == [DEFAULT_FOLDER]


def test_paths_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (path,) = corpus_paths([Path("starter")])
    assert path.is_file()
    monkeypatch.setenv("POETGEN_CORPUS", "starter")
    assert corpus_paths() == [path]


def test_paths_prefer_folder_named_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("starter").mkdir()
    assert corpus_paths([Path("starter")]) == [Path("starter")]


def test_load_starter_drops_nothing(starter: Corpus) -> None:
    assert starter.cleaning.read == starter.cleaning.kept == len(starter.poems) > 300
    assert starter.cleaning.dropped == {}
    assert all(starter.splits[split] for split in SPLITS)


def test_load_several_paths(tmp_path: Path) -> None:
    for name, couplets in (("a.txt", COUPLETS[:2]), ("b.txt", COUPLETS[1:])):
        (tmp_path / name).write_text("\n".join(couplets), encoding="utf-8")
    corpus = load_corpus([tmp_path / "a.txt", tmp_path / "b.txt"])
    assert (corpus.cleaning.read, corpus.cleaning.kept) == (4, 3)
    assert corpus.cleaning.dropped == {"duplicate": 1}
    assert sorted(poem.text for poem in corpus.poems) == sorted(COUPLETS)
    assert corpus.fingerprint == fingerprint(map(Poem, COUPLETS))


def test_load_counts_broken_records(tmp_path: Path) -> None:
    records = [{"paragraphs": [COUPLETS[0]]}, {"title": "无文"}, {"paragraphs": [1]}, 3]
    (tmp_path / "a.json").write_text(json.dumps(records), encoding="utf-8")
    corpus = load_corpus([tmp_path])
    assert corpus.cleaning.dropped == {"broken_record": 3}
    assert [fault.partition(": record ")[0] for fault in corpus.cleaning.broken] == ["a.json"] * 3
    assert [fault.split(":")[1] for fault in corpus.cleaning.broken] == [
        " record 1",
        " record 2",
        " record 3",
    ]


def test_load_without_poems_counts_reasons(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("山风吹{竹均}径，溪月照柴门。\n" * 2 + "□□\n", encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        load_corpus([path])
    assert caught.value.why.endswith("a.txt (dropped: unencoded character 2, lacuna 1)")


def test_load_shows_progress_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = bars.record(monkeypatch)
    for name, couplet in zip(("a.txt", "b.txt"), COUPLETS, strict=False):
        (tmp_path / name).write_text(couplet, encoding="utf-8")
    load_corpus([tmp_path], [tmp_path / "a.txt"])
    assert [(bar.desc, bar.n, bar.total) for bar in shown] == [
        ("reading poems", 2, 2),
        ("reading poems", 1, 1),
    ]


@pytest.mark.parametrize(("text", "num_read"), [("", 0), ("# 注\n", 0), ("山风。\n□□\n", 2)])
def test_load_without_poems_fails(tmp_path: Path, text: str, num_read: int) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        load_corpus([path])
    assert str(path) in caught.value.why
    assert f"{num_read} records" in caught.value.why
    assert "\n" not in caught.value.why + caught.value.fix
    assert caught.value.fix


def test_load_missing_path_fails(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(COUPLETS[0], encoding="utf-8")
    with pytest.raises(CorpusError, match="nowhere"):
        load_corpus([tmp_path / "a.txt", tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("max_tokens", "expected"),
    [
        (38, "".join(COUPLETS)),
        (37, "".join(COUPLETS)),  # 36 characters and <eos>
        (36, "".join(COUPLETS[:2])),
        (25, "".join(COUPLETS[:2])),
        (24, COUPLETS[0]),
        (13, COUPLETS[0]),
        (12, "山风吹竹径，溪月照柴门"),  # no sentence end in reach
        (4, "山风吹"),
    ],
)
def test_truncate_at_sentence_end(max_tokens: int, expected: str) -> None:
    whole = "".join(COUPLETS)
    assert truncate(whole, max_tokens) == (expected, expected != whole)


@pytest.mark.parametrize("stop", STOPS)
def test_truncate_at_every_stop(stop: str) -> None:
    assert truncate(f"山风{stop}溪月，霜叶。", 7) == (f"山风{stop}", True)


@pytest.fixture
def small() -> Corpus:
    poems = {
        "train": [Poem("山山水水，山山水水。")],
        "valid": [Poem("山月水月，风水风水。")],
        "test": [Poem("山山水水，花花草草。")],
    }
    cleaning = CleaningReport(read=5, kept=3)
    cleaning.dropped.update({"stub": 1, "duplicate": 1})
    cleaning.changed.update({"simplified": 2})
    return Corpus({split: poems[split] for split in SPLITS}, cleaning)


def test_report_by_hand(small: Corpus) -> None:
    report = corpus_report(small, min_count=4, max_tokens=16).to_json()
    assert report == {
        "read": 5,
        "kept": 3,
        "dropped": {"stub": 1, "duplicate": 1},
        "changed": {"simplified": 2, "cut": 0},
        "forms": {"other": 3},
        # In the vocabulary: 4 marks, 山 3 times and 水 5 times, of 20 held-out symbols.
        "vocabulary": {"characters": 2, "coverage": 12 / 20},
        "split": {"train": 1, "valid": 1, "test": 1},
        "leaked_lines_rate": 1 / 4,
        "fingerprint": fingerprint(small.poems),
    }
    assert json.loads(json.dumps(report)) == report


def test_report_counts_truncated_and_rare(small: Corpus) -> None:
    report = corpus_report(small, min_count=5, max_tokens=10)
    assert report.changed["cut"] == 1
    assert (report.num_characters, report.coverage) == (0, 4 / 20)


def test_report_leaves_corpus_unchanged(small: Corpus) -> None:
    corpus_report(small, min_count=1, max_tokens=10)
    assert small.cleaning.changed == {"simplified": 2}


def test_extra_is_trained_on_outside_the_split(tmp_path: Path) -> None:
    main, more = tmp_path / "main.txt", tmp_path / "more.txt"
    verses = [f"山中第{chr(0x4E00 + i)}日，月上第{chr(0x5E00 + i)}峰。" for i in range(60)]
    main.write_text("\n".join(verses), encoding="utf-8")
    main_only = load_corpus([main])
    held_out = main_only.splits["test"][0]
    new = "雨过春山绿，云开夜月明。"
    near = f"{held_out.lines[0]}，云开夜月明。"
    more.write_text("\n".join([new, near, verses[0], new]), encoding="utf-8")
    both = load_corpus([main], [more])
    assert both.splits == main_only.splits
    assert both.fingerprint == main_only.fingerprint
    assert [poem.text for poem in both.extra] == [new]
    assert both.training_poems == [*main_only.splits["train"], Poem(new)]
    assert both.extra_cleaning.dropped == {"duplicate": 2, "near_held_out": 1}
    report = corpus_report(both, min_count=1, max_tokens=64).to_json()
    assert report["extra"] == {
        "read": 4,
        "kept": 1,
        "dropped": {"duplicate": 2, "near_held_out": 1},
        "leaked_lines_rate": 0.0,
    }
    assert "extra" not in corpus_report(main_only, min_count=1, max_tokens=64).to_json()


@pytest.fixture(scope="module")
def tang(real_corpus: Path) -> Corpus:
    return load_corpus([real_corpus])


@pytest.mark.corpus
def test_real_corpus_counts_add_up(tang: Corpus) -> None:
    cleaning = tang.cleaning
    assert cleaning.kept == len(tang.poems) >= 53_000
    assert cleaning.read == cleaning.kept + cleaning.dropped.total()
    assert set(cleaning.dropped) == {
        "duplicate",
        "lacuna",
        "stub",
        "empty",
        "unencoded_character",
        "prose",
        "near_held_out",
    }


@pytest.mark.corpus
def test_real_poems_are_normalized(tang: Corpus) -> None:
    assert all(is_hanzi(c) or c in MARKS for c in {c for poem in tang.poems for c in poem.text})
    for poem in tang.poems[::20]:
        assert normalize(poem.text) == poem.text
        assert poem.text[-1] in STOPS
        assert poem.text[0] not in MARKS


@pytest.mark.corpus
def test_real_held_out_lines_rarely_leak(tang: Corpus) -> None:
    assert 0 < leaked_lines_rate(tang.splits) <= 0.006


@pytest.mark.corpus
def test_real_split_is_90_5_5(tang: Corpus) -> None:
    shares = {split: len(tang.splits[split]) / len(tang.poems) for split in SPLITS}
    assert shares["train"] == pytest.approx(0.90, abs=0.02)
    assert shares["valid"] == pytest.approx(0.05, abs=0.01)
    assert shares["test"] == pytest.approx(0.05, abs=0.01)


@pytest.mark.corpus
def test_real_vocabulary_covers_held_out(tang: Corpus) -> None:
    report = corpus_report(tang, min_count=2, max_tokens=256)
    assert 6_000 <= report.num_characters <= 7_500
    assert report.coverage >= 0.999
    assert 0 < report.changed["cut"] < 0.02 * tang.cleaning.kept
    vocab = Vocabulary.build(tang.splits["train"], min_count=2)
    assert vocab.num_hanzi == report.num_characters


@pytest.mark.corpus
def test_real_lines_leak_without_grouping(real_corpus: Path) -> None:
    poems = load_corpus([real_corpus]).poems
    splits: dict[Split, list[Poem]] = {split: [] for split in SPLITS}
    for poem in poems:
        single = split_poems([poem])
        splits["train" if single["train"] else "test"].append(poem)
    assert leaked_lines_rate(splits) > 0.05

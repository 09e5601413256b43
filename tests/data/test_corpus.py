"""`poetgen.data.corpus`: where the corpus is, loading it, cutting, and the report; and the real one."""

import json
import re
from pathlib import Path

import pytest

from poetgen.data.clean import CleaningReport
from poetgen.data.corpus import (
    DEFAULT_FOLDER,
    Corpus,
    corpus_paths,
    corpus_report,
    cut,
    load_corpus,
)
from poetgen.data.normalise import normalise
from poetgen.data.poem import MARKS, STOPS, Poem, fingerprint, is_hanzi
from poetgen.data.split import SPLITS, Split, leaked_lines_rate, split_poems
from poetgen.data.vocab import Vocabulary
from poetgen.errors import CorpusError

COUPLETS = [
    "山风吹竹径，溪月照柴门。",
    "霜叶随溪下，寒鸦绕树啼。",
    "夜静无人语，钟声过远村。",
]


def test_given_paths_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POETGEN_CORPUS", "elsewhere")
    assert corpus_paths([Path("a"), Path("b")]) == [Path("a"), Path("b")]


def test_the_environment_wins_over_the_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POETGEN_CORPUS", "elsewhere")
    assert corpus_paths() == [Path("elsewhere")]


@pytest.mark.parametrize("value", [None, ""])
def test_the_default_folder_is_the_last_resort(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("POETGEN_CORPUS", value)
    assert corpus_paths() == [DEFAULT_FOLDER]


def test_starter_is_the_name_of_verses_that_come_with_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (path,) = corpus_paths([Path("starter")])
    assert path.is_file()
    monkeypatch.setenv("POETGEN_CORPUS", "starter")
    assert corpus_paths() == [path]


def test_a_folder_of_ones_own_called_starter_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("starter").mkdir()
    assert corpus_paths([Path("starter")]) == [Path("starter")]


def test_starter_verses_are_clean_and_all_kept(starter: Corpus) -> None:
    assert starter.cleaning.read == starter.cleaning.kept == len(starter.poems) > 300
    assert starter.cleaning.dropped == {}
    assert all(starter.splits[side] for side in SPLITS)


def test_several_paths_make_one_corpus(tmp_path: Path) -> None:
    for name, couplets in (("a.txt", COUPLETS[:2]), ("b.txt", COUPLETS[1:])):
        (tmp_path / name).write_text("\n".join(couplets), encoding="utf-8")
    corpus = load_corpus([tmp_path / "a.txt", tmp_path / "b.txt"])
    assert (corpus.cleaning.read, corpus.cleaning.kept) == (4, 3)
    assert corpus.cleaning.dropped == {"duplicate": 1}
    assert sorted(poem.text for poem in corpus.poems) == sorted(COUPLETS)
    assert corpus.fingerprint == fingerprint(map(Poem, COUPLETS))


def test_broken_records_are_counted_and_named_and_not_fatal(tmp_path: Path) -> None:
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


def test_a_corpus_of_no_poems_says_why_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("山风吹{竹均}径，溪月照柴门。\n" * 2 + "□□\n", encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        load_corpus([path])
    assert re.search(r"a\.txt \(2 unencoded character, 1 [a-z ]+\)$", caught.value.why)


@pytest.mark.parametrize(("text", "num_read"), [("", 0), ("# 注\n", 0), ("山风。\n□□\n", 2)])
def test_a_corpus_of_no_poems_is_an_error(tmp_path: Path, text: str, num_read: int) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        load_corpus([path])
    assert str(path) in caught.value.why
    assert f"{num_read} records" in caught.value.why
    assert "\n" not in caught.value.why + caught.value.fix
    assert caught.value.fix


def test_one_missing_path_of_several_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(COUPLETS[0], encoding="utf-8")
    with pytest.raises(CorpusError, match="nowhere"):
        load_corpus([tmp_path / "a.txt", tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("max_tokens", "expected"),
    [
        (38, "".join(COUPLETS)),
        (37, "".join(COUPLETS)),  # 36 characters and the end
        (36, "".join(COUPLETS[:2])),
        (25, "".join(COUPLETS[:2])),
        (24, COUPLETS[0]),
        (13, COUPLETS[0]),
        (12, "山风吹竹径，溪月照柴门"),  # no sentence end in reach
        (4, "山风吹"),
    ],
)
def test_cut_is_at_a_sentence_end(max_tokens: int, expected: str) -> None:
    whole = "".join(COUPLETS)
    assert cut(whole, max_tokens) == (expected, expected != whole)


@pytest.mark.parametrize("stop", STOPS)
def test_every_stop_ends_a_sentence(stop: str) -> None:
    assert cut(f"山风{stop}溪月，霜叶。", 7) == (f"山风{stop}", True)


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
    return Corpus({side: poems[side] for side in SPLITS}, cleaning)


def test_the_report_by_hand(small: Corpus) -> None:
    report = corpus_report(small, min_count=4, max_tokens=16)
    assert report == {
        "read": 5,
        "kept": 3,
        "dropped": {"stub": 1, "duplicate": 1},
        "changed": {"simplified": 2, "cut": 0},
        "forms": {"other": 3},
        # Of twenty held-out symbols, four marks, 山 3 and 水 5 are known.
        "vocabulary": {"characters": 2, "coverage": 12 / 20},
        "split": {"train": 1, "valid": 1, "test": 1},
        "leaked_lines_rate": 1 / 4,
        "fingerprint": fingerprint(small.poems),
    }
    assert json.loads(json.dumps(report)) == report


def test_the_report_counts_cut_poems_and_rare_characters(small: Corpus) -> None:
    report = corpus_report(small, min_count=5, max_tokens=10)
    assert report["changed"]["cut"] == 1
    assert report["vocabulary"] == {"characters": 0, "coverage": 4 / 20}


def test_the_report_leaves_the_corpus_as_it_was(small: Corpus) -> None:
    corpus_report(small, min_count=1, max_tokens=10)
    assert small.cleaning.changed == {"simplified": 2}


def test_extra_poems_are_trained_on_and_leave_the_split_as_it_is(tmp_path: Path) -> None:
    main, more = tmp_path / "main.txt", tmp_path / "more.txt"
    verses = [f"山中第{chr(0x4E00 + i)}日，月上第{chr(0x5E00 + i)}峰。" for i in range(60)]
    main.write_text("\n".join(verses), encoding="utf-8")
    alone = load_corpus([main])
    held_out = alone.splits["test"][0]
    new = "雨过春山绿，云开夜月明。"
    near = f"{held_out.lines[0]}，云开夜月明。"
    more.write_text("\n".join([new, near, verses[0], new]), encoding="utf-8")
    both = load_corpus([main], [more])
    assert both.splits == alone.splits
    assert both.fingerprint == alone.fingerprint
    assert [poem.text for poem in both.extra] == [new]
    assert both.training_poems == [*alone.splits["train"], Poem(new)]
    assert both.extra_cleaning.dropped == {"duplicate": 2, "near_held_out": 1}
    report = corpus_report(both, min_count=1, max_tokens=64)
    assert report["extra"] == {
        "read": 4,
        "kept": 1,
        "dropped": {"duplicate": 2, "near_held_out": 1},
        "leaked_lines_rate": 0.0,
    }
    assert "extra" not in corpus_report(alone, min_count=1, max_tokens=64)


@pytest.fixture(scope="module")
def tang(real_corpus: Path) -> Corpus:
    return load_corpus([real_corpus])


@pytest.mark.corpus
def test_the_real_corpus_keeps_its_poems_and_accounts_for_the_rest(tang: Corpus) -> None:
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
    }


@pytest.mark.corpus
def test_real_poems_are_verse_in_the_common_spelling(tang: Corpus) -> None:
    assert all(is_hanzi(c) or c in MARKS for c in {c for poem in tang.poems for c in poem.text})
    for poem in tang.poems[::20]:
        assert normalise(poem.text) == poem.text
        assert poem.text[-1] in STOPS
        assert poem.text[0] not in MARKS


@pytest.mark.corpus
def test_hardly_a_real_held_out_line_stands_in_the_training_text(tang: Corpus) -> None:
    assert 0 < leaked_lines_rate(tang.splits) <= 0.006


@pytest.mark.corpus
def test_the_real_corpus_is_split_90_5_5(tang: Corpus) -> None:
    shares = {side: len(tang.splits[side]) / len(tang.poems) for side in SPLITS}
    assert shares["train"] == pytest.approx(0.90, abs=0.02)
    assert shares["valid"] == pytest.approx(0.05, abs=0.01)
    assert shares["test"] == pytest.approx(0.05, abs=0.01)


@pytest.mark.corpus
def test_the_real_vocabulary_covers_the_held_out_text(tang: Corpus) -> None:
    report = corpus_report(tang, min_count=2, max_tokens=256)
    assert 6_000 <= report["vocabulary"]["characters"] <= 7_500
    assert report["vocabulary"]["coverage"] >= 0.999
    assert 0 < report["changed"]["cut"] < 0.02 * tang.cleaning.kept
    vocab = Vocabulary.build(tang.splits["train"], min_count=2)
    assert vocab.num_hanzi == report["vocabulary"]["characters"]


@pytest.mark.corpus
def test_without_grouping_many_held_out_lines_would_stand_in_train(real_corpus: Path) -> None:
    poems = load_corpus([real_corpus]).poems
    sides: dict[Split, list[Poem]] = {split: [] for split in SPLITS}
    for poem in poems:
        alone = split_poems([poem])
        sides["train" if alone["train"] else "test"].append(poem)
    assert leaked_lines_rate(sides) > 0.05

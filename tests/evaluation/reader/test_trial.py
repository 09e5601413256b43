"""The reader's test as a whole: what is dealt to whom, and what it finds where the answer is known."""

import random
from pathlib import Path

import numpy as np
import pytest

from poetgen.data.poem import Poem
from poetgen.errors import CorpusError
from poetgen.evaluation.comparison import group_by_form
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.reader import trial
from poetgen.evaluation.reader.judges import SequenceJudge
from poetgen.evaluation.reader.sources import (
    PARTS,
    Opponent,
    RealSource,
    deal,
    kneser_ney_poems,
    song_poems,
    totals,
)
from poetgen.evaluation.reader.trial import POOL_SIZE, ReaderConfig, reader_test
from poetgen.evaluation.report import EvaluationReport, ReaderReport, ReportSettings, report_to_json
from poetgen.prosody.forms import FORMS, form_of
from poetgen.views.report_page import report_page
from poetgen.views.report_table import full_width, report_tables
from tests.evaluation.verses import shuffled, verses

FORM = "五绝"


def evaluation_set(split: str = "test") -> EvaluationSet:
    train, others, poems = (verses(FORM, num, seed) for num, seed in ((400, 1), (80, 2), (80, 3)))
    return EvaluationSet(poems, "verses", split, "c0ffee", others, train)


def test_no_poem_has_two_uses() -> None:
    real = RealSource.of(evaluation_set())
    parts = [real.background, *(real.parts[part][FORM] for part in PARTS)]
    texts = [poem.text for part in parts for poem in part]
    assert len(texts) == len(set(texts)) == 560
    assert all(len(part) >= 80 for part in parts)
    first, second = real.split_in_two()
    for part in PARTS:
        halves = [{p.text for p in half.parts[part][FORM]} for half in (first, second)]
        assert halves[0].isdisjoint(halves[1])
        assert min(map(len, halves)) > 20
        assert halves[0] | halves[1] == {p.text for p in real.parts[part][FORM]}


def test_near_duplicates_are_in_one_half() -> None:
    poems = verses(FORM, 60, 1)
    twins = [Poem(poem.text[:-6] + "山" * 5 + "。") for poem in poems]
    real = RealSource.of(EvaluationSet(verses(FORM, 30, 2), "", "test", train=poems + twins))
    background = {poem.text[:6] for poem in real.background}
    assert len(background) == len(real.background) / 2
    assert background.isdisjoint(poem.text[:6] for poem in real.parts["train"][FORM])


def test_validation_poems_are_judged_without_test_poems() -> None:
    eval_set = evaluation_set("valid")
    real = RealSource.of(eval_set)
    used = {poem for part in ("selection", "judged") for poem in real.parts[part][FORM]}
    assert used == set(eval_set.poems)
    assert used.isdisjoint(eval_set.other_held_out)


def test_reader_needs_a_training_split() -> None:
    with pytest.raises(CorpusError, match="training split"):
        RealSource.of(EvaluationSet(verses(FORM, 30, 1), "verses"))


def test_deal_gives_each_part_its_own_poems() -> None:
    counts = {part: dict.fromkeys(FORMS, num) for part, num in zip(PARTS, (5, 2, 3), strict=True)}
    poems = {form: verses(form, 10, 1) for form in FORMS}
    assert totals(counts) == dict.fromkeys(FORMS, 10)
    dealt = deal(poems, counts)
    assert [len(dealt[part][FORM]) for part in PARTS] == [5, 2, 3]
    assert [poem for part in PARTS for poem in dealt[part][FORM]] == poems[FORM]


def test_kneser_ney_poems_have_the_form_and_the_seed() -> None:
    train = [poem for form in FORMS for poem in verses(form, 30, 1)]
    poems = kneser_ney_poems(train, dict.fromkeys(FORMS, 3), seed=1)
    assert {form: [form_of(one.lines) for one in own] for form, own in poems.items()} == {
        form: [form] * 3 for form in FORMS
    }
    assert kneser_ney_poems(train, dict.fromkeys(FORMS, 3), seed=1) == poems
    assert kneser_ney_poems(train, dict.fromkeys(FORMS, 3), seed=2) != poems


def test_song_poems_are_not_known_ones(tmp_path: Path) -> None:
    poems = verses(FORM, 20, 1)
    (tmp_path / "song.txt").write_text("\n".join(poem.text for poem in poems), encoding="utf-8")
    found = song_poems(tmp_path, poems[:5])[FORM]
    assert {poem.text for poem in found} == {poem.text for poem in poems[5:]}


def opponents(
    _bundles: object, _eval_set: EvaluationSet, real: RealSource, config: ReaderConfig
) -> list[Opponent]:
    """Return poems by the same rule as the real ones, and the same with their characters shuffled."""
    counts = real.counts(config.size)
    alike = verses(FORM, totals(counts)[FORM], 9)
    rng = random.Random(1)
    different = [shuffled(poem, rng) for poem in alike]
    return [
        Opponent("alike", deal(group_by_form(alike), counts), 0.8),
        Opponent("shuffled", deal(group_by_form(different), counts), 1.0),
    ]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ReaderReport:
    """Train judges briefly on poems whose sources are known."""
    monkeypatch.setattr(SequenceJudge, "num_epochs", 2)
    monkeypatch.setattr(trial, "_opponents", opponents)
    return reader_test([], evaluation_set(), ReaderConfig(size=150))


def test_reader_finds_what_differs(report: ReaderReport) -> None:
    null, alike, different = report.rows
    for row in (null, alike):
        assert row.pooled is not None
        assert row.pooled.low <= 0.58, row
    assert different.pooled is not None
    assert different.pools is not None
    assert different.pooled.value > 0.9
    assert different.pools.value >= different.pooled.value
    verdict = different.forms[FORM]
    assert set(different.forms) == {FORM}  # the other forms have no poems
    assert verdict.num_judged == 160
    assert verdict.num_pools == 160 // POOL_SIZE
    assert verdict.selection[verdict.judge] == max(verdict.selection.values())
    assert verdict.num_learned == 150


def test_reader_is_shown(report: ReaderReport) -> None:
    whole = EvaluationReport(ReportSettings("x", "test", None, 1, "", 0, ()), None, [], report)
    assert full_width(whole) >= 180
    values = report_to_json(whole)["reader"]
    assert isinstance(values, dict)
    assert [row["name"] for row in values["rows"]][1:] == ["alike", "shuffled"]
    assert "shuffled T 1" in report_page(whole)
    assert report_tables(whole, 180) is not None


def test_pools_sum_scores_of_one_source() -> None:
    scores = np.array([1.0, -2, 0, 0, 0.5, 9, 9, 9, 9, 9, -7])
    assert trial._pool_sums(scores).tolist() == [-0.5, 45]

"""The reader's test: classifier two-sample tests (Lopez-Paz & Oquab 2017), form by form.

1. Per form, generated poems (form given, nothing enforced) and real poems of the training split train
   three judges of different kinds (`judges`).
2. The judge with the best accuracy on selection poems is the strongest; only it judges the poems of the
   evaluation set and the same number of generated ones that no judge has seen.
3. Its accuracy is 50% if it cannot tell them apart.  Pools of five poems of one source are judged by the
   sum of their scores.

The same is done with sources that show what an accuracy means: real poems against real ones, real Tang
poems against real Song poems, and poems drawn from a Kneser–Ney model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from poetgen.evaluation.comparison import PoemsByForm
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.intervals import wilson_share
from poetgen.evaluation.reader.features import PoemFeatures
from poetgen.evaluation.reader.judges import (
    FeatureJudge,
    Judge,
    Labeled,
    PhraseJudge,
    Scores,
    SequenceJudge,
)
from poetgen.evaluation.reader.sources import (
    PARTS,
    Opponent,
    RealSource,
    deal,
    kneser_ney_poems,
    song_poems,
    totals,
)
from poetgen.evaluation.report import ReaderReport, ReaderRow, Verdict
from poetgen.evaluation.samples import sample_by_form
from poetgen.language import tr
from poetgen.model.file import ModelBundle
from poetgen.progress import Stage
from poetgen.prosody.forms import FORMS
from poetgen.runs import model_name
from poetgen.sampling.generator import Generator

POOL_SIZE = 5
MIN_POEMS = 20
"""A form with fewer poems in a part is left out."""


@dataclass(frozen=True)
class ReaderConfig:
    """How much the reader's test does."""

    size: int = 1400
    """Poems of each source and form that a judge learns from, at most."""
    temperatures: Sequence[float] = (0.8,)
    seed: int = 1
    song: Path | None = None
    """A folder of Song poems; None: they are left out."""


def reader_test(
    bundles: Sequence[ModelBundle], eval_set: EvaluationSet, config: ReaderConfig
) -> ReaderReport:
    """Return how well judges tell each model's poems at each temperature from real ones.

    Raises:
        CorpusError: there is no training split to learn from.
    """
    real = RealSource.of(eval_set)
    features = PoemFeatures(real.background)
    first, second = real.split_in_two()
    trials = [(real, opponent) for opponent in _opponents(bundles, eval_set, real, config)]
    num_models = len(bundles) * len(config.temperatures)
    trials.insert(num_models, (first, Opponent(tr("other real poems"), second.parts)))
    with Stage(tr("reader's test"), len(trials) * len(FORMS)) as stage:
        rows = [judge_source(source, one, features, config, stage) for source, one in trials]
    return ReaderReport(config.size, config.seed, rows)


def _opponents(
    bundles: Sequence[ModelBundle],
    eval_set: EvaluationSet,
    real: RealSource,
    config: ReaderConfig,
) -> Iterator[Opponent]:
    """Yield the models, then the other sources, with as many poems as there are real ones."""
    counts = real.counts(config.size)
    for bundle in bundles:
        for temperature in config.temperatures:
            samples = sample_by_form(
                Generator(bundle), totals(counts), temperature=temperature, seed=config.seed
            )
            name = model_name(bundle.path)
            yield Opponent(name, deal(samples.poems, counts), temperature)
    if config.song is not None:
        known = [*eval_set.train, *eval_set.other_held_out, *eval_set.poems]
        yield Opponent(tr("real Song poems"), deal(song_poems(config.song, known), counts))
    drawn = kneser_ney_poems(eval_set.train, totals(counts), config.seed)
    yield Opponent(tr("Kneser–Ney model"), deal(drawn, counts))


def judge_source(
    real: RealSource,
    opponent: Opponent,
    features: PoemFeatures,
    config: ReaderConfig,
    stage: Stage,
) -> ReaderRow:
    """Return how well judges tell a source from real poems; advance `stage` once per form."""
    verdicts: dict[str, Verdict] = {}
    for form in FORMS:
        data = {part: _labeled(real.parts, opponent.parts, part, form, config) for part in PARTS}
        if all(len(one.first) >= MIN_POEMS for one in data.values()):
            verdicts[form] = _verdict(data, features, config.seed)
        stage.advance()
    own = verdicts.values()
    num_judged, num_pools = (sum(one.num_judged for one in own), sum(one.num_pools for one in own))
    return ReaderRow(
        opponent.name,
        opponent.temperature,
        verdicts,
        wilson_share(sum(one.num_right for one in own), num_judged) if num_judged else None,
        wilson_share(sum(one.pools_right for one in own), num_pools) if num_pools else None,
    )


def _labeled(
    real: Mapping[str, PoemsByForm],
    other: Mapping[str, PoemsByForm],
    part: str,
    form: str,
    config: ReaderConfig,
) -> Labeled:
    """Return the same number of poems of both sources."""
    num = min(len(real[part][form]), len(other[part][form]), config.size)
    return Labeled(real[part][form][:num], other[part][form][:num])


def _verdict(data: Mapping[str, Labeled], features: PoemFeatures, seed: int) -> Verdict:
    judges: list[Judge] = [FeatureJudge(features), PhraseJudge(), SequenceJudge(seed)]
    train, selection, judged = (data[part] for part in PARTS)
    accuracies: dict[str, float] = {}
    for judge in judges:
        judge.fit(train, selection)
        accuracies[judge.name] = selection.accuracy(judge.scores(selection.poems))
    strongest = max(judges, key=lambda judge: accuracies[judge.name])
    scores = strongest.scores(judged.poems)
    num = len(judged.first)
    pooled = np.concatenate([_pool_sums(scores[:num]), _pool_sums(scores[num:])])
    num_pools = num // POOL_SIZE
    return Verdict(
        strongest.name,
        accuracies,
        num_learned=len(train.first),
        num_judged=2 * num,
        num_right=_num_right(scores, num),
        num_pools=2 * num_pools,
        pools_right=_num_right(pooled, num_pools),
    )


def _pool_sums(scores: Scores) -> Scores:
    """Return the sums of the scores of each five poems; what is left over is left out."""
    num_pools = len(scores) // POOL_SIZE
    sums: Scores = scores[: num_pools * POOL_SIZE].reshape(num_pools, POOL_SIZE).sum(axis=1)
    return sums


def _num_right(scores: Scores, num_first: int) -> int:
    """Return how many scores have the sign of their source; the first source's come first."""
    return int((scores[:num_first] <= 0).sum() + (scores[num_first:] > 0).sum())

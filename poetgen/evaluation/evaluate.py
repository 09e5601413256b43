"""Evaluate models on held-out poems.

1. Draw samples of real poems from the evaluation set (`comparison`).
2. Score the evaluation set under each model (`likelihood`).
3. Generate poems with each model at each temperature (`samples`).
4. Measure them, and the same number of real poems (`comparison`, `metrics`, `whole_poems`).
5. Let judges distinguish them from real poems, if asked (`reader`).
6. Return the report (`report`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poetgen.data.poem import Poem, fingerprint
from poetgen.evaluation.comparison import (
    PoemsByForm,
    RealBaseline,
    RealPoems,
    count_flagged,
    draw_real,
)
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.estimate import log_estimate
from poetgen.evaluation.likelihood import evaluate_likelihood
from poetgen.evaluation.metrics.diversity import rank_frequency
from poetgen.evaluation.metrics.novelty import TrainingLines, TrainingNGrams
from poetgen.evaluation.metrics.table import Background
from poetgen.evaluation.report import (
    EvaluationReport,
    NullSample,
    ReaderReport,
    ReferenceReport,
    ReportColumn,
    ReportSettings,
    RunReport,
    SamplingSettings,
)
from poetgen.evaluation.samples import (
    FREE,
    MODES,
    SampleSet,
    count_forms,
    sample_by_form,
    sample_for_titles,
)
from poetgen.evaluation.whole_poems import WholePoemBaseline, fit_whole_poems, select_titled
from poetgen.language import tr
from poetgen.model.file import ModelBundle
from poetgen.prosody.forms import FORMS
from poetgen.runs import BUNDLED, model_name
from poetgen.sampling.generator import Generator
from poetgen.sampling.options import Options

NUM_EXAMPLES = 20


@dataclass(frozen=True)
class EvalConfig:
    """How much `evaluate_models` measures.

    Raises:
        UsageError: a temperature is out of range.
    """

    samples_per_form: int = 200
    """Poems to generate of each form; 0 evaluates the likelihood only."""
    temperatures: tuple[float, ...] = (0.8,)
    seed: int = 1
    """Seed of the generated poems, of the samples of real poems, and of the bootstrap."""
    constrained: bool = False
    """Whether to generate poems under constraints too."""
    baseline: bool = False
    """Whether to train and score Kneser–Ney models of the training split."""
    reader: bool = False
    """Whether to make the reader's test."""
    reader_size: int = 1400
    """Poems of each source and form that a judge learns from, at most."""
    song: Path | None = None
    """A folder of Song poems for the reader's test."""

    def __post_init__(self) -> None:
        for temperature in self.temperatures:
            Options(temperature=temperature)


def evaluate_models(
    bundles: Sequence[ModelBundle],
    eval_set: EvaluationSet,
    config: EvalConfig,
    *,
    generated: Sequence[tuple[str, SampleSet]] = (),
) -> EvaluationReport:
    """Evaluate each model; return a run per model and temperature, and one per entry of `generated`.

    `generated` are named samples from elsewhere, measured like those of a model.
    """
    real = draw_real(
        eval_set.poems, eval_set.other_held_out, count=config.samples_per_form, seed=config.seed
    )
    counts = {form: len(real.first[form]) or config.samples_per_form for form in FORMS}
    modes = tuple(MODES) if config.constrained else (FREE,)
    titled = select_titled(real.first) if eval_set.train else {}
    log_estimate(
        bundles,
        eval_set.poems,
        counts,
        titled=_count(titled),
        modes=modes,
        num_temperatures=len(config.temperatures),
    )
    settings = _settings(eval_set)
    runs = [_likelihood_run(bundle, eval_set, config) for bundle in bundles]
    reader = _reader(bundles, eval_set, config) if config.reader else None
    if not config.samples_per_form:
        return EvaluationReport(settings, None, runs, reader)
    *baselines, file_baseline = all_baselines = _real_baselines(bundles, eval_set, real, config)
    whole = fit_whole_poems(eval_set.train, eval_set.poems, real.first, seed=config.seed)
    reference = _reference(eval_set, all_baselines[0], whole)
    particles = Options().particles if config.constrained else None
    sampling = SamplingSettings(counts, config.temperatures, config.seed, particles)
    sampled_runs = [
        replace(
            run,
            temperature=temperature,
            missing=baseline.background.missing,
            columns=_sample_columns(bundle, sampling, temperature, baseline, whole),
        )
        for bundle, run, baseline in zip(bundles, runs, baselines, strict=True)
        for temperature in config.temperatures
    ]
    missing = file_baseline.background.missing
    file_runs = [
        RunReport(
            name, missing=missing, columns={FREE: _column(name, samples, file_baseline, whole)}
        )
        for name, samples in generated
    ]
    return EvaluationReport(
        replace(settings, sampling=sampling), reference, sampled_runs + file_runs, reader
    )


def _reader(
    bundles: Sequence[ModelBundle], eval_set: EvaluationSet, config: EvalConfig
) -> ReaderReport:
    from poetgen.evaluation.reader.trial import ReaderConfig, reader_test  # imports torch

    return reader_test(
        bundles,
        eval_set,
        ReaderConfig(config.reader_size, config.temperatures, config.seed, config.song),
    )


def _settings(eval_set: EvaluationSet) -> ReportSettings:
    return ReportSettings(
        source=eval_set.source,
        split=eval_set.split,
        corpus=eval_set.corpus_fingerprint,
        poems=len(eval_set.poems),
        poems_fingerprint=fingerprint(eval_set.poems),
        num_excluded=eval_set.num_excluded,
        warnings=eval_set.warnings,
    )


def _likelihood_run(bundle: ModelBundle, eval_set: EvaluationSet, config: EvalConfig) -> RunReport:
    return RunReport(
        model=BUNDLED.stem if bundle.path == BUNDLED else str(bundle.path),
        fingerprint=weights_fingerprint(bundle.fp32_weights()),
        trained_on=bundle.corpus_fingerprint,
        likelihood=evaluate_likelihood(
            bundle, eval_set, seed=config.seed, baseline=config.baseline
        ),
    )


def _real_baselines(
    bundles: Sequence[ModelBundle], eval_set: EvaluationSet, real: RealPoems, config: EvalConfig
) -> list[RealBaseline]:
    """Return a baseline per model, with its record of training lines, then one for files."""
    train = eval_set.train
    ngrams = TrainingNGrams(train) if train else None
    return [
        RealBaseline(real, Background(TrainingLines(train, lines), ngrams, real.rest, config.seed))
        for lines in (*(bundle.training_lines for bundle in bundles), ())
    ]


def _reference(
    eval_set: EvaluationSet, baseline: RealBaseline, whole: WholePoemBaseline | None
) -> ReferenceReport | None:
    """Describe the real poems; None if none of them is in one of the forms."""
    real = baseline.real
    if not any(real.first.values()):
        return None
    second = baseline.compare(real.second, tr("measuring real poems"))
    return ReferenceReport(
        poems=_count(real.first),
        forms=count_forms(eval_set.poems),
        second_sample=NullSample(_count(real.second), *count_flagged(second)),
        rank_frequency=rank_frequency(chain(*real.first.values())),
        whole_poems=whole.tests if whole else {},
    )


def _sample_columns(
    bundle: ModelBundle,
    sampling: SamplingSettings,
    temperature: float,
    baseline: RealBaseline,
    whole: WholePoemBaseline | None,
) -> dict[str, ReportColumn]:
    """Generate poems with one model at one temperature, in each mode, and measure them."""
    columns = {}
    for mode in MODES if sampling.particles else (FREE,):
        generator = Generator(bundle)
        samples = sample_by_form(
            generator,
            sampling.samples_per_form,
            temperature=temperature,
            seed=sampling.seed,
            mode=mode,
        )
        column = _column(model_name(bundle.path), samples, baseline, whole)
        titled = sample_for_titles(
            generator,
            whole.titled if whole else {},
            temperature=temperature,
            seed=sampling.seed,
            first_index=sum(sampling.samples_per_form.values()),
            mode=mode,
        )
        if whole and titled:
            found = {**column.whole_poems, **whole.compare_titled(titled)}
            column = replace(column, whole_poems=found, titled=len(titled))
        columns[mode] = column
    return columns


def _column(
    name: str, samples: SampleSet, baseline: RealBaseline, whole: WholePoemBaseline | None
) -> ReportColumn:
    measured = baseline.cut(samples.poems)
    metrics = baseline.compare(measured, tr("{model}: measuring", model=name))
    if samples.forms:  # poems sorted by their form are in it by construction
        for of_form in metrics.values():
            of_form.pop("in_form", None)
    compared, flagged = count_flagged(metrics)
    return ReportColumn(
        poems=_count(measured),
        form_given=samples.form_given,
        generated=samples.num_generated,
        failed=samples.num_failed,
        forms=samples.forms,
        compared=compared,
        flagged=flagged,
        metrics=metrics,
        rank_frequency=rank_frequency(chain(*samples.poems.values())),
        examples=_examples(samples.poems),
        whole_poems=whole.compare(measured) if whole else {},
    )


def _examples(poems: PoemsByForm) -> list[tuple[str, Poem]]:
    """Return the first poems of each form, not selected, `NUM_EXAMPLES` in all."""
    num_per_form = -(-NUM_EXAMPLES // max(1, sum(map(bool, poems.values()))))
    examples = [(form, poem) for form, own in poems.items() for poem in own[:num_per_form]]
    return examples[:NUM_EXAMPLES]


def _count(poems: PoemsByForm) -> dict[str, int]:
    return {form: len(own) for form, own in poems.items()}


def weights_fingerprint(weights: Mapping[str, NDArray[np.float32]]) -> str:
    """Return sixteen hex digits that identify a network's weights."""
    digest = hashlib.blake2b(digest_size=8)
    for name, weight in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(weight.tobytes())
    return digest.hexdigest()

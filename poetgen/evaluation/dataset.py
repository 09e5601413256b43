"""The poems that models are evaluated on: a split of a corpus, or a file, checked for overlap.

A model may have been trained on another corpus than the one the split is taken from.  Poems of the split
can then be in its training text; the fingerprints of its training lines show which.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from poetgen.config import load_saved_config
from poetgen.data.bloom import is_mostly_known
from poetgen.data.clean import clean, reason_label
from poetgen.data.corpus import DEFAULT_FOLDER, Corpus, corpus_paths, load_corpus
from poetgen.data.poem import Poem
from poetgen.data.read import read
from poetgen.data.split import Split
from poetgen.errors import CorpusError
from poetgen.evaluation.metrics.novelty import TrainingLines
from poetgen.language import tr, tr_plural
from poetgen.model.file import ModelBundle
from poetgen.runs import CONFIG

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationSet:
    """The poems that models are evaluated on, and their source."""

    poems: list[Poem]
    source: str
    split: str | None = None
    corpus_fingerprint: str | None = None
    """Fingerprint of the whole corpus that the split is taken from."""
    other_held_out: list[Poem] = field(default_factory=list)
    """Poems of the other held-out split, for samples of real poems."""
    train: list[Poem] = field(default_factory=list)
    """The training split; empty where it is not available."""
    num_excluded: int = 0
    """Poems excluded because they share a line with a model's training text."""
    warnings: tuple[str, ...] = ()
    """Warnings for the reader of the report."""

    @classmethod
    def from_split(cls, corpus: Corpus, source: str, split: Split) -> "EvaluationSet":
        """Take one split of a corpus.

        Raises:
            CorpusError: the split is empty.
        """
        held_out: tuple[Split, ...] = ("valid", "test")
        others = [p for other in held_out if other != split for p in corpus.splits[other]]
        poems, train = corpus.splits[split], corpus.splits["train"]
        return _require_poems(cls(poems, source, split, corpus.fingerprint, others, train))

    @classmethod
    def from_file(cls, path: Path) -> "EvaluationSet":
        """Read and clean the poems of a file or folder; log the records that are dropped.

        Raises:
            CorpusError: the file is unreadable, or no poem is left.
        """
        poems, report = clean(read(path))
        eval_set = _require_poems(cls(poems, str(path)))
        for fault in report.faults():
            logger.warning("%s", fault)
        for reason, count in report.dropped.items():
            logger.warning(
                tr_plural(
                    count,
                    "{num:,} record of {path} is not scored: {reason}",
                    "{num:,} records of {path} are not scored: {reason}",
                    path=path,
                    reason=reason_label(reason),
                )
            )
        return eval_set

    @classmethod
    def empty(cls, warning: str) -> "EvaluationSet":
        """No poems: generated poems are still measured, but not compared with real ones."""
        return cls([], "", warnings=(warning,))


def load_evaluation_set(
    bundles: Sequence[ModelBundle],
    *,
    poems: Path | None = None,
    corpus: Sequence[Path] = (),
    split: Split | None = None,
    has_samples: bool = True,
    baseline: bool = False,
) -> EvaluationSet:
    """Return the poems of the file `poems`, else a split of a corpus, without training overlap.

    The corpus is `corpus`, else that of the first model's run, else $POETGEN_CORPUS or data/tang; the
    split is the test split by default.  Where neither is named and data/tang is absent, the set is
    empty if generated poems can still be measured (`has_samples`) and no Kneser–Ney `baseline` is
    trained.  Warnings are logged.

    Raises:
        CorpusError: a file is unreadable, no poem is left, or the baseline has no training text.
    """
    if poems is not None:
        eval_set = _load_file(poems, needs_train=has_samples or baseline, baseline=baseline)
    else:
        can_be_empty = has_samples and not baseline
        eval_set = _load_split(bundles, corpus, split, can_be_empty=can_be_empty)
    eval_set = exclude_training_overlap(eval_set, bundles)
    for warning in eval_set.warnings:
        logger.warning("%s", warning)
    return eval_set


def _load_file(path: Path, *, needs_train: bool, baseline: bool) -> EvaluationSet:
    """Return the poems of a file, with the training split of the default corpus if it exists."""
    eval_set = EvaluationSet.from_file(path)
    paths = corpus_paths()
    if needs_train and all(path.exists() for path in paths):
        return replace(eval_set, train=load_corpus(paths).splits["train"])
    if baseline:
        raise CorpusError(
            tr(
                "--baseline needs a corpus for training, and there is none at {path}", path=paths[0]
            ),
            tr("Fetch it with `poetgen corpus fetch`, or omit --baseline."),
        )
    return eval_set


def _load_split(
    bundles: Sequence[ModelBundle],
    corpus: Sequence[Path],
    split: Split | None,
    *,
    can_be_empty: bool,
) -> EvaluationSet:
    of_runs = filter(None, (run_corpus_paths(one.path) for one in bundles if one.path))
    paths = corpus_paths(corpus or next(of_runs, []))
    is_default = paths == [DEFAULT_FOLDER] and not corpus and split is None
    if is_default and can_be_empty and not DEFAULT_FOLDER.exists():
        return EvaluationSet.empty(
            tr(
                "there is no corpus at {path}: no likelihood, and no real poems to compare with "
                "(download it with `poetgen corpus fetch`)",
                path=DEFAULT_FOLDER,
            )
        )
    source = ", ".join(map(str, paths))
    return EvaluationSet.from_split(load_corpus(paths), source, split or "test")


def run_corpus_paths(model: Path) -> list[Path]:
    """Return the corpus paths in the configuration of a model's run; none if one is missing."""
    config_file = model.with_name(CONFIG)
    names = load_saved_config(config_file).data.corpus if config_file.is_file() else []
    paths = corpus_paths([Path(name) for name in names]) if names else []
    return paths if all(path.exists() for path in paths) else []


def exclude_training_overlap(
    eval_set: EvaluationSet, bundles: Sequence[ModelBundle]
) -> EvaluationSet:
    """Return `eval_set` without poems that share a line with a model's training text.

    Excluded, for all models, are poems that overlap with a model trained on another corpus.  Kept and
    reported in the warnings are overlaps with a file of poems, which a user selected, and overlaps of
    a model's own corpus with the training text of the model that it was initialized from.

    Raises:
        CorpusError: no poem is left.
    """
    checked = bundles if eval_set.poems else ()
    warnings = [*eval_set.warnings, *filter(None, (_overlap_warning(b, eval_set) for b in checked))]
    foreign = [
        TrainingLines(filters=bundle.training_lines)
        for bundle in checked
        if _has_other_corpus(bundle, eval_set)
    ]
    poems, others = (
        [poem for poem in part if not any(lines.overlaps(poem) for lines in foreign)]
        for part in (eval_set.poems, eval_set.other_held_out)
    )
    num_excluded = len(eval_set.poems) - len(poems)
    if num_excluded and not poems:
        raise CorpusError(
            tr(
                "all {num:,} poems of {source} share a line with the training text of a model",
                num=num_excluded,
                source=eval_set.source,
            ),
            tr("Name another --split or --corpus, or score all of them as a file with --poems."),
        )
    return replace(
        eval_set,
        poems=poems,
        other_held_out=others,
        num_excluded=num_excluded,
        warnings=tuple(warnings),
    )


def _has_other_corpus(bundle: ModelBundle, eval_set: EvaluationSet) -> bool:
    """Whether the split is one of another corpus than the model was trained on."""
    return eval_set.corpus_fingerprint not in (None, bundle.corpus_fingerprint)


def _overlap_warning(bundle: ModelBundle, eval_set: EvaluationSet) -> str:
    """Return a warning of poems that a model may have been trained on; empty if there are none."""
    lines = TrainingLines(filters=bundle.training_lines)
    num_shared = sum(map(lines.overlaps, eval_set.poems))
    if _has_other_corpus(bundle, eval_set):
        return _other_corpus_warning(bundle, eval_set, num_shared)
    if eval_set.corpus_fingerprint is None:
        if not num_shared:
            return ""
        return tr_plural(
            num_shared,
            "{num:,} of these poems shares a line with the training text of {model}",
            "{num:,} of these poems share a line with the training text of {model}",
            model=bundle.path,
        )
    num_known = sum(is_mostly_known(p.lines, bundle.training_lines) for p in eval_set.poems)
    if not num_known:
        return ""
    return tr_plural(
        num_known,
        "{num:,} of these poems is in the training text of {model}, or of the model that it was "
        "initialized from: its metrics are too good",
        "{num:,} of these poems are in the training text of {model}, or of the model that it was "
        "initialized from: its metrics are too good",
        model=bundle.path,
    )


def _other_corpus_warning(bundle: ModelBundle, eval_set: EvaluationSet, num_shared: int) -> str:
    if bundle.training_lines:
        consequence = tr_plural(
            num_shared,
            "{num:,} poem that shares a line with its training text is excluded",
            "{num:,} poems that share a line with its training text are excluded",
        )
    else:
        consequence = tr("poems of this split may be in its training text, which is not recorded")
    return tr(
        "{model} was trained on another corpus ({trained_on}, not {corpus}): {consequence}",
        model=bundle.path,
        trained_on=bundle.corpus_fingerprint,
        corpus=eval_set.corpus_fingerprint,
        consequence=consequence,
    )


def _require_poems(eval_set: EvaluationSet) -> EvaluationSet:
    if not eval_set.poems:
        raise CorpusError(
            tr("there is no poem to evaluate on in {source}", source=eval_set.source),
            tr("Name another --split, --corpus or --poems file."),
        )
    return eval_set

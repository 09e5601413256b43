"""The poems that models are measured on: a split of a corpus, or a file; and whether that is fair.

A model may have been trained on another corpus than the one at hand.  Then poems of the split may stand
in its training text, which the fingerprints of its training lines tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from poetgen.data.clean import CleaningReport, clean
from poetgen.data.corpus import Corpus
from poetgen.data.lines import mostly_in
from poetgen.data.poem import Poem
from poetgen.data.read import read
from poetgen.data.split import Split
from poetgen.errors import CorpusError
from poetgen.evaluation.novelty import TrainingLines
from poetgen.model.store import StoredModel


@dataclass(frozen=True)
class EvaluationSet:
    """The poems that models are measured on, and where they come from."""

    poems: list[Poem]
    source: str
    split: str | None
    corpus: str | None
    """Fingerprint of the whole corpus that the split was taken from."""
    more: list[Poem] = field(default_factory=list)
    """Other held-out poems, for samples of real ones."""
    train: list[Poem] = field(default_factory=list)
    """The training split; empty where it is not here."""
    left_out: int = 0
    """Poems that share a line with a model's training text."""
    remarks: tuple[str, ...] = ()
    """What the reader of the report should know of these poems."""


def split_set(corpus: Corpus, source: str, split: Split) -> EvaluationSet:
    """One split of a corpus.

    Raises:
        CorpusError: it is empty.
    """
    held_out: tuple[Split, ...] = ("valid", "test")
    return _checked(
        EvaluationSet(
            corpus.splits[split],
            source,
            split,
            corpus.fingerprint,
            more=[p for side in held_out if side != split for p in corpus.splits[side]],
            train=corpus.splits["train"],
        )
    )


def file_set(path: Path) -> tuple[EvaluationSet, CleaningReport]:
    """The poems of any file or folder that `read` takes, and what became of its records.

    Raises:
        CorpusError: unreadable, or no poem is left.
    """
    poems, report = clean(read(path))
    return _checked(EvaluationSet(poems, str(path), None, None)), report


def no_set(why: str) -> EvaluationSet:
    """No poems: what a model writes can still be measured, though not beside real poems."""
    return EvaluationSet([], "", None, None, remarks=(why,))


def beside(on: EvaluationSet, models: Sequence[StoredModel]) -> EvaluationSet:
    """`on` as fair ground for `models`, with remarks on those that were trained on another corpus.

    Of a corpus that a model was not trained on, poems that share a line with its training text are
    left out, for all models.  Of a file they are counted and kept: someone chose them; and so are those
    of its own corpus that the model which it was begun from knew.

    Raises:
        CorpusError: no poem is left.
    """
    remarks = list(on.remarks)
    strangers = []
    for stored in models if on.poems else ():
        shared = sum(map(_Shares(stored), on.poems))
        if on.corpus is None:
            if shared:
                remarks.append(
                    f"{shared:,} of these poems share a line with the training text of {stored.path}"
                )
        elif stored.corpus == on.corpus:
            if num_known := sum(mostly_in(poem.lines, stored.lines) for poem in on.poems):
                remarks.append(
                    f"{num_known:,} of these poems stand in what {stored.path}, or the model it was "
                    "begun from, was trained on: its figures flatter it"
                )
        else:
            strangers.append(stored)
            remarks.append(
                f"{stored.path} was trained on another corpus ({stored.corpus}, not {on.corpus}): "
                + (
                    f"{shared:,} poems that share a line with its training text are left out"
                    if stored.lines
                    else "poems of this split may stand in its training text, which it has no record of"
                )
            )
    return _checked_if_any(_without(replace(on, remarks=tuple(remarks)), strangers))


class _Shares:
    """Whether a poem shares a line with the training text of a model, as far as that is recorded."""

    def __init__(self, stored: StoredModel) -> None:
        self._lines = TrainingLines(sets=stored.lines)

    def __call__(self, poem: Poem) -> bool:
        return any(line in self._lines for line in poem.lines)


def _without(on: EvaluationSet, strangers: Sequence[StoredModel]) -> EvaluationSet:
    shares = [_Shares(stored) for stored in strangers]
    kept, more = (
        [poem for poem in poems if not any(known(poem) for known in shares)]
        for poems in (on.poems, on.more)
    )
    return replace(on, poems=kept, more=more, left_out=len(on.poems) - len(kept))


def _checked(poems: EvaluationSet) -> EvaluationSet:
    if not poems.poems:
        raise CorpusError(
            f"there is no poem to evaluate on in {poems.source}",
            "Name another --split, --corpus or file of --poems.",
        )
    return poems


def _checked_if_any(on: EvaluationSet) -> EvaluationSet:
    """`on`, unless all of its poems were left out."""
    if on.left_out and not on.poems:
        raise CorpusError(
            f"all {on.left_out:,} poems of {on.source} share a line with the training text of a model",
            "Name another --split or --corpus; or score them all the same, as a file of --poems.",
        )
    return on

"""Load a corpus: read, clean and split its poems, and count them."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from poetgen.data.clean import CleaningReport, clean, reason_label
from poetgen.data.poem import Poem, fingerprint
from poetgen.data.read import BrokenRecord, RawRecord, corpus_files, read
from poetgen.data.split import (
    Split,
    exclude_near_held_out,
    leaked_lines_rate,
    near_copies,
    split_poems,
)
from poetgen.data.vocab import Vocabulary
from poetgen.errors import CorpusError
from poetgen.language import tr
from poetgen.progress import track
from poetgen.prosody.forms import form_of
from poetgen.prosody.marks import STOPS

DEFAULT_FOLDER = Path("data/tang")


@dataclass(frozen=True)
class Corpus:
    """Poems by split, and the counts of what cleaning dropped and changed.

    corpus = load_corpus(corpus_paths())
    corpus.splits["valid"], corpus.training_poems
    """

    splits: dict[Split, list[Poem]]
    cleaning: CleaningReport
    extra: list[Poem] = field(default_factory=list)
    """Additional training poems, which are not part of the split."""
    extra_cleaning: CleaningReport = field(default_factory=CleaningReport)
    near_held_out: list[Poem] = field(default_factory=list)
    """Poems left out of the training split, because they are nearly held-out poems."""

    @property
    def training_poems(self) -> list[Poem]:
        """The training split and the additional training poems."""
        return self.splits["train"] + self.extra

    @property
    def poems(self) -> list[Poem]:
        return [poem for poems in self.splits.values() for poem in poems]

    @property
    def fingerprint(self) -> str:
        """16 hex digits that identify the set of poems that were split."""
        return fingerprint(self.poems + self.near_held_out)


STARTER = "starter"
"""The name of the bundled verses; valid wherever a corpus path is."""
STARTER_FILE = Path(__file__).parent.parent / "resources" / "starter.txt"


def corpus_paths(given: Sequence[Path] = ()) -> list[Path]:
    """Return the corpus paths: `given`, else `$POETGEN_CORPUS`, else data/tang."""
    paths = given or [Path(os.environ.get("POETGEN_CORPUS") or DEFAULT_FOLDER)]
    return [STARTER_FILE if path == Path(STARTER) and not path.exists() else path for path in paths]


def load_corpus(paths: Sequence[Path], extra: Sequence[Path] = ()) -> Corpus:
    """Read, clean and split all poems under `paths`; load those under `extra` for training only.

    Training poems that are nearly held-out poems are dropped as `near_held_out`.  `extra` does not affect
    the split.  Its poems that also occur in `paths` are dropped as `duplicate`, those that share a line
    with a held-out poem, or are nearly one, as `near_held_out`.

    Raises:
        CorpusError: a path is missing or unreadable, or no poem is left.
    """
    poems, cleaning = clean(_read_all(paths))
    if not poems:
        raise _no_poem_left(paths, cleaning)
    splits = split_poems(poems)
    near = near_copies(splits["train"], splits)
    near_held_out = [poem for poem in splits["train"] if poem in near]
    splits["train"] = [poem for poem in splits["train"] if poem not in near]
    if near_held_out:
        cleaning.dropped["near_held_out"] += len(near_held_out)
        cleaning.kept -= len(near_held_out)
    if not extra:
        return Corpus(splits, cleaning, near_held_out=near_held_out)
    others, extra_cleaning = clean(_read_all(extra))
    known = {poem.characters for poem in poems}
    new = [poem for poem in others if poem.characters not in known]
    kept = exclude_near_held_out(new, splits)
    extra_cleaning.dropped["duplicate"] += len(others) - len(new)
    extra_cleaning.dropped["near_held_out"] += len(new) - len(kept)
    extra_cleaning.kept = len(kept)
    return Corpus(splits, cleaning, kept, extra_cleaning, near_held_out)


def _read_all(paths: Sequence[Path]) -> Iterator[RawRecord | BrokenRecord]:
    files = [file for path in paths for file in corpus_files(path)]
    for file in track(files, tr("reading poems")):
        yield from read(file)


def _no_poem_left(paths: Sequence[Path], cleaning: CleaningReport) -> CorpusError:
    reasons = cleaning.dropped.most_common()
    counts = ", ".join(f"{reason_label(reason)} {count:,}" for reason, count in reasons)
    return CorpusError(
        tr(
            "no poem is left of {num:,} records in {files} (dropped: {counts})",
            num=cleaning.read,
            files=", ".join(map(str, paths)),
            counts=counts or tr("none"),
        ),
        tr(
            "A poem needs two lines, separated by marks or spaces, and eight Han characters; give "
            "one poem per line, or JSON records."
        ),
    )


def truncate(text: str, max_tokens: int) -> tuple[str, bool]:
    """Return `text` with at most `max_tokens` tokens (`<eos>` included), and whether it was truncated.

    The result ends after a complete sentence if there is one, else in mid-sentence.

    >>> truncate("山风。溪月。", 6)
    ('山风。', True)
    """
    if len(text) + 1 <= max_tokens:
        return text, False
    head = text[: max_tokens - 1]
    end = max(head.rfind(stop) for stop in STOPS) + 1
    return head[: end or len(head)], True


@dataclass(frozen=True)
class ExtraReport:
    """Counts of the additional training poems."""

    num_read: int
    num_kept: int
    dropped: dict[str, int]
    leaked_lines_rate: float


@dataclass(frozen=True)
class CorpusReport:
    """Counts of a corpus; data/README.md explains each of them."""

    num_read: int
    num_kept: int
    dropped: dict[str, int]
    """Records dropped, by reason, most frequent first."""
    changed: dict[str, int]
    """Poems changed, by change, most frequent first."""
    forms: dict[str, int]
    num_characters: int
    """Han characters in the vocabulary."""
    coverage: float
    """Fraction of held-out characters and marks that are in the vocabulary."""
    split: dict[Split, int]
    leaked_lines_rate: float
    """Fraction of held-out lines that occur in the training split."""
    fingerprint: str
    extra: ExtraReport | None = None

    def to_json(self) -> dict[str, object]:
        """Return the object that `poetgen corpus report --json` prints."""
        values: dict[str, object] = {
            "read": self.num_read,
            "kept": self.num_kept,
            "dropped": self.dropped,
            "changed": self.changed,
            "forms": self.forms,
            "vocabulary": {"characters": self.num_characters, "coverage": self.coverage},
            "split": self.split,
            "leaked_lines_rate": self.leaked_lines_rate,
            "fingerprint": self.fingerprint,
        }
        if extra := self.extra:
            values["extra"] = {
                "read": extra.num_read,
                "kept": extra.num_kept,
                "dropped": extra.dropped,
                "leaked_lines_rate": extra.leaked_lines_rate,
            }
        return values


def corpus_report(corpus: Corpus, *, min_count: int, max_tokens: int) -> CorpusReport:
    """Count what cleaning, the split and a vocabulary of `min_count` make of a corpus."""
    cleaning, extra = corpus.cleaning, corpus.extra_cleaning
    train = corpus.training_poems
    vocab = Vocabulary.build(train, min_count=min_count)
    held_out = [poem for split in ("valid", "test") for poem in corpus.splits[split]]
    symbols = Counter(c for poem in held_out for c in poem.text)
    num_covered = sum(n for c, n in symbols.items() if c in vocab.ids)
    num_truncated = sum(truncate(poem.text, max_tokens)[1] for poem in train)
    return CorpusReport(
        num_read=cleaning.read,
        num_kept=cleaning.kept,
        dropped=_sorted(cleaning.dropped),
        changed=_sorted(Counter({**cleaning.changed, "cut": num_truncated})),
        forms=_sorted(Counter(form_of(poem.lines) for poem in corpus.poems)),
        num_characters=vocab.num_hanzi,
        coverage=num_covered / max(1, symbols.total()),
        split={split: len(poems) for split, poems in corpus.splits.items()},
        leaked_lines_rate=leaked_lines_rate(corpus.splits),
        fingerprint=corpus.fingerprint,
        extra=ExtraReport(
            num_read=extra.read,
            num_kept=extra.kept,
            dropped=_sorted(extra.dropped),
            leaked_lines_rate=leaked_lines_rate(corpus.splits, corpus.extra),
        )
        if extra.read
        else None,
    )


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(counts.most_common())

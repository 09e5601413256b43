"""The corpus as the rest of the program sees it: cleaned, split, counted."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from poetgen.data.clean import CleaningReport, clean
from poetgen.data.poem import STOPS, Poem, fingerprint
from poetgen.data.read import read
from poetgen.data.split import Split, away_from_held_out, leaked_lines_rate, split_poems
from poetgen.data.vocab import Vocabulary
from poetgen.errors import CorpusError
from poetgen.prosody.forms import form_of

DEFAULT_FOLDER = Path("data/tang")


@dataclass(frozen=True)
class Corpus:
    """Poems by split, and what cleaning did to get them."""

    splits: dict[Split, list[Poem]]
    cleaning: CleaningReport
    extra: list[Poem] = field(default_factory=list)
    """More poems to train on, from elsewhere; they take no part in the split."""
    extra_cleaning: CleaningReport = field(default_factory=CleaningReport)

    @property
    def training_poems(self) -> list[Poem]:
        """The training split and what was added to it."""
        return self.splits["train"] + self.extra

    @property
    def poems(self) -> list[Poem]:
        return [poem for side in self.splits.values() for poem in side]

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that name this set of poems."""
        return fingerprint(self.poems)


STARTER = "starter"
"""The name of the verses that come with the program, usable wherever a corpus path is."""
STARTER_FILE = Path(__file__).parent.parent / "resources" / "starter.txt"


def corpus_paths(given: Sequence[Path] = ()) -> list[Path]:
    """Where the corpus is: `given`, else `$POETGEN_CORPUS`, else data/tang."""
    paths = given or [Path(os.environ.get("POETGEN_CORPUS") or DEFAULT_FOLDER)]
    return [STARTER_FILE if path == Path(STARTER) and not path.exists() else path for path in paths]


def load_corpus(paths: Sequence[Path], extra: Sequence[Path] = ()) -> Corpus:
    """Read, clean and split all poems under `paths`; add those under `extra` to the training text.

    The split is that of `paths` alone.  Of `extra`, poems that `paths` has too are dropped as
    `duplicate`, and poems that share a line with a held-out poem as `near_held_out`.

    Raises:
        CorpusError: a path is missing or unreadable, or no poem is left.
    """
    poems, cleaning = clean(record for path in paths for record in read(path))
    if not poems:
        places = ", ".join(map(str, paths))
        dropped = ", ".join(
            f"{count:,} {reason.replace('_', ' ')}"
            for reason, count in cleaning.dropped.most_common()
        )
        raise CorpusError(
            f"no poem is left of the {cleaning.read} records in {places}"
            + (f" ({dropped})" if dropped else ""),
            "A poem needs two lines, parted by marks or spaces, and eight Han characters; "
            "give a poem per line, or JSON records.",
        )
    splits = split_poems(poems)
    if not extra:
        return Corpus(splits, cleaning)
    others, extra_cleaning = clean(record for path in extra for record in read(path))
    known = {poem.characters for poem in poems}
    new = [poem for poem in others if poem.characters not in known]
    kept = away_from_held_out(new, splits)
    extra_cleaning.dropped["duplicate"] += len(others) - len(new)
    extra_cleaning.dropped["near_held_out"] += len(new) - len(kept)
    extra_cleaning.kept = len(kept)
    return Corpus(splits, cleaning, kept, extra_cleaning)


def cut(text: str, max_tokens: int) -> tuple[str, bool]:
    """`text` cut at a sentence end to fewer than `max_tokens` characters, and whether it was cut.

    The end-of-poem token counts too, so a whole poem of `max_tokens` tokens is not cut.  A text
    without a sentence end in reach is cut in the middle.
    """
    if len(text) + 1 <= max_tokens:
        return text, False
    head = text[: max_tokens - 1]
    end = max(head.rfind(stop) for stop in STOPS) + 1
    return head[: end or len(head)], True


def corpus_report(corpus: Corpus, *, min_count: int, max_tokens: int) -> dict[str, Any]:
    """The counts of `poetgen corpus report --json`; see data/README.md for what each means."""
    train = corpus.training_poems
    vocabulary = Vocabulary.build(train, min_count=min_count)
    held_out = [poem for split in ("valid", "test") for poem in corpus.splits[split]]
    symbols = Counter(c for poem in held_out for c in poem.text)
    covered = sum(n for c, n in symbols.items() if c in vocabulary.ids)
    changed = Counter(corpus.cleaning.changed)
    changed["cut"] = sum(cut(poem.text, max_tokens)[1] for poem in train)
    return {
        "read": corpus.cleaning.read,
        "kept": corpus.cleaning.kept,
        "dropped": dict(corpus.cleaning.dropped.most_common()),
        "changed": dict(changed.most_common()),
        "forms": dict(Counter(form_of(poem.lines) for poem in corpus.poems).most_common()),
        "vocabulary": {
            "characters": vocabulary.num_hanzi,
            "coverage": covered / max(1, symbols.total()),
        },
        "split": {split: len(side) for split, side in corpus.splits.items()},
        "leaked_lines_rate": leaked_lines_rate(corpus.splits),
        "fingerprint": corpus.fingerprint,
    } | ({"extra": _extra_report(corpus)} if corpus.extra_cleaning.read else {})


def _extra_report(corpus: Corpus) -> dict[str, Any]:
    cleaning = corpus.extra_cleaning
    return {
        "read": cleaning.read,
        "kept": cleaning.kept,
        "dropped": dict(cleaning.dropped.most_common()),
        "leaked_lines_rate": leaked_lines_rate(corpus.splits, corpus.extra),
    }

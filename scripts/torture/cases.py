"""Cases, their verdicts, and the rows of the table that counts them.

A campaign is a list of cases.  A case draws all its choices from a random generator that is seeded with its
name, so the same seed repeats it.  A case never raises for a fault of poetgen: it returns a verdict.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random

ROOT = Path(__file__).parent.parent.parent
"""The root of this checkout."""
MIB = 2**20
EXTRA_BYTES = 200 * MIB
"""Memory that a hostile input may take over an ordinary one, besides twice the size of the file."""


class Verdict(StrEnum):
    """How a case ended."""

    REFUSED = "refused"
    """With the two lines of an error; everything that was there is intact."""
    SURVIVED = "survived"
    """With the right result, or with a valid other one where the input is text."""
    LOST = "lost"
    """Something is missing, damaged or silently different.  Each campaign defines what."""
    TRACEBACK = "traceback"
    """With a traceback, a crash, or an error that is not two lines of plain text."""
    HANG = "hang"
    """Not within the time limit."""
    MEMORY = "memory"
    """With more memory than the bound."""

    @property
    def is_fault(self) -> bool:
        return self not in (Verdict.REFUSED, Verdict.SURVIVED)


@dataclass(frozen=True)
class Outcome:
    """The result of a case."""

    verdict: Verdict
    detail: str = ""
    """The reason for a fault."""
    peak_bytes: int = 0
    """Largest resident set of its processes."""
    note: str = ""
    """Something to count in the table, such as "in a save"."""


@dataclass(frozen=True)
class Case:
    """One attempt.  `run` draws from the random generator that it is given."""

    subject: str
    """The thing attacked; the cases of a subject are one row of the table."""
    what: str
    """How it is attacked."""
    run: Callable[[Random], Outcome]


@dataclass(frozen=True)
class Campaign:
    """The cases of a campaign, and what this machine does not allow."""

    name: str
    cases: Sequence[Case]
    skipped: Sequence[tuple[str, str]] = ()
    """Subjects without cases, each with the reason."""


@dataclass(frozen=True)
class Size:
    """The size of a run of the campaigns."""

    is_short: bool = False

    def num(self, full: int, short: int) -> int:
        """Return the number of cases for this size.

        >>> Size(is_short=True).num(100, 4)
        4
        """
        return short if self.is_short else full


def case_random(seed: int, campaign: str, index: int) -> Random:
    """Return the random generator of a case.

    >>> case_random(1, "kills", 3).random() == case_random(1, "kills", 3).random()
    True
    """
    return Random(f"{seed}/{campaign}/{index}")


@dataclass(frozen=True)
class Row:
    """The counts of a subject."""

    campaign: str
    subject: str
    outcomes: tuple[Outcome, ...] = ()
    skipped: str = ""
    """Why nothing was tried."""

    def num(self, verdict: Verdict) -> int:
        return sum(outcome.verdict is verdict for outcome in self.outcomes)

    @property
    def num_faults(self) -> int:
        return sum(outcome.verdict.is_fault for outcome in self.outcomes)

    @property
    def peak_bytes(self) -> int:
        return max((outcome.peak_bytes for outcome in self.outcomes), default=0)

    @property
    def notes(self) -> str:
        """The notes of the outcomes with their counts, or why nothing was tried."""
        counts = Counter(outcome.note for outcome in self.outcomes if outcome.note)
        return self.skipped or ", ".join(f"{num} {note}" for note, num in sorted(counts.items()))


_HEADINGS = (
    "campaign", "subject", "tried", "refused", "survived", "lost", "tracebacks", "hangs",
    "over memory", "peak MiB", "notes",
)  # fmt: skip


def markdown_table(rows: Iterable[Row]) -> str:
    """Return the rows as a table in Markdown, with a last row of totals."""
    rows = list(rows)
    total = Row("all", "", tuple(outcome for row in rows for outcome in row.outcomes))
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|---|---|" + "--:|" * 8 + "---|"]
    for row in (*rows, total):
        peak = f"{row.peak_bytes / MIB:,.0f}" if row.peak_bytes else ""
        notes = "" if row is total else row.notes
        counts = [len(row.outcomes), *(row.num(verdict) for verdict in Verdict)]
        cells = [row.campaign, row.subject, *map(str, counts), peak, notes]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)

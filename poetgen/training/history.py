"""The history of a run: the entries of its metrics.jsonl, and the series to plot.  Does not import torch.

`RunLog` writes the file, also while this reads it: a half-written last line is skipped.
"""

import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from poetgen.errors import PoetgenError
from poetgen.files import read_input, read_reason
from poetgen.language import tr, tr_plural
from poetgen.runs import METRICS

logger = logging.getLogger(__name__)

Axis = Literal["epochs", "steps", "tokens"]
AXES: tuple[Axis, ...] = get_args(Axis)
_LARGEST = 2**53
"""Limit of a number in the file, above which float64 has no fractions."""


@dataclass(frozen=True)
class StepEntry:
    """The metrics of one optimizer step."""

    step: int
    epoch: int
    """The epoch of the step, from 1."""
    nats_per_token: float
    """The loss of its batch, with dropout."""
    learning_rate: float
    epochs_done: float | None = None
    """Fraction of tokens trained on, in epochs; None in logs of poetgen 0.2."""
    tokens: int | None = None
    """Tokens trained on since the start of the run; None in logs of poetgen 0.2."""

    def position(self, axis: Axis) -> float | None:
        return {"epochs": self.epochs_done, "steps": self.step, "tokens": self.tokens}[axis]


@dataclass(frozen=True)
class ValidationEntry:
    """The metrics of one finished epoch."""

    step: int
    epoch: int
    train_nats_per_token: float
    """The mean loss of the epoch, with dropout."""
    valid_nats_per_token: float
    seconds: float
    """Duration of the epoch, validation included, since its start or since the run was resumed."""
    tokens: int | None = None

    def position(self, axis: Axis) -> float | None:
        return {"epochs": self.epoch, "steps": self.step, "tokens": self.tokens}[axis]


class Point(NamedTuple):
    """A value `y` at the position `x`, in epochs, steps or tokens."""

    x: float
    y: float


@dataclass(frozen=True)
class Series:
    """The series of a run over one axis, empty where its log has no such positions."""

    training: list[Point]
    """Perplexity of single batches, with dropout; of whole epochs if the log has nothing finer."""
    validation: list[Point]
    """Perplexity of the validation split after each epoch."""
    learning_rate: list[Point]


@dataclass(frozen=True)
class RunHistory:
    """The metrics of a run.

    history = read_history(find_metrics("spring"))
    history.best, history.series("epochs").validation
    """

    name: str
    path: Path
    steps: list[StepEntry]
    validations: list[ValidationEntry]

    @property
    def best(self) -> ValidationEntry | None:
        """The validation with the lowest loss; None before the first."""
        finite = [one for one in self.validations if math.isfinite(one.valid_nats_per_token)]
        return min(finite, key=lambda one: one.valid_nats_per_token, default=None)

    @property
    def num_steps(self) -> int:
        steps = [entry.step for entry in self.steps] + [entry.step for entry in self.validations]
        return max(steps)

    @property
    def seconds(self) -> float:
        """Duration of all finished epochs."""
        return sum(entry.seconds for entry in self.validations)

    def series(self, axis: Axis) -> Series:
        """Return the series over `axis`, without values that are not finite."""
        training = _points((e.position(axis), perplexity(e.nats_per_token)) for e in self.steps)
        epochs = [(e.position(axis), perplexity(e.train_nats_per_token)) for e in self.validations]
        return Series(
            training or _points(epochs),
            _points(
                (e.position(axis), perplexity(e.valid_nats_per_token)) for e in self.validations
            ),
            _points((e.position(axis), e.learning_rate) for e in self.steps),
        )

    def to_json(self, axis: Axis) -> dict[str, object]:
        """Return the object that `poetgen plot --json` prints for this run."""
        series, best = self.series(axis), self.best
        return {
            "run": self.name,
            "file": str(self.path),
            "steps": self.num_steps,
            "epochs": len(self.validations),
            "seconds": round(self.seconds, 1),
            "best_epoch": best and best.epoch,
            "best_valid_perplexity": best and round(perplexity(best.valid_nats_per_token), 3),
            "training": [(x, round(y, 3)) for x, y in series.training],
            "validation": [(x, round(y, 3)) for x, y in series.validation],
            "learning_rate": series.learning_rate,
        }


def read_history(path: Path) -> RunHistory:
    """Read the metrics file `path` of a run; log a warning about lines that are not entries.

    Raises:
        PoetgenError: The file cannot be read, or has no entry.
    """
    try:
        text = read_input(path).decode("utf-8", "replace")
    except OSError as error:
        raise PoetgenError(
            tr("{file} cannot be read: {reason}", file=path, reason=read_reason(error)),
            tr("Name a run, a run folder or its {file}.", file=METRICS),
        ) from error
    steps: list[StepEntry] = []
    validations: list[ValidationEntry] = []
    damaged = []
    lines = text.split("\n")  # the last one is empty, or half-written
    for number, line in enumerate(lines, start=1):
        entry = _parse(line)
        if isinstance(entry, StepEntry):
            steps.append(entry)
        elif isinstance(entry, ValidationEntry):
            validations.append(entry)
        elif number < len(lines):
            damaged.append(number)
    if damaged:
        warn_of_damaged_lines(path, damaged)
    if not steps and not validations:
        raise PoetgenError(
            tr("{file} has no metrics yet", file=path),
            tr("Wait until it has trained for some steps, or name another run."),
        )
    name = path.absolute().parent.name if path.name == METRICS else path.stem
    return RunHistory(name, path, steps, validations)


def warn_of_damaged_lines(path: Path, numbers: Sequence[int]) -> None:
    """Log which lines of the metrics file `path` are not entries."""
    logger.warning(
        tr_plural(
            len(numbers),
            "{file}: {num:,} damaged line is left out ({numbers})",
            "{file}: {num:,} damaged lines are left out ({numbers})",
            file=path,
            numbers=", ".join(map(str, numbers[:5])) + (", …" if len(numbers) > 5 else ""),
        )
    )


def perplexity(nats_per_token: float) -> float:
    """Return exp(nats per token), finite for every finite value."""
    return math.exp(min(nats_per_token, 700))


def _parse(line: str) -> StepEntry | ValidationEntry | None:
    """Return the entry of a line of the file; None for anything else."""
    try:
        entry: Any = json.loads(line)
        tokens = entry.get("tokens")
        counts = _count(entry["step"]), _count(entry["epoch"])
        if entry["kind"] == "step":
            done = entry.get("epochs_done")
            return StepEntry(
                *counts,
                _loss(entry["nats_per_token"]),
                _number(entry["learning_rate"]),
                None if done is None else _number(done),
                None if tokens is None else _count(tokens),
            )
        if entry["kind"] == "validation":
            return ValidationEntry(
                *counts,
                _loss(entry["train_nats_per_token"]),
                _loss(entry["valid_nats_per_token"]),
                _number(entry["seconds"]),
                None if tokens is None else _count(tokens),
            )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        pass
    return None


def _count(value: object) -> int:
    """Return a number of steps, epochs or tokens; raise TypeError or ValueError for anything else."""
    if type(value) is not int:
        raise TypeError
    if not 0 <= value <= _LARGEST:
        raise ValueError
    return value


def _number(value: object) -> float:
    """Return a finite number of 0 or more; raise TypeError or ValueError for anything else."""
    number = _loss(value)
    if not 0 <= number <= _LARGEST:  # False for NaN
        raise ValueError
    return number


def _loss(value: object) -> float:
    """Return a loss, which may be infinite or NaN; raise TypeError or ValueError for anything else."""
    if type(value) not in (int, float):
        raise TypeError
    number = float(value)  # type: ignore[arg-type]
    if number < 0:
        raise ValueError
    return number


def _points(pairs: Iterable[tuple[float | None, float]]) -> list[Point]:
    return [Point(x, y) for x, y in pairs if x is not None and math.isfinite(y)]

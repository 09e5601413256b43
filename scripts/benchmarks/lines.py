"""Lines of the benchmark table: how they are measured in turn, compared and summarized.

A group module returns `Line`s.  `measure_all` measures every line once per round, so that a slow minute of
the machine affects all lines alike.  A ratio is the median of the ratios within the rounds.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent.parent
"""The root of this checkout."""


@dataclass(frozen=True)
class Settings:
    """The options of a run of the benchmark, and the resources that it holds."""

    quick: bool = False
    device: str = "cpu"
    """cpu or cuda."""
    against: Path | None = None
    """A checkout of an earlier commit to compare with."""
    resources: ExitStack = field(default_factory=ExitStack)
    """Closed at the end of the run: worker processes, temporary folders."""

    @property
    def seconds(self) -> float:
        """The least duration of a measurement that repeats its work."""
        return 0.05 if self.quick else 1.0


@dataclass(frozen=True)
class Bar:
    """The limit that the project set for a ratio.

    >>> Bar(0.95).is_met(0.96), Bar(0.4, is_upper=True).is_met(0.5)
    (True, False)
    """

    limit: float
    is_upper: bool = False
    """The ratio must be at most the limit; otherwise at least."""

    def is_met(self, ratio: float) -> bool:
        return ratio <= self.limit if self.is_upper else ratio >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.is_upper else '≥'} {self.limit:g}"


@dataclass(frozen=True)
class Comparison:
    """A ratio to show: the value of a line divided by that of another line of its group."""

    reference: str
    """The name of the other line."""
    bar: Bar | None = None


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    name: str
    """Unique in its group."""
    unit: str
    measure: Callable[[], float]
    """Returns one measurement in `unit`."""
    comparisons: tuple[Comparison, ...] = ()
    is_repeated: bool = True
    """Measured in every round, after an unrecorded one to warm up; otherwise measured once."""


@dataclass(frozen=True)
class Group:
    """Lines that belong together."""

    name: str
    """As given to --only."""
    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Ratio:
    """The result of a comparison."""

    reference: str
    value: float
    bar: Bar | None

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None without a bar."""
        return None if self.bar is None else self.bar.is_met(self.value)


@dataclass(frozen=True)
class Result:
    """The measurements of a line, one per round."""

    group: str
    name: str
    unit: str
    values: tuple[float, ...]
    ratios: tuple[Ratio, ...] = ()

    @property
    def median(self) -> float:
        return median(self.values)


def measure_all(
    groups: Sequence[Group],
    rounds: int,
    *,
    advance: Callable[[Line], object] = lambda _: None,
) -> list[Result]:
    """Return the results of all lines, each measured once per round.

    A round goes through all lines of all groups, every other one backwards.  `advance` is called before
    each measurement.
    """
    lines = [(group.name, line) for group in groups for line in group.lines]
    values: dict[tuple[str, str], list[float]] = {(name, line.name): [] for name, line in lines}
    for name, line, is_recorded in schedule(lines, rounds):
        advance(line)
        value = line.measure()
        if is_recorded:
            values[name, line.name].append(value)
    return [
        Result(
            name,
            line.name,
            line.unit,
            tuple(values[name, line.name]),
            tuple(
                Ratio(
                    one.reference,
                    paired_ratio(values[name, line.name], values[name, one.reference]),
                    one.bar,
                )
                for one in line.comparisons
            ),
        )
        for name, line in lines
    ]


def schedule(lines: Sequence[tuple[str, Line]], rounds: int) -> Iterator[tuple[str, Line, bool]]:
    """Yield (group, line, whether the measurement is recorded) in the order of measurement."""
    repeated = [(name, line) for name, line in lines if line.is_repeated]
    for name, line in repeated:
        yield name, line, False
    for number in range(rounds):
        for name, line in reversed(repeated) if number % 2 else repeated:
            yield name, line, True
    for name, line in lines:
        if not line.is_repeated:
            yield name, line, True


def num_measurements(groups: Sequence[Group], rounds: int) -> int:
    """Return how often `measure_all` measures a line, warm-up included."""
    lines = [line for group in groups for line in group.lines]
    return sum(rounds + 1 if line.is_repeated else 1 for line in lines)


def paired_ratio(values: Sequence[float], references: Sequence[float]) -> float:
    """Return the median over rounds of value / reference.

    >>> paired_ratio([2.0, 9.0, 4.0], [1.0, 3.0, 4.0])
    2.0
    """
    return median(value / other for value, other in zip(values, references, strict=True))


def rate(
    work: Callable[[], float], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the amount that `work` does per second; it returns an amount and runs for `seconds`."""
    amount, start = 0.0, clock()
    while True:
        amount += work()
        elapsed = clock() - start
        if elapsed >= seconds:
            return amount / elapsed


def to_json(
    results: Sequence[Result], settings: Settings, rounds: int, machine: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the document that --json prints; docs/performance.md describes its keys."""
    return {
        "machine": dict(machine),
        "device": settings.device,
        "quick": settings.quick,
        "rounds": rounds,
        "lines": [_line_to_json(result) for result in results],
    }


def _line_to_json(result: Result) -> dict[str, Any]:
    return {
        "group": result.group,
        "name": result.name,
        "unit": result.unit,
        "median": result.median,
        "min": min(result.values),
        "max": max(result.values),
        "values": list(result.values),
        "ratios": [
            {
                "to": ratio.reference,
                "ratio": ratio.value,
                "bar": None if ratio.bar is None else str(ratio.bar),
                "met": ratio.is_met,
            }
            for ratio in result.ratios
        ],
    }

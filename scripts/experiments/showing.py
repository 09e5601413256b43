"""Output shared by the experiments: their options, tables on the terminal, plots."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from learning import Outcome
from rich.console import Console
from rich.table import Table

from poetgen.errors import PoetgenError
from poetgen.files import check_writable
from poetgen.views.charts import Curve, line_chart
from poetgen.views.figure import check_figure_format, save_figure
from poetgen.views.svg import color

CELLS = (
    ("here: LSTM, chrono", "lstm", True),
    ("control: LSTM, bias 1", "lstm", False),
    ("control: plain RNN", "rnn", False),
)


class Run(Protocol):
    """One training run; with `chrono` the gates are initialized with time scales."""

    def __call__(self, cell: str, seed: int, *, chrono: bool) -> Outcome: ...


def compare_cells(
    title: str, paper: tuple[str, str], run: Run, seeds: Sequence[int]
) -> dict[str, Outcome]:
    """Print a table of the paper, this LSTM and the controls; return each one's first outcome.

    `paper` is the number of sequences that the LSTM of 1997 needed, and its number of wrong outputs.
    """
    rows: list[tuple[str, ...]] = [("paper: LSTM of 1997", "all", *paper, "")]
    first = {}
    for name, cell, chrono in CELLS:
        outcomes = [run(cell, seed, chrono=chrono) for seed in seeds]
        rows.append((name, *outcome_cells(outcomes)))
        first[name.split(": ")[1]] = outcomes[0]
    print_table(title, ("", "solved", "sequences", "wrong, seed by seed", "seconds"), rows)
    return first


def outcome_cells(outcomes: Sequence[Outcome]) -> list[str]:
    """Return table cells: seeds solved, sequences, wrong outputs, seconds per run."""
    solved = [one.solved for one in outcomes if one.solved is not None]
    return [
        f"{len(solved)} of {len(outcomes)}",
        "–" if not solved else "–".join(f"{n:,}" for n in sorted({min(solved), max(solved)})),
        ", ".join(str(one.wrong) for one in outcomes) + f" of {outcomes[0].tested:,}",
        f"{sum(one.seconds for one in outcomes) / len(outcomes):.0f}",
    ]


def read_arguments(
    description: str,
    add_options: Callable[[argparse.ArgumentParser], object] = lambda _: None,
    *,
    has_plot: bool = True,
) -> argparse.Namespace:
    """Parse --quick, --plot, --seed and the options of `add_options`; use one thread.

    `seeds` holds three seeds starting at --seed, or one with --quick.  The networks are so small that
    more threads would only wait for each other.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a smoke test of a few seconds")
    if has_plot:
        parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a plot (.svg, .png)")
    parser.add_argument("--seed", type=int, default=1)
    add_options(parser)
    arguments = parser.parse_args()
    arguments.seeds = [arguments.seed + i for i in range(1 if arguments.quick else 3)]
    torch.set_num_threads(1)
    if has_plot and arguments.plot is not None:
        with exit_on_error():
            check_figure_format(arguments.plot)
            check_writable(arguments.plot)
    return arguments


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table to stdout; the first column holds the names of the rows."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, heading in enumerate(headings):
        table.add_column(heading, justify="right" if column else "left")
    for row in rows:
        table.add_row(*map(str, row))
    Console(highlight=False, width=110).print(table)


def plot_outcomes(path: Path | None, outcomes: Mapping[str, Outcome], title: str) -> None:
    """Write a chart of the share of wrong sequences over sequences seen; do nothing without a path."""
    curves = [
        Curve(name, outcome.curve, color(index))
        for index, (name, outcome) in enumerate(outcomes.items())
    ]
    write_plot(path, lambda: line_chart(title, curves, "sequences", "share wrong", y_range=(0, 1)))


def write_plot(path: Path | None, draw: Callable[[], str]) -> None:
    """Save the drawing that `draw` returns; do nothing without a path."""
    if path is None:
        return
    with exit_on_error():
        save_figure(draw(), path)
    print(f"wrote {path}", file=sys.stderr)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Leave the program with a one-line message where poetgen raises an error."""
    try:
        yield
    except PoetgenError as error:
        sys.exit(f"{error.why}\n  → {error.fix}")

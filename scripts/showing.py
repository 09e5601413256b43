"""What the experiments show: their options, tables on the terminal, plots."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from learning import Outcome
from rich.console import Console
from rich.table import Table

from poetgen.errors import PoetgenError
from poetgen.inspection.plot import new_figure, save_figure

COLOURS = ("#b23a2a", "#12807f", "#c07a0a", "#6a55c8", "#4d7a35", "#756f63")
CONTESTANTS = (
    ("here: LSTM, chrono", "lstm", True),
    ("control: LSTM, bias 1", "lstm", False),
    ("control: plain RNN", "rnn", False),
)


class Run(Protocol):
    """One training: `chrono` says whether the gates begin with time scales."""

    def __call__(self, cell: str, seed: int, *, chrono: bool) -> Outcome: ...


def contest(
    title: str, paper: tuple[str, str], run: Run, seeds: Sequence[int]
) -> dict[str, Outcome]:
    """Print the table of paper, here and controls; returned is each one's first outcome.

    `paper` has the sequences that the LSTM of 1997 needed, and its wrong ones.
    """
    rows: list[tuple[str, ...]] = [("paper: LSTM of 1997", "all", *paper, "")]
    first = {}
    for name, cell, chrono in CONTESTANTS:
        outcomes = [run(cell, seed, chrono=chrono) for seed in seeds]
        rows.append((name, *told(outcomes)))
        first[name.split(": ")[1]] = outcomes[0]
    print_table(title, ("", "solved", "sequences", "wrong, seed by seed", "seconds"), rows)
    return first


def told(outcomes: Sequence[Outcome]) -> list[str]:
    """Cells of a table: seeds solved, sequences, wrong ones, seconds a run."""
    solved = [one.solved for one in outcomes if one.solved is not None]
    return [
        f"{len(solved)} of {len(outcomes)}",
        "–" if not solved else "–".join(f"{n:,}" for n in sorted({min(solved), max(solved)})),
        ", ".join(str(one.wrong) for one in outcomes) + f" of {outcomes[0].tested:,}",
        f"{sum(one.seconds for one in outcomes) / len(outcomes):.0f}",
    ]


def read_arguments(
    description: str,
    more: Callable[[argparse.ArgumentParser], object] = lambda _: None,
    *,
    has_plot: bool = True,
) -> argparse.Namespace:
    """--quick, --plot, --seed and what `more` adds; `seeds` are three from that on, or with --quick one.

    One thread, for these nets are tiny.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="seconds, to see that it runs")
    if has_plot:
        parser.add_argument(
            "--plot", type=Path, metavar="FILE", help="a .svg or .png, by matplotlib"
        )
    parser.add_argument("--seed", type=int, default=1)
    more(parser)
    arguments = parser.parse_args()
    arguments.seeds = [arguments.seed + i for i in range(1 if arguments.quick else 3)]
    torch.set_num_threads(1)
    if has_plot and arguments.plot is not None:
        check_matplotlib()
    return arguments


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; the first column is the name of the row."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    for row in rows:
        table.add_row(*map(str, row))
    Console(highlight=False, width=110).print(table)


def check_matplotlib() -> None:
    """End the program if there is none: before the work, not after."""
    with _errors_told():
        new_figure(1.0, 1.0)


def plot(path: Path | None, draw: Callable[..., None], *, num_panels: int = 1) -> None:
    """Have `draw` fill the axes of a figure, side by side; it goes to `path`.  None: no plot."""
    if path is None:
        return
    with _errors_told():
        figure = new_figure(7.0 if num_panels == 1 else 9.0, 3.6)
        axes = figure.subplots(1, num_panels, squeeze=False)[0]
        for axis in axes:
            axis.grid(alpha=0.3)
        draw(*axes)
        save_figure(figure, path)
        print(f"wrote {path}", file=sys.stderr)


def plot_curves(path: Path | None, curves: dict[str, Outcome], title: str) -> None:
    """The share of wrong sequences over sequences seen."""

    def draw(axis: Any) -> None:
        for colour, (name, outcome) in zip(COLOURS, curves.items(), strict=False):
            axis.plot(*zip(*outcome.curve, strict=True), label=name, color=colour)
        axis.set(title=title, xlabel="sequences", ylabel="share wrong", ylim=(-0.02, 1.02))
        axis.legend()

    plot(path, draw)


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except PoetgenError as error:
        sys.exit(f"{error.why}\n  → {error.fix}")

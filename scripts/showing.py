"""What the experiments show: their options, tables on the terminal, plots."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from learning import Outcome
from rich.console import Console
from rich.table import Table

from poetgen.errors import PoetgenError
from poetgen.inspection.plot import new_figure, save_figure

COLOURS = ("#b23a2a", "#12807f", "#c07a0a", "#6a55c8", "#4d7a35", "#756f63")


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
    description: str, more: Callable[[argparse.ArgumentParser], object] = lambda _: None
) -> argparse.Namespace:
    """--quick, --plot and --seed, and what `more` adds; one thread, for these nets are tiny."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="seconds, to see that it runs")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="a .svg or .png, by matplotlib")
    parser.add_argument("--seed", type=int, default=1)
    more(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.plot is not None:
        plot(None, lambda _: None)  # a missing matplotlib is told before the work
    return arguments


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; the first column is the name of the row."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    for row in rows:
        table.add_row(*map(str, row))
    Console(highlight=False, width=110).print(table)


def plot(path: Path | None, draw: Callable[[Any], None]) -> None:
    """Have `draw` fill the axes of a figure; it goes to `path`."""
    try:
        figure = new_figure(7.0, 3.6)
        axis = figure.subplots()
        axis.grid(alpha=0.3)
        draw(axis)
        if path is not None:
            save_figure(figure, path)
            print(f"wrote {path}", file=sys.stderr)
    except PoetgenError as error:
        sys.exit(f"{error.why}\n  → {error.fix}")


def plot_curves(path: Path | None, curves: dict[str, Outcome], title: str) -> None:
    """The share of wrong sequences over sequences seen."""

    def draw(axis: Any) -> None:
        for colour, (name, outcome) in zip(COLOURS, curves.items(), strict=False):
            axis.plot(*zip(*outcome.curve, strict=True), label=name, color=colour)
        axis.set(title=title, xlabel="sequences", ylabel="share wrong", ylim=(-0.02, 1.02))
        axis.legend()

    if path is not None:
        plot(path, draw)

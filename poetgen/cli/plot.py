"""`poetgen plot`."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poetgen.cli import completion
from poetgen.cli.options import JsonOption
from poetgen.errors import UsageError
from poetgen.language import current_language, tr
from poetgen.terminal import json_text
from poetgen.training.history import Axis

if TYPE_CHECKING:
    from poetgen.training.history import RunHistory

logger = logging.getLogger(__name__)


def plot(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            autocompletion=completion.runs,
            help="Names of runs, run folders or metrics.jsonl files. Default: the newest run.",
        ),
    ] = None,
    by: Annotated[Axis, typer.Option("--by", help="Horizontal axis.")] = "epochs",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Page (.html) or figure (.svg, .png). Default: curves.html, in the run folder of a "
            "single run.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Plot the training curves of runs: perplexity and learning rate.

    Prints a row per run and writes a page that works offline. With --json it prints the series, and
    writes a page or figure only with --output.
    """
    from rich.console import Console

    from poetgen.runs import find_metrics
    from poetgen.training.history import read_history
    from poetgen.views.figure import check_output, save_figure
    from poetgen.views.run_figure import run_figure
    from poetgen.views.run_page import run_page
    from poetgen.views.run_table import run_table
    from poetgen.views.visible import Visible

    names: Sequence[str | None] = runs or [None]
    files = [find_metrics(name) for name in names]
    histories = [read_history(file) for file in files]
    _check_axis(histories, by)
    if output is None and not as_json:
        output = files[0].with_name("curves.html") if len(files) == 1 else Path("curves.html")
    if output is not None:
        is_latin = current_language() == "en" and all(one.name.isascii() for one in histories)
        check_output(output, has_chinese=not is_latin)
    if as_json:
        values = {"by": by, "runs": [history.to_json(by) for history in histories]}
        typer.echo(json_text(values, indent=None))
    else:
        Console(highlight=False, markup=False).print(Visible(run_table(histories)))
    if output is not None:
        draw = run_page if output.suffix.lower() == ".html" else run_figure
        save_figure(draw(histories, by), output)
        logger.info(tr("wrote {file}", file=output))


def _check_axis(histories: Sequence["RunHistory"], axis: Axis) -> None:
    for history in histories:
        series = history.series(axis)
        if not (series.training or series.validation):
            raise UsageError(
                tr("{file} has no position in {axis}", file=history.path, axis=axis),
                tr("Use --by steps, which every log has."),
            )

"""`poetgen inspect`."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poetgen.cli.options import DeviceOption, JsonOption, ModelOption
from poetgen.errors import UsageError
from poetgen.language import current_language, tr
from poetgen.terminal import json_text

if TYPE_CHECKING:
    from rich.console import Group

logger = logging.getLogger(__name__)


def inspect(
    text: Annotated[
        str | None, typer.Argument(help="A poem or line; with --generate, its beginning.")
    ] = None,
    generate: Annotated[
        bool, typer.Option("--generate", help="Generate a poem from TEXT and inspect it.")
    ] = False,
    gradients: Annotated[
        bool,
        typer.Option(
            "--gradients",
            help="Show gradient decay in this model and in freshly initialized ones of each cell; "
            "without TEXT, on generated poems.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Also save a page (.html: heat maps, animation, clamped gates) or a figure "
            "(.svg; .png needs the extra plot).",
        ),
    ] = None,
    as_json: JsonOption = False,
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature", "-t", help="Sampling temperature; 0: most probable character."
        ),
    ] = 0.8,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Random seed for sampling.")] = 1,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="With --gradients, another trained model to compare, e.g. a GRU; repeatable.",
        ),
    ] = None,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Show what the model computes as it reads a text: surprise, predictions, gates and cells.

    Prints a row per character. A page (--output gates.html) shows each unit and works offline.
    """
    _check_arguments(text, generate=generate, gradients=gradients, against=against)
    from poetgen.runs import find_model, model_name
    from poetgen.sampling.options import Options
    from poetgen.views.figure import check_output, save_figure

    options = Options(temperature=temperature, seed=seed)
    if output is not None:
        check_output(output, has_chinese=not gradients or current_language() == "zh")
    choice = find_model(model)
    logger.info(tr("model {path} ({why})", path=choice.path, why=choice.why))
    paths = [choice.path, *(find_model(name).path for name in against or [])]
    for path in paths[1:]:
        logger.info(tr("compared with {path}", path=path))
    from poetgen.inspection.ablation import ablate_gates
    from poetgen.inspection.gradients import compare_gradients
    from poetgen.inspection.result import gradients_to_json, trace_to_json
    from poetgen.inspection.trace import continue_text, inspect_text
    from poetgen.model.file import load_model
    from poetgen.views.trace_figure import gradient_figure, trace_figure
    from poetgen.views.trace_page import gradient_page, trace_page
    from poetgen.views.trace_table import gradient_report, trace_report

    bundles = [load_model(path, device) for path in paths]
    name = model_name(choice.path)
    is_page = output is not None and output.suffix.lower() == ".html"
    if gradients:
        comparison = compare_gradients(bundles, text, options)
        draw = partial(gradient_page if is_page else gradient_figure, comparison)
        values, report = gradients_to_json(comparison), partial(gradient_report, comparison)
    else:
        trace, options = inspect_text(bundles[0], text or "", options, generate=generate)
        draw = partial(trace_figure, trace)
        values, report = trace_to_json(trace, name), partial(trace_report, trace)
    _print(values, report, as_json=as_json)
    if is_page and not gradients:
        continuation = continue_text(bundles[0], options)
        ablations = ablate_gates(bundles[0], trace.text, options)
        draw = partial(trace_page, trace, options, continuation, model=name, ablations=ablations)
    if output is not None:
        save_figure(draw(), output)
        logger.info(tr("wrote {path}", path=output))


def _print(values: Mapping[str, object], report: Callable[..., "Group"], *, as_json: bool) -> None:
    """Print `values` as JSON, or the report for the width of the terminal."""
    if as_json:
        typer.echo(json_text(values))
        return
    from rich.console import Console

    from poetgen.views.visible import Visible

    console = Console(highlight=False, markup=False)
    console.print(Visible(report(width=console.width)))


def _check_arguments(
    text: str | None, *, generate: bool, gradients: bool, against: list[str] | None
) -> None:
    from poetgen.data.normalize import normalize
    from poetgen.prosody.marks import MARKS

    example = tr("Give a line, such as 床前明月光。")
    if text is None and not gradients:
        raise UsageError(tr("there is no text to inspect"), example)
    if text is not None and not normalize(text).strip(MARKS):
        raise UsageError(tr("the text “{text}” contains no character", text=text), example)
    if gradients and generate:
        raise UsageError(
            tr("--generate and --gradients exclude each other"), tr("Leave one of them out.")
        )
    if against and not gradients:
        raise UsageError(tr("--against requires --gradients"), tr("Add --gradients."))

"""`poetgen eval`."""

import logging
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from poetgen.cli import completion
from poetgen.cli.options import CorpusOption, DeviceOption, JsonOption
from poetgen.data.split import Split
from poetgen.errors import UsageError
from poetgen.language import tr
from poetgen.terminal import json_text

logger = logging.getLogger(__name__)

SONG_FOLDER = Path("data/song")
"""Where `poetgen corpus fetch --collection song` puts the Song poems."""


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Model files, run folders, names of runs, or tang (the bundled model). "
            "Default: $POETGEN_CHECKPOINT, the newest run, the bundled model.",
            autocompletion=completion.models,
        ),
    ] = None,
    corpus: CorpusOption = None,
    split: Annotated[
        Split | None, typer.Option(help="Split of the corpus to evaluate on. Default: test.")
    ] = None,
    poems: Annotated[
        Path | None,
        typer.Option(
            help="Evaluate on the poems of this file: JSON, JSONL, or text, one per line."
        ),
    ] = None,
    samples_per_form: Annotated[
        int,
        typer.Option(min=0, help="Poems to generate per form; 0: evaluate likelihood only."),
    ] = 200,
    temperature: Annotated[
        str,
        typer.Option(
            "--temperature", "-t", help="Sampling temperatures separated by commas: 0.6,0.8,1.0."
        ),
    ] = "0.8",
    constrained: Annotated[
        bool, typer.Option(help="Also generate poems with form, rhyme and tones enforced.")
    ] = False,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Also train and score Kneser–Ney n-gram models.")
    ] = False,
    reader: Annotated[
        bool,
        typer.Option("--reader", help="Also train judges to tell generated poems from real ones."),
    ] = False,
    reader_size: Annotated[
        int,
        typer.Option(min=50, help="Poems of each source and form that a judge learns from."),
    ] = 1400,
    song: Annotated[
        Path | None,
        typer.Option(
            help="Song poems to compare with in --reader. Default: data/song, if it exists."
        ),
    ] = None,
    generated: Annotated[
        list[Path] | None,
        typer.Option(help="File of generated poems to measure like a model's; repeatable."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", "-s", help="Random seed; it makes the report reproducible."),
    ] = 1,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with tables, plots and poems to this file.")
    ] = None,
) -> None:
    """Evaluate models on real poems that they were not trained on.

    Computes the likelihood of these poems (a lower perplexity is better), and compares generated poems
    with them: verse, diversity, copying, choice of characters.  With --reader, judges learn to tell
    generated poems from real ones: 50% is the accuracy of a guess.
    """
    if poems is not None and (corpus or split is not None):
        raise UsageError(
            tr("--poems cannot be combined with --corpus or --split"), tr("Omit one of them.")
        )
    if generated and not samples_per_form:
        raise UsageError(
            tr("--generated cannot be combined with --samples-per-form 0"), tr("Omit one of them.")
        )
    from poetgen.runs import find_model

    choices = [find_model(name) for name in models] if models else [find_model()]
    for choice in choices:
        logger.info(tr("model {path} ({why})", path=choice.path, why=choice.why))
    temperatures = _parse_temperatures(temperature)
    from rich.console import Console

    from poetgen.evaluation.dataset import load_evaluation_set
    from poetgen.evaluation.evaluate import EvalConfig, evaluate_models
    from poetgen.evaluation.report import report_to_json
    from poetgen.evaluation.samples import samples_from_file
    from poetgen.files import atomic_writer
    from poetgen.model.file import load_model
    from poetgen.views.report_page import report_page
    from poetgen.views.report_table import full_width, report_tables
    from poetgen.views.visible import Visible

    config = EvalConfig(
        samples_per_form,
        temperatures,
        seed,
        constrained,
        baseline,
        reader,
        reader_size,
        song or (SONG_FOLDER if SONG_FOLDER.is_dir() else None),
    )
    samples = [(str(path), samples_from_file(path)) for path in generated or ()]
    bundles = [load_model(choice.path, device) for choice in choices]
    eval_set = load_evaluation_set(
        bundles,
        poems=poems,
        corpus=corpus or (),
        split=split,
        has_samples=samples_per_form > 0,
        baseline=baseline,
    )
    # The page is opened first: a path that cannot be written fails before minutes of work.
    with nullcontext() if html is None else atomic_writer(html) as stream:
        report = evaluate_models(bundles, eval_set, config, generated=samples)
        if stream is not None:
            stream.write(report_page(report))
    if as_json:
        typer.echo(json_text(report_to_json(report)))
        return
    # A file or a pipe has no width that a table must fit.
    console = Console(width=None if sys.stdout.isatty() else full_width(report), highlight=False)
    console.print(Visible(report_tables(report, console.width)))


def _parse_temperatures(text: str) -> tuple[float, ...]:
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(
            tr("--temperature {text} is not a list of numbers", text=text),
            tr("Give one or more, separated by commas: 0.6,0.8,1.0"),
        ) from None

"""`poetgen sample`."""

import logging
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import poetgen
from poetgen.cli.options import DeviceOption, ModelOption, takes_sampling_options
from poetgen.errors import UsageError
from poetgen.files import file_digest
from poetgen.language import tr, tr_plural
from poetgen.runs import ModelChoice, find_model, model_name
from poetgen.sampling.options import MANY, Options
from poetgen.sampling.request import Request, new_seed
from poetgen.views.poem import OutputFormat, PoemFormatter, Script, StreamPrinter

if TYPE_CHECKING:
    from poetgen.sampling.generator import Generator

logger = logging.getLogger(__name__)

_OUTPUT = "Where poems go, and how they look"
_FORMATS = {
    ".jsonl": OutputFormat.jsonl,
    ".json": OutputFormat.jsonl,
    ".txt": OutputFormat.text,
}
"""The format of an output file by its suffix."""


@takes_sampling_options
def sample(
    options: Options,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="File with a prompt per line, or a JSON object with a prompt and any option above but "
            "--num, --batch-size and --unique (top_k for --top-k); - is standard input.",
            rich_help_panel=MANY,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print a JSON object per line and poem (the default with --prompts).",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    output_format: Annotated[
        OutputFormat | None,
        typer.Option(
            "--format", help="text, or jsonl: the same as --json.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write to this file: .jsonl and .json are JSON lines, .txt is text. Rerun the same "
            "command to resume an interrupted job, or after a correction of the prompts.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an existing output.", rich_help_panel=_OUTPUT),
    ] = False,
    script: Annotated[
        Script, typer.Option(help="Characters to print.", rich_help_panel=_OUTPUT)
    ] = Script.simplified,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Show the tones, the rhyme, and the model's probability of each character below the "
            "poem; in JSON, add the probabilities.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Show each character as it is sampled. "
            "Default: on a terminal, for one poem of one particle.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Generate poems.

    Poems go to standard output, everything else to standard error. Constraints only restrict what may
    occur at a position: the model still chooses every character.
    """
    if output is not None and str(output) == "-":
        output = None  # standard output, as - is standard input for --prompts
    if prompts is not None and options.prompt is not None:
        raise UsageError(
            tr("a PROMPT and --prompts contradict each other"), tr("Give one of them.")
        )
    of_suffix = None if output is None else _FORMATS.get(output.suffix.lower())
    asked = {
        one for one in (output_format, of_suffix, OutputFormat.jsonl if as_json else None) if one
    }
    if len(asked) > 1:
        raise UsageError(
            tr("--json, --format and the suffix of --output name different formats"),
            tr("Drop one of them: .jsonl and .json are JSON lines, .txt is text."),
        )
    is_text = asked == {OutputFormat.text} or (not asked and prompts is None)
    is_one = options.num == 1 and prompts is None and output is None
    if stream:
        if not is_one or explain or not is_text:
            raise UsageError(
                tr("--stream shows one poem as text on standard output"),
                tr("Drop --stream, or --num, --prompts, --output, --explain and --json."),
            )
        options.require_streamable()
    choice = find_model(model)
    formatter = PoemFormatter(
        OutputFormat.text if is_text else OutputFormat.jsonl,
        script,
        model_name(choice.path),
        # Reading the whole file for it would slow down the plainest call.
        "" if is_one and is_text else file_digest(choice.path),
        explain,
        output is None,
    )
    load = partial(_load_generator, choice, formatter.model, device, is_named=model is not None)
    if not is_one:
        _run_job(options, prompts, output, formatter, load, overwrite=overwrite)
        return
    seed = new_seed() if options.seed is None else options.seed
    generator = load(seed)
    request = generator.request(options, seed=seed)
    for warning in request.warnings:
        logger.warning(warning)
    if is_text and not explain and options.num_particles == options.best_of == 1:
        is_live = stream is not False and sys.stdout.isatty()
        has_ended = _print_stream(generator, request, script, is_live=is_live)
    else:
        has_ended = _print_poem(generator, request, formatter)
    if is_text and not has_ended:
        logger.info(tr("this poem was cut off without an end"))


def _print_stream(
    generator: "Generator", request: Request, script: Script, *, is_live: bool
) -> bool:
    """Print one poem as it is generated; return whether it ended or was cut off."""
    from poetgen.sampling.hypothesis import GivenUp, Restart

    printer = StreamPrinter(script, is_live)
    has_ended = False
    for event in generator.stream(request, scored=False):
        if isinstance(event, GivenUp):
            printer.restart()
            raise event.error
        if isinstance(event, Restart):
            printer.restart()
        elif event.text:
            printer.add(event.text)
        else:
            has_ended = True
    printer.add("")
    return has_ended


def _print_poem(generator: "Generator", request: Request, formatter: PoemFormatter) -> bool:
    """Print one poem once it is finished; return whether it ended or was cut off."""
    from poetgen.sampling.generator import Failure

    (result,) = generator.generate(
        [request],
        batch_size=request.options.batch_size,
        scored=formatter.needs_likelihood,
    )
    if isinstance(result, Failure):
        raise result.error
    sys.stdout.write(formatter.text(result))
    return result.ended


def _run_job(
    options: Options,
    prompts: Path | None,
    output_path: Path | None,
    formatter: PoemFormatter,
    load: "Callable[[int], Generator]",
    *,
    overwrite: bool,
) -> None:
    """Generate many poems, or poems into a file; resume where a rerun job was interrupted."""
    from poetgen.batch.job import Job, describe_job, raise_if_failed, run_job
    from poetgen.batch.journal import open_job_output
    from poetgen.batch.prompts import count_poems, open_prompts
    from poetgen.cli.progress import show_progress

    settings = {"poetgen": poetgen.__version__, **formatter.settings}
    describe = partial(describe_job, prompts, formatter.model_hash, options, **settings)
    opened = open_job_output(
        prompts, output_path, options, describe, separator=formatter.separator, overwrite=overwrite
    )
    with nullcontext() if prompts is None else open_prompts(prompts) as lines, opened as output:
        generator = load(output.seed)
        make_request = partial(generator.request, seed=output.seed)
        job = Job(options, make_request, lines, log_warnings=formatter.is_text)
        total = count_poems(prompts, options.num)
        generator.expect((total or 0) * options.num_particles * options.num_candidates)
        # Poems on the terminal show the progress themselves.
        is_hidden = output_path is None and sys.stdout.isatty()
        progress = show_progress(
            run_job(job, generator, output, formatter.text, scored=formatter.needs_likelihood),
            total,
            is_hidden=is_hidden,
        )
    if progress.num_cut_off and formatter.is_text:
        logger.info(
            tr_plural(
                progress.num_cut_off,
                "{num:,} of these poems was cut off without an end",
                "{num:,} of these poems were cut off without an end",
            )
        )
    raise_if_failed(job, progress, output)


def _load_generator(
    choice: ModelChoice, name: str, device: str, seed: int, *, is_named: bool
) -> "Generator":
    """Load the chosen model; print which it is, and how to choose another unless the user did."""
    values = {"name": name, "why": choice.why, "seed": seed}
    logger.info(
        tr("model {name} ({why}), seed {seed}", **values)
        if is_named
        else tr("model {name} ({why}; choose another with --model), seed {seed}", **values)
    )
    from poetgen.model.file import load_model
    from poetgen.sampling.generator import Generator

    return Generator(load_model(choice.path, device))

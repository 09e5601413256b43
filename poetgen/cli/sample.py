"""`poetgen sample`."""

import logging
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import poetgen
from poetgen.cli.options import DeviceOption, ModelOption, takes_sampling_options
from poetgen.errors import UsageError
from poetgen.runs import ModelChoice, find_model
from poetgen.sampling.options import MANY, Options
from poetgen.sampling.request import Request, new_seed
from poetgen.views.poem import OutputFormat, PoemFormatter, Script, StreamPrinter

if TYPE_CHECKING:
    from poetgen.sampling.generator import Generator

logger = logging.getLogger(__name__)

_OUTPUT = "Where poems go, and how they look"


@takes_sampling_options
def sample(
    options: Options,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="File of prompts, one per line, or JSON objects with a prompt and any of the options "
            "above but --num and --batch-size (top_k for --top-k); - is standard input, which cannot "
            "be read twice, so such a job cannot be resumed.",
            rich_help_panel=MANY,
        ),
    ] = None,
    output_format: Annotated[
        OutputFormat | None,
        typer.Option(
            "--format",
            help="text (the default) or jsonl (the default of --prompts).",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write to this file instead of standard output. Rerun the same command to resume an "
            "interrupted job.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    script: Annotated[
        Script, typer.Option(help="Characters to print.", rich_help_panel=_OUTPUT)
    ] = Script.simplified,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Below each poem show its tones, its rhyme, and the model's probability of each "
            "character; in jsonl, add the probabilities.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Show characters as they are sampled, with one particle. "
            "Default: on a terminal, for one poem of one particle.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Generate poems.

    Poems go to standard output, all else to standard error. Constraints only restrict what may occur at
    a position: the model still chooses every character.
    """
    if prompts is not None and options.prompt is not None:
        raise UsageError("a PROMPT and --prompts contradict each other", "Give one of them.")
    if output_format is None:
        output_format = OutputFormat.text if prompts is None else OutputFormat.jsonl
    is_one = options.num == 1 and prompts is None and output is None
    if stream:
        if not is_one or explain or output_format is OutputFormat.jsonl:
            raise UsageError(
                "--stream shows one poem as text on standard output",
                "Drop --stream, or --num, --prompts, --output, --explain and --format jsonl.",
            )
        options = options.streamed()
    choice = find_model(model)
    formatter = PoemFormatter(output_format, script, str(choice.path), explain, output is None)
    if not is_one:
        _run_job(options, prompts, output, choice, formatter, device)
        return
    seed = new_seed() if options.seed is None else options.seed
    generator = _load_generator(choice, seed, device)
    request = generator.request(options, seed=seed)
    for warning in request.warnings:
        logger.warning(warning)
    is_text = output_format is OutputFormat.text
    if is_text and not explain and options.num_particles == options.best_of == 1:
        is_live = stream is not False and sys.stdout.isatty()
        has_ended = _print_stream(generator, request, script, is_live=is_live)
    else:
        has_ended = _print_poem(generator, request, formatter)
    if is_text and not has_ended:
        logger.info("this poem was cut off without an end")


def _print_stream(
    generator: "Generator", request: Request, script: Script, *, is_live: bool
) -> bool:
    """Print one poem as it is generated; return whether it ended or was cut off."""
    from poetgen.sampling.hypothesis import GivenUp, Restart

    printer = StreamPrinter(script, is_live)
    has_ended = False
    for event in generator.stream(request):
        if isinstance(event, GivenUp):
            printer.restart()
            raise event.error
        if isinstance(event, Restart):
            printer.restart()
        else:
            printer.add(event.text)
            has_ended = not event.text
    printer.close()
    return has_ended


def _print_poem(generator: "Generator", request: Request, formatter: PoemFormatter) -> bool:
    """Print one poem once it is finished; return whether it ended or was cut off."""
    from poetgen.sampling.generator import Failure

    (result,) = generator.generate([request], batch_size=request.options.batch_size)
    if isinstance(result, Failure):
        raise result.error
    sys.stdout.write(formatter.text(result, is_first=True))
    return result.ended


def _run_job(
    options: Options,
    prompts: Path | None,
    output_path: Path | None,
    choice: ModelChoice,
    formatter: PoemFormatter,
    device: str,
) -> None:
    """Generate many poems, or poems into a file; resume where a rerun job was interrupted."""
    from tqdm import tqdm

    from poetgen.batch.job import Job, describe_job, raise_if_failed, run_job
    from poetgen.batch.journal import open_job_output
    from poetgen.batch.prompts import open_prompts

    settings = {"poetgen": poetgen.__version__, **formatter.settings}
    describe = partial(describe_job, prompts, choice.path, options, **settings)
    with (
        nullcontext() if prompts is None else open_prompts(prompts) as lines,
        open_job_output(prompts, output_path, options.seed, describe) as output,
    ):
        seed = output.progress.seed
        generator = _load_generator(choice, seed, device)
        make_request = partial(generator.request, seed=seed)
        job = Job(options, make_request, lines, log_warnings=formatter.is_text)
        results = run_job(job, generator, output, formatter.text)
        is_hidden = output_path is None and sys.stdout.isatty()  # poems go there themselves
        for _ in tqdm(
            results,
            total=job.num_poems,
            initial=output.progress.num_poems,
            unit=" poems",
            leave=False,
            disable=is_hidden or None,
        ):
            pass
    if output.progress.num_cut_off and formatter.is_text:
        logger.info(
            "%s of these poems were cut off without an end", f"{output.progress.num_cut_off:,}"
        )
    raise_if_failed(job, output.progress)


def _load_generator(choice: ModelChoice, seed: int, device: str) -> "Generator":
    logger.info("model %s (%s), seed %s", choice.path, choice.why, seed)
    from poetgen.model.file import load_model
    from poetgen.sampling.generator import Generator

    return Generator(load_model(choice.path, device))

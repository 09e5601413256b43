"""`poetgen sample`."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from poetgen.cli.boundary import tell
from poetgen.cli.options import OutputFormat, Script
from poetgen.errors import UsageError


def sample(
    prompt: Annotated[
        str | None,
        typer.Argument(help="The beginning, such as 床前. Without one the model begins by itself."),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(help="Below 1 plainer, above 1 bolder; 0: always the likeliest character."),
    ] = 0.8,
    top_k: Annotated[
        int, typer.Option(help="Choose among the k likeliest characters; 0: all.")
    ] = 0,
    top_p: Annotated[
        float, typer.Option(help="Choose among the fewest that have this probability; 1: all.")
    ] = 1.0,
    min_p: Annotated[
        float,
        typer.Option(
            help="Choose among those at least this share as likely as the likeliest; 0: all."
        ),
    ] = 0.0,
    num: Annotated[int, typer.Option(min=1, help="Poems to write (per prompt).")] = 1,
    seed: Annotated[
        int | None, typer.Option(help="The same seed writes the same poems. Default: by chance.")
    ] = None,
    script: Annotated[Script, typer.Option(help="Characters to print.")] = Script.simplified,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="A file of prompts, one per line, or JSON objects with any of prompt, temperature, "
            "top_k, top_p, min_p, seed; - is standard input."
        ),
    ] = None,
    output_format: Annotated[
        OutputFormat | None,
        typer.Option("--format", help="text (the default) or jsonl (the default of --prompts)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write to this file instead of standard output.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Poems written side by side.")] = 64,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="A model file, a run folder or a run's name. "
            "Default: $POETGEN_CHECKPOINT, the newest run."
        ),
    ] = None,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Show characters as they are chosen. Default: for one poem on a terminal.",
        ),
    ] = None,
) -> None:
    """Write poems.

    Poems go to standard output, all else to standard error.
    """
    from poetgen.model.locate import find_model
    from poetgen.sampling.request import Request, Settings, check_settings, new_seed

    as_jsonl = output_format is OutputFormat.jsonl
    streamable = num == 1 and prompts is None and output is None and not as_jsonl
    if prompts is not None and prompt is not None:
        raise UsageError("a PROMPT and --prompts contradict each other", "Give one of them.")
    if stream and not streamable:
        raise UsageError(
            "--stream shows one poem as text on standard output",
            "Leave out --stream, or --num, --prompts, --output and --format jsonl.",
        )
    settings = check_settings(Settings(temperature, top_k, top_p, min_p))
    choice = find_model(checkpoint)
    seed = new_seed() if seed is None else seed
    tell(f"model {choice.path} ({choice.why}), seed {seed}")
    from poetgen.api import load
    from poetgen.cli.render import stream_poem, write_samples
    from poetgen.sampling.jobs import Job, open_lines

    model = load(choice.path)
    write = partial(write_samples, output=output, script=script, model=str(choice.path))
    if prompts is not None:
        output_format = output_format or OutputFormat.jsonl
        is_text = output_format is OutputFormat.text
        job = Job(
            open_lines(prompts), num, seed, settings, model.prompt, tell, tell_warnings=is_text
        )
        samples = model.generate(job, batch_size=batch_size)
        write(samples, output_format=output_format, total=None)
        job.raise_if_lines_failed()
        return
    prepared = model.prompt(prompt)
    for warning in prepared.warnings:
        tell(f"warning: {warning}")
    if stream or (stream is None and streamable and sys.stdout.isatty()):
        stream_poem(model.stream_request(Request(seed, 0, prepared, settings=settings)), script)
        return
    requests = (Request(seed, index, prepared, settings=settings) for index in range(num))
    samples = model.generate(requests, batch_size=batch_size)
    write(samples, output_format=output_format or OutputFormat.text, total=num)

"""`poetgen sample`."""

import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import poetgen
from poetgen.cli.boundary import tell
from poetgen.cli.options import OutputFormat, Script
from poetgen.errors import UsageError

if TYPE_CHECKING:
    from poetgen.api import PoetModel
    from poetgen.cli.render import Page
    from poetgen.model.locate import ModelChoice
    from poetgen.sampling.options import Options
    from poetgen.sampling.request import Request

_CHOOSING = "How each character is chosen"
_VERSE = "What the poem must be"
_TOLD = "What the model is told (where it was trained to listen)"
_MANY = "Several poems, and choosing among them"
_OUTPUT = "Where poems go, and how they look"


def sample(
    prompt: Annotated[
        str | None,
        typer.Argument(
            help="The beginning, such as 床前. Without one the model begins by itself. Without a mark "
            "at its end it is the beginning of a line; with marks it must fit the form."
        ),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(
            help="Below 1 plainer, above 1 bolder; 0: always the likeliest character.",
            rich_help_panel=_CHOOSING,
        ),
    ] = 0.8,
    top_k: Annotated[
        int,
        typer.Option(
            help="Choose among the k likeliest characters; 0: all.", rich_help_panel=_CHOOSING
        ),
    ] = 0,
    top_p: Annotated[
        float,
        typer.Option(
            help="Choose among the fewest that have this probability; 1: all.",
            rich_help_panel=_CHOOSING,
        ),
    ] = 1.0,
    min_p: Annotated[
        float,
        typer.Option(
            help="Choose among those at least this share as likely as the likeliest; 0: all. "
            "With any of these three, sampling under constraints is an approximation.",
            rich_help_panel=_CHOOSING,
        ),
    ] = 0.0,
    seed: Annotated[
        int | None,
        typer.Option(
            help="The same seed writes the same poems. Default: by chance.",
            rich_help_panel=_CHOOSING,
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            metavar="FORM",
            help="五绝 or 七绝 (four lines of 5 or 7 characters), 五律 or 七律 (eight); or wujue, qijue, "
            "wulv, qilv. The model is told, and line lengths and marks are imposed.",
            rich_help_panel=_VERSE,
        ),
    ] = "",
    soft: Annotated[
        bool,
        typer.Option(
            "--soft",
            help="Only tell the model the form, impose nothing of it.",
            rich_help_panel=_VERSE,
        ),
    ] = False,
    rhyme: Annotated[
        bool,
        typer.Option(
            "--rhyme",
            help="Even lines rhyme as Tang poets did, on no character twice; "
            "the model's first rhyme decides in which group.",
            rich_help_panel=_VERSE,
        ),
    ] = False,
    rhyme_group: Annotated[
        str,
        typer.Option(
            metavar="GROUP",
            help="Rhyme in this one of the 106 groups (平水韵), such as 东 or 阳. Implies --rhyme.",
            rich_help_panel=_VERSE,
        ),
    ] = "",
    tones: Annotated[
        bool,
        typer.Option(
            "--tones",
            help="Keep the tone patterns of regulated verse (平仄, 对, 粘; no 孤平, no 三平尾). "
            "Needs --form.",
            rich_help_panel=_VERSE,
        ),
    ] = False,
    acrostic: Annotated[
        str,
        typer.Option(
            metavar="CHARACTERS",
            help="The lines begin with these in order (藏头诗): one for each line of the form; "
            "without a form the poem has as many lines as these are.",
            rich_help_panel=_VERSE,
        ),
    ] = "",
    acrostic_at: Annotated[
        str,
        typer.Option(
            metavar="start|end",
            help="Where in the lines the acrostic stands.",
            rich_help_panel=_VERSE,
        ),
    ] = "start",
    allow_copies: Annotated[
        bool,
        typer.Option(
            "--allow-copies",
            help="Lines may stand word for word in the training poems; else the last "
            "character of such a line is drawn again.",
            rich_help_panel=_VERSE,
        ),
    ] = False,
    title: Annotated[
        str, typer.Option(help="The title that the poem is to have.", rich_help_panel=_TOLD)
    ] = "",
    author: Annotated[
        str,
        typer.Option(
            help="In whose manner to write, such as 李白 (poetgen info: who is known).",
            rich_help_panel=_TOLD,
        ),
    ] = "",
    num: Annotated[
        int, typer.Option(min=1, help="Poems to write (per prompt).", rich_help_panel=_MANY)
    ] = 1,
    particles: Annotated[
        int | None,
        typer.Option(
            help="Under constraints, write each poem in this many versions side by side, drop those "
            "that run into a corner, and draw one at the end: more are truer to the model, and "
            "slower. Default: 4 under constraints; 1 is the fastest.",
            rich_help_panel=_MANY,
        ),
    ] = None,
    best_of: Annotated[
        int,
        typer.Option(
            help="Write so many poems for each and keep the one that the model finds likeliest.",
            rich_help_panel=_MANY,
        ),
    ] = 1,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1,
            help="Poems written side by side, a particle counting as one: changes the speed and the "
            "memory, not the poems.",
            rich_help_panel=_MANY,
        ),
    ] = 64,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="A file of prompts, one per line, or JSON objects with a prompt and any of the options "
            "above but --num and --batch-size (top_k for --top-k); - is standard input, "
            "which cannot be read twice: such a job, broken off, begins anew.",
            rich_help_panel=_MANY,
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
            help="Write to this file instead of standard output. Broken off, the same command goes on "
            "where it stopped.",
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
            help="Below each poem show its tones, its rhyme, and how likely the model found each "
            "character; in jsonl, add the probabilities.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Show characters as they are chosen, with one particle. "
            "Default: on a terminal, for one poem of one particle.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="A model file, a run folder, a run's name, or tang, the model that ships. "
            "Default: $POETGEN_CHECKPOINT, the newest run, the model that ships."
        ),
    ] = None,
) -> None:
    """Write poems.

    Poems go to standard output, all else to standard error. Constraints only say what may stand
    where: the model still writes every character.
    """
    from poetgen.cli.render import Page
    from poetgen.model.locate import find_model
    from poetgen.sampling.options import Options

    options = Options(
        prompt=prompt,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        seed=seed,
        form=form,
        soft=soft,
        rhyme=rhyme,
        rhyme_group=rhyme_group,
        tones=tones,
        acrostic=acrostic,
        acrostic_at=acrostic_at,
        title=title,
        author=author,
        particles=particles,
        best_of=best_of,
        allow_copies=allow_copies,
    )
    if prompts is not None and prompt is not None:
        raise UsageError("a PROMPT and --prompts contradict each other", "Give one of them.")
    if output_format is None:
        output_format = OutputFormat.text if prompts is None else OutputFormat.jsonl
    is_one = num == 1 and prompts is None
    is_shown = output is None and output_format is OutputFormat.text and not explain
    if stream and not (is_one and is_shown):
        raise UsageError(
            "--stream shows one poem as text on standard output",
            "Leave out --stream, or --num, --prompts, --output, --explain and --format jsonl.",
        )
    if stream:
        options = options.streamed()
    choice = find_model(checkpoint)
    page = Page(output_format, script, str(choice.path), explain, output)
    if stream or (
        stream is None and is_one and is_shown and options.can_stream and sys.stdout.isatty()
    ):
        _stream(options, choice, script)
    else:
        _write(prompts, num, options, choice, page, batch_size)


def _write(
    prompts: Path | None,
    num: int,
    options: "Options",
    choice: "ModelChoice",
    page: "Page",
    batch_size: int,
) -> None:
    from poetgen.cli.output import open_output, raise_if_failed, tell_cut_off, write_job
    from poetgen.sampling.continued import can_continue, check_apart
    from poetgen.sampling.jobs import Job, describe_job, open_lines

    description = None
    with nullcontext() if prompts is None else open_lines(prompts) as lines:
        if prompts is not None and page.output is not None:
            check_apart(prompts, page.output)
        if page.output is not None and can_continue(prompts, page.output):
            settings = {"num": num, "poetgen": poetgen.__version__, **page.settings}
            description = describe_job(prompts, choice.path, options, **settings)
        elif page.output is not None and prompts is not None:
            tell("prompts or output is not a plain file: if interrupted, this job starts over")
        with open_output(page.output, options.seed, description) as output:
            seed = output.progress.seed
            model = _load(choice, seed)
            if prompts is None:
                _tell_warnings(model.request(options, seed=seed))
            job = Job(
                lines,
                num,
                options,
                partial(model.request, seed=seed),
                tell,
                tell_warnings=prompts is not None and page.is_text,
                batch_size=batch_size,
            )
            write_job(job, partial(model.generate, batch_size=batch_size), page, output)
    tell_cut_off(output.progress, page)
    raise_if_failed(output.progress, has_lines=prompts is not None)


def _stream(options: "Options", choice: "ModelChoice", script: Script) -> None:
    from poetgen.cli.render import LiveVerse
    from poetgen.sampling.request import new_seed

    seed = new_seed() if options.seed is None else options.seed
    model = _load(choice, seed)
    request = model.request(options, seed=seed)
    _tell_warnings(request)
    live = LiveVerse(script)
    # What is not on a terminal cannot be taken back, so there only what is certain is written.
    take_back = live.take_back if sys.stdout.isatty() else None
    live.show(model.stream_request(request, take_back))


def _tell_warnings(request: "Request") -> None:
    for warning in request.warnings:
        tell(f"warning: {warning}")


def _load(choice: "ModelChoice", seed: int) -> "PoetModel":
    tell(f"model {choice.path} ({choice.why}), seed {seed}")
    from poetgen.api import load

    return load(choice.path)

"""The `poetgen` program.  Nothing here or in the command files imports torch at the top."""

import sys
from typing import Annotated, Literal, NoReturn

import typer

import poetgen
from poetgen.cli.boundary import handle_errors, run_program
from poetgen.cli.config import config
from poetgen.cli.corpus import fetch, report
from poetgen.cli.evaluate import evaluate
from poetgen.cli.export import export
from poetgen.cli.help import Command, Group
from poetgen.cli.info import info
from poetgen.cli.inspect import inspect
from poetgen.cli.plot import plot
from poetgen.cli.sample import sample
from poetgen.cli.scan import scan
from poetgen.cli.train import train
from poetgen.language import set_language, tr

app = typer.Typer(
    cls=Group,
    help="Train a stacked LSTM on Tang poems and generate new ones.",
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Example: `poetgen sample 床前 --temperature 0.8`",
    context_settings={"help_option_names": ["-h", "--help"]},
)
corpus_app = typer.Typer(
    cls=Group,
    help="Download the corpus, or report on its contents.",
    no_args_is_help=True,
    epilog="Example: `poetgen corpus fetch`",
)
app.add_typer(corpus_app, name="corpus")

# Every help text ends in commands that can be typed.
for _app, _name, _command, *_examples in (
    (
        app,
        "sample",
        sample,
        "sample 床前 --temperature 0.8 --seed 1 --num 3",
        "sample --acrostic 床前明月 --form 七绝 --rhyme --tones --num 4 --seed 3",
        "sample 白日 --form 五绝 --rhyme-group 尤 --explain",
        "sample --prompts prompts.txt --form 五律 --rhyme --output poems.jsonl",
    ),
    (app, "scan", scan, "scan 白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"),
    (app, "inspect", inspect, "inspect 床前明月光，疑是地上霜。 --output gates.html"),
    (app, "train", train, "train --config base --set train.epochs=4 --run short"),
    (app, "eval", evaluate, "eval --corpus data/tang --split test --json"),
    (app, "info", info, "info --json"),
    (app, "plot", plot, "plot short --by steps --output curves.svg"),
    (app, "config", config, "config tiny --set train.epochs=4 > mine.yaml"),
    (app, "export", export, "export short --int8 --output short.safetensors"),
    (corpus_app, "fetch", fetch, "corpus fetch --output-dir data/tang"),
    (corpus_app, "report", report, "corpus report --corpus data/tang --json"),
):
    _epilog = "\n\n".join(f"Example: `poetgen {one}`" for one in _examples)
    _app.command(_name, cls=Command, epilog=_epilog)(handle_errors(_command))


@app.callback(invoke_without_command=True)
def _options(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    language: Annotated[  # noqa: ARG001 (read by `main`, before Typer builds a help text)
        Literal["en", "zh"] | None,
        typer.Option(
            help="Language of help, messages and pages, in any command. "
            "Default: $POETGEN_LANGUAGE, else the locale's."
        ),
    ] = None,
) -> None:
    if version:
        typer.echo(f"poetgen {poetgen.__version__}")
    elif ctx.invoked_subcommand is None:
        _welcome()


def _welcome() -> None:
    """Print what one can do, and a first command."""
    typer.echo(tr("poetgen generates Tang poems with a stacked LSTM. A trained model is included."))
    for text, command in (
        (tr("Generate a poem:"), "sample 床前"),
        (tr("In a form, with rhyme and tones:"), "sample --form 七绝 --rhyme --tones"),
        (tr("Scan a poem:"), "scan 白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"),
        (tr("See what the gates do:"), "inspect 床前明月光 --output gates.html"),
        (tr("Train a small model, in a minute:"), "train --config tiny --corpus starter"),
    ):
        typer.echo(f"\n{text}\n  poetgen {command}")
    typer.echo("\n" + tr("All commands: poetgen --help    中文：poetgen --language zh"))


def main() -> NoReturn:
    """Run the program; it leaves by SystemExit.

    `--language` works in any position: it is moved to the front, where Typer takes it.
    """
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    language: list[str] = []
    for index, argument in enumerate(arguments[:end]):
        if argument == "--language" or argument.startswith("--language="):
            language = arguments[index : index + 1 + ("=" not in argument)]
            arguments = [*language, *arguments[:index], *arguments[index + len(language) :]]
            break
    name = "".join(language).removeprefix("--language").removeprefix("=")
    set_language(name or None)
    run_program(app, arguments)

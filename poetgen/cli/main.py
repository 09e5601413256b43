"""The `poetgen` program.  Nothing here or in the command files imports torch at the top."""

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Literal, NamedTuple, NoReturn

import typer

import poetgen
from poetgen.cli.boundary import handle_errors, run_program
from poetgen.cli.help import Command, Group
from poetgen.language import set_language, tr


class _Entry(NamedTuple):
    """Where a command is, and the examples that end its help text."""

    module: str
    function: str
    examples: tuple[str, ...]


_COMMANDS = {
    "sample": _Entry(
        "sample",
        "sample",
        (
            "sample 床前 --temperature 0.8 --seed 1 --num 3",
            "sample --acrostic 床前明月 --form 七绝 --rhyme --tones --num 4 --seed 3",
            "sample 白日 --form 五绝 --rhyme-group 尤 --explain",
            "sample --prompts prompts.txt --form 五律 --rhyme --output poems.jsonl",
        ),
    ),
    "scan": _Entry("scan", "scan", ("scan 白日依山尽，黄河入海流。欲穷千里目，更上一层楼。",)),
    "inspect": _Entry(
        "inspect", "inspect", ("inspect 床前明月光，疑是地上霜。 --output gates.html",)
    ),
    "train": _Entry("train", "train", ("train --config base --set train.epochs=4 --run short",)),
    "eval": _Entry("evaluate", "evaluate", ("eval --corpus data/tang --split test --json",)),
    "info": _Entry("info", "info", ("info --json",)),
    "plot": _Entry("plot", "plot", ("plot short --by steps --output curves.svg",)),
    "config": _Entry("config", "config", ("config tiny --set train.epochs=4 > mine.yaml",)),
    "export": _Entry("export", "export", ("export short --int8 --output short.safetensors",)),
    "corpus fetch": _Entry("corpus", "fetch", ("corpus fetch --output-dir data/tang",)),
    "corpus report": _Entry("corpus", "report", ("corpus report --corpus data/tang --json",)),
}
"""The commands; the one that is called is imported, all of them only for a list."""


def make_app(names: Iterable[str] = _COMMANDS) -> typer.Typer:
    """Return the program with some commands, or all."""
    app = typer.Typer(
        cls=Group,
        help="Train a stacked LSTM on Tang poems and generate new ones.",
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        epilog="Example: `poetgen sample 床前 --temperature 0.8`",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_options)
    corpus_app = typer.Typer(
        cls=Group,
        help="Download the corpus, or report on its contents.",
        no_args_is_help=True,
        epilog="Example: `poetgen corpus fetch`",
    )
    for name in names:
        entry = _COMMANDS[name]
        function = getattr(import_module(f"poetgen.cli.{entry.module}"), entry.function)
        epilog = "\n\n".join(f"Example: `poetgen {one}`" for one in entry.examples)
        parent = corpus_app if name.startswith("corpus ") else app
        parent.command(name.split()[-1], cls=Command, epilog=epilog)(handle_errors(function))
    if corpus_app.registered_commands:
        app.add_typer(corpus_app, name="corpus")
    return app


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
    # Threads in numpy's products spin while they wait, and a busy machine has no core for them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
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
    called = arguments[len(language) :][:1]
    run_program(make_app(called if set(called) & _COMMANDS.keys() else _COMMANDS), arguments)

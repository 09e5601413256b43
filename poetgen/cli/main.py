"""The `poetgen` program.  Nothing here or in the command files imports torch at the top."""

from functools import partial
from typing import Annotated

import typer

import poetgen
from poetgen.cli.boundary import handle_errors, run_program
from poetgen.cli.config import config
from poetgen.cli.corpus import fetch, report
from poetgen.cli.evaluate import evaluate
from poetgen.cli.export import export
from poetgen.cli.info import info
from poetgen.cli.inspect import inspect
from poetgen.cli.sample import sample
from poetgen.cli.scan import scan
from poetgen.cli.train import train

app = typer.Typer(
    help="Train a stacked LSTM on Tang poems and generate new ones.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Example: `poetgen sample 床前 --temperature 0.8`",
    context_settings={"help_option_names": ["-h", "--help"]},
)
corpus_app = typer.Typer(
    help="Fetch the corpus; report on what is in it.",
    no_args_is_help=True,
    epilog="Example: `poetgen corpus fetch`",
)
app.add_typer(corpus_app, name="corpus")

# Every help text ends in commands that can be typed.
for _app, _name, _command, *_examples in (
    (corpus_app, "fetch", fetch, "corpus fetch --output-dir data/tang"),
    (corpus_app, "report", report, "corpus report --corpus data/tang --json"),
    (app, "train", train, "train --config base --set train.epochs=4 --run short"),
    (
        app,
        "sample",
        sample,
        "sample 床前 --temperature 0.8 --seed 1 --num 3",
        "sample --acrostic 床前明月 --form 七绝 --rhyme --tones --num 4 --seed 3",
        "sample 白日 --form 五绝 --rhyme-group 尤 --explain",
        "sample --prompts prompts.txt --form 五律 --rhyme --output poems.jsonl",
    ),
    (app, "eval", evaluate, "eval --corpus data/tang --split test --json"),
    (app, "inspect", inspect, "inspect 床前明月光，疑是地上霜。 --output gates.html"),
    (app, "info", info, "info --json"),
    (app, "config", config, "config tiny --set train.epochs=4 > mine.yaml"),
    (app, "export", export, "export short --int8 --output short.safetensors"),
    (app, "scan", scan, "scan 白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"),
):
    _epilog = "\n\n".join(f"Example: `poetgen {example}`" for example in _examples)
    _app.command(_name, epilog=_epilog)(handle_errors(_command))


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"poetgen {poetgen.__version__}")
        raise typer.Exit


main = partial(run_program, app)
"""Run the program; it leaves by SystemExit."""

"""The `poetgen` program.  Nothing here or in the command files imports torch at the top."""

from typing import Annotated

import typer

import poetgen
from poetgen.cli.boundary import bounded
from poetgen.cli.corpus import fetch, report
from poetgen.cli.evaluate import evaluate
from poetgen.cli.sample import sample
from poetgen.cli.scan import scan
from poetgen.cli.train import train

app = typer.Typer(
    help="Train a stacked LSTM on the Tang poems, and have it write new ones.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
corpus_app = typer.Typer(help="Fetch the corpus; report on what is in it.", no_args_is_help=True)
corpus_app.command()(bounded(fetch))
corpus_app.command()(bounded(report))
app.add_typer(corpus_app, name="corpus")
app.command()(bounded(train))
app.command()(bounded(sample))
app.command("eval")(bounded(evaluate))
app.command()(bounded(scan))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"poetgen {poetgen.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the program; it leaves by SystemExit."""
    app()

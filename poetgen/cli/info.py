"""`poetgen info`."""

import json

import typer

from poetgen.cli.options import JsonOption, ModelOption


def info(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Show the contents of a model file: shape, vocabulary, corpus, training, metrics."""
    from rich.console import Console

    from poetgen.model.summary import summarize
    from poetgen.runs import find_model
    from poetgen.views.model_table import model_table

    values = summarize(find_model(model).path)
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False, indent=1))
        return
    typer.echo(values["file"])
    console = Console(highlight=False, markup=False)
    console.print(model_table(values, console.width))

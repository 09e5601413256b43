"""`poetgen info`."""

import typer

from poetgen.cli.options import JsonOption, ModelOption
from poetgen.terminal import for_stdout, json_text


def info(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Show the contents of a model file: shape, vocabulary, corpus, training, metrics."""
    from rich.console import Console

    from poetgen.model.summary import summarize
    from poetgen.runs import find_model
    from poetgen.views.model_table import model_table
    from poetgen.views.visible import Visible

    values = summarize(find_model(model).path)
    if as_json:
        typer.echo(json_text(values))
        return
    typer.echo(for_stdout(str(values["file"])))
    console = Console(highlight=False, markup=False)
    console.print(Visible(model_table(values, console.width)))

"""`poetgen info`."""

import json
from typing import Annotated

import typer


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model file, a run folder or the name of a run. "
            "Default: the one that sample takes."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what a model file says of itself: shape, vocabulary, corpus, training, figures."""
    from poetgen.model.locate import find_model
    from poetgen.model.store import describe, load_model

    facts = describe(load_model(find_model(model).path))
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=1))
        return
    from rich.console import Console
    from rich.table import Column, Table

    # Nothing is cut off: on a narrow terminal it goes on below.
    columns = [Column(overflow="fold") for _ in range(2)]
    table = Table(*columns, box=None, pad_edge=False, show_header=False)
    for name, value in facts.items():
        is_group = isinstance(value, dict)
        rows = value.items() if is_group else [("", value)]
        for key, one in rows:
            table.add_row(f"{name}.{key}" if is_group else name, str(one))
    Console(highlight=False).print(table)

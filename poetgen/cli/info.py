"""`poetgen info`."""

import json

import typer

from poetgen.cli.options import JsonOption, ModelOption

_NUM_LISTED = 12
"""Items of a long list that the table shows."""


def info(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Show the contents of a model file: shape, vocabulary, corpus, training, metrics."""
    from rich.console import Console
    from rich.table import Column, Table

    from poetgen.model.summary import summarize
    from poetgen.runs import find_model

    values = summarize(find_model(model).path)
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False, indent=1))
        return
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += [("", ""), (name, "")]
            rows += [(f"  {key}", _formatted(nested)) for key, nested in value.items()]
        else:
            rows.append((name, _formatted(value)))
    console = Console(highlight=False, markup=False)
    room = console.width - max(len(name) for name, _ in rows) - 2
    # A long value is folded, never truncated.
    columns = (Column(overflow="fold"), Column(overflow="fold", max_width=max(20, room)))
    table = Table(*columns, box=None, pad_edge=False, show_header=False)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _formatted(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as in YAML
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        listed = " ".join(map(_formatted, value[:_NUM_LISTED]))
        rest = f" … ({len(value):,}; all: --json)" if len(value) > _NUM_LISTED else ""
        return listed + rest or "none"
    return str(value)

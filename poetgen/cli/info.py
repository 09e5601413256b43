"""`poetgen info`."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

_NUM_SHOWN = 12
"""Names of a long list that the table shows."""


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model file, a run folder, a run's name, or tang, the model that ships. "
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

    console = Console(highlight=False, markup=False)
    rows = list(_rows(facts))
    room = console.width - max(len(name) for name, _ in rows) - 2
    # Nothing is cut off: on a narrow terminal it goes on below.
    columns = (Column(overflow="fold"), Column(overflow="fold", max_width=max(20, room)))
    table = Table(*columns, box=None, pad_edge=False, show_header=False)
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)


def _rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if not isinstance(value, dict):
            yield name, _shown(value)
            continue
        yield "", ""
        yield name, ""
        for key, one in value.items():
            yield f"  {key}", _shown(one)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as in a configuration
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        first = " ".join(map(_shown, value[:_NUM_SHOWN]))
        rest = f" … ({len(value):,}; all: --json)" if len(value) > _NUM_SHOWN else ""
        return first + rest or "none"
    return str(value)

"""`poetgen export`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from poetgen.errors import UsageError


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Model file, run folder, name of a run, or tang (the bundled model).",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Model file to write.")
    ],
    int8: Annotated[
        bool, typer.Option("--int8", help="Store matrices as int8, a quarter of the size of fp32.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
) -> None:
    """Write a copy of a model to a file, in fp32 or int8.

    The copy keeps vocabulary, configuration, metrics and training lines.
    """
    # os.path, not Path: it answers "no" to a name that is too long.
    if os.path.exists(output) and not overwrite:  # noqa: PTH110
        raise UsageError(
            f"{output} exists", "Choose another --output, or replace it with --overwrite."
        )
    from poetgen.model.file import load_model, save_model
    from poetgen.runs import find_model

    save_model(output, load_model(find_model(model).path), int8=int8)
    typer.echo(f"{output} {output.stat().st_size:,} bytes")

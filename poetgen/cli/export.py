"""`poetgen export`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from poetgen.cli import completion
from poetgen.cli.options import JsonOption
from poetgen.errors import UsageError
from poetgen.language import tr
from poetgen.terminal import for_stdout, json_text


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Model file, run folder, name of a run, or tang (the bundled model).",
            autocompletion=completion.models,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Model file to write.")
    ],
    int8: Annotated[
        bool, typer.Option("--int8", help="Store matrices as int8: a quarter of the size of fp32.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a copy of a model to a file, in fp32 or int8.

    The copy keeps vocabulary, configuration, metrics and training lines.
    """
    # os.path, not Path: it answers "no" to a name that is too long.
    if os.path.exists(output) and not overwrite:  # noqa: PTH110
        raise UsageError(
            tr("{path} exists", path=output),
            tr("Choose another --output, or replace it with --overwrite."),
        )
    from poetgen.model.file import load_model, save_model
    from poetgen.runs import find_model

    source = find_model(model).path
    save_model(output, load_model(source), int8=int8)
    dtype, num_bytes = "int8" if int8 else "fp32", output.stat().st_size
    if as_json:
        values = {"file": str(output), "bytes": num_bytes, "dtype": dtype, "source": str(source)}
        typer.echo(json_text(values))
    else:
        text = tr("{path}: {bytes:,} bytes, {dtype}", path=output, bytes=num_bytes, dtype=dtype)
        typer.echo(for_stdout(text))

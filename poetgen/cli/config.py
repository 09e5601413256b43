"""`poetgen config`."""

from typing import Annotated

import typer

from poetgen.cli import completion
from poetgen.cli.options import SetOption
from poetgen.terminal import for_stdout


def config(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="Name of a bundled configuration, or a YAML file.",
            autocompletion=completion.configurations,
        ),
    ] = "base",
    overrides: SetOption = None,
) -> None:
    """Print a resolved configuration as YAML, each key with its description.

    The output is itself a configuration file.
    """
    from poetgen.config import load_config

    resolved = load_config(name, overrides or [])
    typer.echo(for_stdout(resolved.to_yaml(with_descriptions=True), keep="\n"), nl=False)

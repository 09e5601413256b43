"""Options that several commands share, declared once."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_type_hints

import typer

from poetgen.cli import completion
from poetgen.sampling.options import Options, declared_options, field_docs

ModelOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Model file, run folder, name of a run, or tang (the bundled model). "
        "Default: $POETGEN_CHECKPOINT, the newest run, the bundled model.",
        autocompletion=completion.models,
    ),
]
CorpusOption: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--corpus",
        help="File or folder of poems (JSON, JSONL, or text with a poem per line), or starter, the "
        "bundled verses; repeatable. Default: as configured, $POETGEN_CORPUS, data/tang.",
    ),
]
DeviceOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--device", metavar="DEVICE", help="Device to compute on: auto, cpu, cuda or mps."
    ),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Change one value of the configuration; repeatable.",
    ),
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON instead of a table.")
]


_COMPLETIONS = {
    "form": completion.forms,
    "rhyme_group": completion.rhyme_groups,
    "author": completion.authors,
}


def takes_sampling_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command`, whose first parameter is an `Options`, with the option fields as parameters."""
    hints, texts = get_type_hints(Options), field_docs(Options)
    parameters = []
    for name, option in declared_options().items():
        flags = [f"--{name.replace('_', '-')}", *filter(None, [option.short])]
        presented: Any = (
            typer.Argument(help=texts[name])
            if name == "prompt"
            else typer.Option(
                *flags,
                help=texts[name],
                metavar=option.metavar,
                rich_help_panel=option.group,
                autocompletion=_COMPLETIONS.get(name),
            )
        )
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=getattr(Options, name),
                annotation=Annotated[hints[name], presented],
            )
        )
    parameters += list(inspect.signature(command).parameters.values())[1:]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = Options(**{name: given.pop(name) for name in declared_options()})
        command(options, **given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run

"""`poetgen eval`."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poetgen.cli.boundary import tell
from poetgen.data.split import Split
from poetgen.errors import UsageError

if TYPE_CHECKING:
    from poetgen.evaluation.report import EvaluationSet
    from poetgen.model.store import StoredModel


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Model files, run folders or names of runs. Default: the one that sample takes.",
        ),
    ] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            help="The corpus whose split to take; repeatable. "
            "Default: that of the model's run, $POETGEN_CORPUS, data/tang."
        ),
    ] = None,
    split: Annotated[
        Split | None, typer.Option(help="Which part of the corpus. Default: test.")
    ] = None,
    poems: Annotated[
        Path | None,
        typer.Option(help="Poems to score instead: JSON, JSONL, or text with a poem a line."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure how well models foresee poems they have not seen: perplexity and kin.

    Lower is better. Every poem counts from a fresh state, without title or author, in fp32.
    """
    if poems is not None and (corpus or split is not None):
        raise UsageError("--poems goes with neither --corpus nor --split", "Leave one of them out.")
    from poetgen.model.locate import find_model

    choices = [find_model(name) for name in models] if models else [find_model()]
    for choice in choices:
        tell(f"model {choice.path} ({choice.why})")
    from poetgen.evaluation.report import evaluate_models
    from poetgen.model.store import load_model

    stored = [load_model(choice.path) for choice in choices]
    on = _poems_of_file(poems) if poems is not None else _split(corpus or [], split, stored)
    report = evaluate_models(stored, on)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        _print_table(report)


def _poems_of_file(path: Path) -> "EvaluationSet":
    """The poems of a file, with what is not scored of it told."""
    from poetgen.evaluation.report import file_set

    on, cleaning = file_set(path)
    for fault in cleaning.faults():
        tell(f"warning: {fault}")
    for reason, count in cleaning.dropped.items():
        tell(f"warning: {count} records of {path} are not scored: {reason}")
    return on


def _split(
    corpus: list[Path], split: Split | None, stored: "Sequence[StoredModel]"
) -> "EvaluationSet":
    """A split of the corpus, with what makes its figures doubtful told."""
    from poetgen.data.corpus import corpus_paths, load_corpus
    from poetgen.evaluation.report import split_set

    of_runs = (found for model in stored if model.path and (found := _corpus_of_run(model.path)))
    paths = corpus_paths(corpus or next(of_runs, []))
    on = split_set(load_corpus(paths), ", ".join(map(str, paths)), split or "test")
    for model in stored:
        if model.corpus != on.corpus:
            tell(
                f"warning: {model.path} was trained on another corpus ({model.corpus}, not "
                f"{on.corpus}): poems of this split may stand in its training text"
            )
    return on


def _corpus_of_run(model: Path) -> list[Path]:
    """The corpus that the run folder around a model file names, if it is still there."""
    from poetgen.config import load_config
    from poetgen.data.corpus import corpus_paths

    beside = model.with_name("config.yaml")
    places = load_config(str(beside)).data.corpus if beside.is_file() else []
    paths = corpus_paths([Path(place) for place in places]) if places else []
    return paths if all(path.exists() for path in paths) else []


def _print_table(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    settings = report["settings"]
    what = (
        f"{settings['split']} split of {settings['source']}"
        if settings["split"]
        else settings["source"]
    )
    table = Table(
        Column("model", overflow="fold"),
        title=f"{settings['poems']:,} poems: {what}",
        title_justify="left",
        box=None,
    )
    for heading in ("nats/token", "perplexity", "bits/Han char", "tokens", "unknown"):
        table.add_column(heading, justify="right")
    for run in report["runs"]:
        likelihood = run["likelihood"]
        table.add_row(
            run["model"],
            f"{likelihood['nats_per_token']:.4f}",
            f"{math.inf if likelihood['perplexity'] is None else likelihood['perplexity']:,.2f}",
            f"{likelihood['bits_per_hanzi']:.3f}",
            f"{likelihood['tokens']:,}",
            f"{likelihood['unknown_tokens']:,}",
        )
    Console().print(table)

"""`poetgen eval`."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from poetgen.cli.boundary import tell
from poetgen.cli.options import SplitName
from poetgen.errors import UsageError


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
            "Default: the one the model was trained on, $POETGEN_CORPUS, data/tang."
        ),
    ] = None,
    split: Annotated[SplitName, typer.Option(help="Which part of the corpus.")] = SplitName.test,
    poems: Annotated[
        Path | None,
        typer.Option(help="Poems to score instead: JSON, JSONL, or text with a poem a line."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure how well models foresee poems they have not seen: perplexity and kin.

    Lower is better. Every poem counts from a fresh state, without title or author, in fp32.

    Example: `poetgen eval --corpus data/tang --split test --json`
    """
    if poems is not None and corpus:
        raise UsageError("--corpus and --poems contradict each other", "Give one of them.")
    from poetgen.model.locate import find_model

    choices = [find_model(name) for name in models] if models else [find_model()]
    for choice in choices:
        tell(f"model {choice.path} ({choice.why})")
    from poetgen.data.corpus import STARTER, corpus_paths, load_corpus
    from poetgen.evaluation.report import evaluate_models, file_set, split_set
    from poetgen.model.store import load_model

    stored = [load_model(choice.path) for choice in choices]
    if poems is not None:
        on, dropped = file_set(poems)
        if dropped:
            tell(f"warning: records left out of {poems}: {dropped}")
    else:
        known = [Path(place) for place in stored[0].config.data.corpus]
        here = all(path.exists() or path == Path(STARTER) for path in known)
        paths = corpus_paths(corpus or (known if here else []))
        on = split_set(load_corpus(paths), ", ".join(map(str, paths)), split.value)
        for model in stored:
            if model.corpus != on.corpus:
                tell(
                    f"warning: {model.path} was trained on another corpus ({model.corpus}, not "
                    f"{on.corpus}): poems of this split may stand in its training text"
                )
    report = evaluate_models(stored, on)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        _print_table(report)


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

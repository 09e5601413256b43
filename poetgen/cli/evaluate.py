"""`poetgen eval`."""

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Never

import typer
from tqdm import tqdm

from poetgen.cli.boundary import tell
from poetgen.data.split import Split
from poetgen.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from poetgen.evaluation.held_out import EvaluationSet
    from poetgen.evaluation.report import Plan
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
        typer.Option(help="Poems to measure on instead: JSON, JSONL, or text with a poem a line."),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(min=0, help="Poems that a model writes of each form; 0: likelihood alone."),
    ] = 200,
    temperature: Annotated[
        str, typer.Option(help="Of writing; several with commas between: 0.6,0.8,1.0.")
    ] = "0.8",
    constrained: Annotated[
        bool, typer.Option(help="Let poems be written with form, rhyme and tones imposed, too.")
    ] = False,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Set Kneser–Ney models of the same text beside.")
    ] = False,
    written: Annotated[
        list[Path] | None,
        typer.Option(help="A file of poems to measure as if a model had written it; repeatable."),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="The same seed gives the same report on the same machine.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with tables, plots and poems to this file.")
    ] = None,
) -> None:
    """Measure how good models are, beside real poems they have not seen.

    How well they foresee these (lower is better; every poem from a fresh state, in fp32), and how the
    poems that they write compare: verse, diversity, copying, choice of characters.
    """
    if poems is not None and (corpus or split is not None):
        raise UsageError("--poems goes with neither --corpus nor --split", "Leave one of them out.")
    if written and not samples:
        raise UsageError(
            "--samples 0 measures no poems, those of --written neither", "Leave one of them out."
        )
    from poetgen.model.locate import find_model

    choices = [find_model(name) for name in models] if models else [find_model()]
    for choice in choices:
        tell(f"model {choice.path} ({choice.why})")
    from rich.console import Console

    from poetgen.evaluation.held_out import beside
    from poetgen.evaluation.page import page
    from poetgen.evaluation.report import Plan, evaluate_models
    from poetgen.evaluation.sampled import poems_of_file
    from poetgen.evaluation.table import full_width, tables
    from poetgen.files import growing_file
    from poetgen.model.store import load_model

    plan = Plan(samples, _temperatures(temperature), seed, constrained, baseline)
    lots = [(str(path), poems_of_file(path)) for path in written or ()]
    stored = [load_model(choice.path) for choice in choices]
    on = _of_file(poems, plan) if poems is not None else _of_corpus(corpus, split, stored, plan)
    on = beside(on, stored)
    for remark in on.remarks:
        tell(f"warning: {remark}")
    # Opened first: that it cannot be written should not come out after minutes of work.
    with nullcontext() if html is None else growing_file(html) as stream:
        with _Bar() as bar:
            report = evaluate_models(stored, on, plan, written=lots, progress=bar)
        if stream is not None:
            stream.write(page(report))
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False, indent=1))
        return
    # In a file or a pipe there is no edge that a table has to keep to.
    console = Console(width=None if sys.stdout.isatty() else full_width(report))
    for table in tables(report, console.width):
        console.print(table)


def _temperatures(text: str) -> tuple[float, ...]:
    from poetgen.sampling.request import Settings, check_settings

    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--temperature {text} is not a list of numbers", "Give one or more: 0.6,0.8,1.0"
        ) from None
    for one in found:
        check_settings(Settings(temperature=one))
    return tuple(dict.fromkeys(found))


def _of_file(path: Path, plan: "Plan") -> "EvaluationSet":
    """The poems of a file, with what is not taken of it told, and the training text if it is here."""
    from poetgen.data.corpus import corpus_paths, load_corpus
    from poetgen.evaluation.held_out import file_set

    on, cleaning = file_set(path)
    for fault in cleaning.faults():
        tell(f"warning: {fault}")
    for reason, count in cleaning.dropped.items():
        tell(f"warning: {count} records of {path} are not scored: {reason}")
    paths = corpus_paths()
    if (plan.samples or plan.baseline) and all(path.exists() for path in paths):
        return replace(on, train=load_corpus(paths).splits["train"])
    if plan.baseline:
        raise CorpusError(
            f"--baseline is trained on the corpus, and there is none at {paths[0]}",
            "Fetch it with `poetgen corpus fetch`, or leave --baseline out.",
        )
    return on


def _of_corpus(
    given: Sequence[Path] | None,
    split: Split | None,
    stored: "Sequence[StoredModel]",
    plan: "Plan",
) -> "EvaluationSet":
    """A split of the corpus; no poems where none is asked for by name and none is here."""
    from poetgen.data.corpus import DEFAULT_FOLDER, corpus_paths, load_corpus
    from poetgen.evaluation.held_out import no_set, split_set

    of_runs = (found for model in stored if model.path and (found := _corpus_of_run(model.path)))
    paths = corpus_paths(given or next(of_runs, []))
    is_default = paths == [DEFAULT_FOLDER] and not given and split is None
    if is_default and plan.samples and not plan.baseline and not DEFAULT_FOLDER.exists():
        return no_set(
            f"there is no corpus at {DEFAULT_FOLDER}: no likelihood, and no real poems beside the "
            "model's (poetgen corpus fetch gets it)"
        )
    return split_set(load_corpus(paths), ", ".join(map(str, paths)), split or "test")


def _corpus_of_run(model: Path) -> list[Path]:
    """The corpus that the run folder around a model file names, if it is still there."""
    from poetgen.config import load_config
    from poetgen.data.corpus import corpus_paths

    beside = model.with_name("config.yaml")
    places = load_config(str(beside)).data.corpus if beside.is_file() else []
    paths = corpus_paths([Path(place) for place in places]) if places else []
    return paths if all(path.exists() for path in paths) else []


class _Bar:
    """A bar on stderr for each stage, gone when it is done; none where stderr is no terminal."""

    def __init__(self) -> None:
        self._bar: tqdm[Never] | None = None

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def stage(self, name: str, total: int) -> None:
        self.__exit__()
        self._bar = tqdm(desc=name, total=total, leave=False, disable=None, unit="")

    def advance(self, num: int) -> None:
        if self._bar is not None:
            self._bar.update(num)

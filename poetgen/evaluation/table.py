"""The report as tables for a terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from poetgen.evaluation.measures import ALL, MEASURES
from poetgen.evaluation.report import CONSTRAINED, FREE, NOTHING
from poetgen.prosody.forms import FORMS, OTHER

_LABEL_WIDTH, _HUMAN_WIDTH, _RUN_WIDTH = 22, 19, 29


class Lot(NamedTuple):
    """Poems that fill a column of the report."""

    name: str
    """The model or the file."""
    how: str
    """Temperature and kind of sampling."""
    column: Mapping[str, Any]

    @property
    def label(self) -> str:
        return f"{self.name} {self.how}".strip()


def lots(report: Mapping[str, Any]) -> list[Lot]:
    """The columns of all runs, in their order, with names as short as they can be told apart."""
    names = _short_names([run["model"] for run in report["runs"]])
    return [
        Lot(names[run["model"]], _how(run.get("temperature"), kind), run[kind])
        for run in report["runs"]
        for kind in (FREE, CONSTRAINED)
        if kind in run
    ]


def _how(temperature: float | None, kind: str) -> str:
    return "" if temperature is None else f"T={temperature:g} {kind}"


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """Without the folders that all have in common; a lone one is its last two parts."""
    split = {path: path.split("/") for path in dict.fromkeys(paths)}
    shared = 0
    shortest = min(map(len, split.values()), default=0)
    while shared < shortest - 2 and len({tuple(p[: shared + 1]) for p in split.values()}) == 1:
        shared += 1
    return {path: "/".join(parts[shared:]) for path, parts in split.items()}


def full_width(report: Mapping[str, Any]) -> int:
    """How wide a table of all columns is."""
    return max(100, _LABEL_WIDTH + _HUMAN_WIDTH + _RUN_WIDTH * len(lots(report)))


def tables(report: Mapping[str, Any], width: int) -> list[RenderableType]:
    """What was measured how, likelihoods, and the figures of the poems, in tables of `width`."""
    shown: list[RenderableType] = [Text("\n".join(heading(report)))]
    if any(run["likelihood"] for run in report["runs"]):
        shown.append(_likelihood_table(report))
    columns = lots(report)
    per_table = max(1, (width - _LABEL_WIDTH - _HUMAN_WIDTH) // _RUN_WIDTH)
    shown += (
        _figure_table(columns[i : i + per_table], columns)
        for i in range(0, len(columns), per_table)
    )
    if columns:
        shown.append(Group(*(Text(line) for line in legend(report))))
    return shown


def heading(report: Mapping[str, Any]) -> list[str]:
    """What was measured how, line by line."""
    settings = report["settings"]
    split = f"{settings['split']} split of " if settings["split"] else ""
    lines = []
    if settings["poems"]:
        corpus = f", corpus {settings['corpus']}" if settings["corpus"] else ""
        lines.append(
            f"{settings['poems']:,} poems: {split}{settings['source']}"
            f" (poems {settings['poems_fingerprint']}{corpus})"
        )
    models = {run["model"]: run for run in report["runs"] if run["fingerprint"]}.values()
    lines += (
        f"model {run['model']} (weights {run['fingerprint']}, corpus {run['trained_on']})"
        for run in models
    )
    if "samples" in settings:
        counts = " · ".join(f"{form} {num}" for form, num in settings["samples"].items())
        particles = f", {settings['particles']} particles" if settings["particles"] else ""
        lines.append(
            f"poems written: {counts}; seed {settings['seed']}, no top-k, top-p or min-p{particles}"
        )
    return [*lines, *settings["remarks"]]


def legend(report: Mapping[str, Any]) -> list[str]:
    """What the figures mean, what is missing, and how much chance alone would mark."""
    lines = [
        "In per cent: the figure, its 95% interval, and its distance to as many real poems.",
        "Training lines are known by a filter, which takes one stranger in a thousand for one; copies and "
        "n-grams are those of the corpus' training split alone.",
    ]
    if (human := report["human"]) is not None:
        second = human["second_sample"]
        of_second = (
            f" Of a second sample of real poems {second['marked']} of {second['lines']} lines are marked."
            if second["lines"]
            else ""
        )
        lines.append(f"*: the intervals do not touch.{of_second}")
    for lot in lots(report):
        column = lot.column
        marked = f"{column['marked']} of {column['lines']} lines marked" if column["lines"] else ""
        sorted_out = ""
        if forms := column["forms"]:
            real = f" (real poems: {_shares(human['forms'])})" if human else ""
            sorted_out = f"told no form, of all written {_shares(forms)}{real}"
        failed = f"{column['failed']} poems could not be written" if column["failed"] else ""
        if said := "; ".join(filter(None, (marked, sorted_out, failed))):
            lines.append(f"{lot.label}: {said}")
    missing = {m: why for run in report["runs"] for m, why in run.get("missing", {}).items()}
    for why in dict.fromkeys(missing.values()):
        names = [MEASURES[name].label for name in MEASURES if missing.get(name) == why]
        lines.append(f"not measured: {', '.join(names)}: {why}")
    return lines


def _shares(counts: Mapping[str, int]) -> str:
    whole = sum(counts.values())
    known = [form for form in (*FORMS, OTHER) if form in counts]
    return ", ".join(f"{counts[form] / whole:.0%} {form}" for form in known)


def likelihood_rows(report: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The likelihoods of each model, once, those of its parts indented."""
    for run in {run["model"]: run for run in report["runs"]}.values():
        likelihood = run["likelihood"]
        if likelihood is None:
            continue
        yield run["model"], likelihood
        for form, one in likelihood["forms"].items():
            yield f"  {form}", one
        for kind, one in likelihood["given"].items():
            of = f" ({one['poems']:,} poems)" if kind == NOTHING else ""
            yield f"  given {'all of these' if kind == ALL else kind}{of}", one
        for order, one in likelihood.get("baseline", {}).items():
            yield f"  Kneser–Ney, order {order}", one


LIKELIHOOD_HEADINGS = ("nats/token", "perplexity", "bits/Han char", "tokens", "unknown")


def likelihood_cells(one: Mapping[str, Any]) -> list[str]:
    return [
        f"{one['nats_per_token']:.4f}",
        f"{math.inf if one['perplexity'] is None else one['perplexity']:,.2f}",
        f"{one['bits_per_hanzi']:.3f}",
        f"{one['tokens']:,}",
        f"{one['unknown_tokens']:,}",
    ]


def _likelihood_table(report: Mapping[str, Any]) -> Table:
    table = Table(Column("model", overflow="fold"), box=None)
    for name in LIKELIHOOD_HEADINGS:
        table.add_column(name, justify="right")
    for name, one in likelihood_rows(report):
        table.add_row(escape(name), *likelihood_cells(one))
    return table


def sections(columns: Sequence[Lot]) -> list[tuple[str, list[str]]]:
    """The forms, and all together, of which there are figures, each with its measures."""
    found = []
    for form in (*FORMS, ALL):
        names = {name for lot in columns for name in lot.column["figures"].get(form, ())}
        if names:
            found.append((form, [name for name in MEASURES if name in names]))
    return found


def human_of(columns: Sequence[Lot], form: str, name: str) -> dict[str, float] | None:
    """The real poems' figure: of the column with the most poems, for some may have fewer."""
    ranked = sorted(columns, key=lambda lot: -sum(lot.column["poems"].values()))
    cells = (lot.column["figures"].get(form, {}).get(name) for lot in ranked)
    return next((cell["human"] for cell in cells if cell and cell["human"]), None)


def figure(estimate: Mapping[str, float] | None) -> tuple[str, str]:
    """A figure and its interval, in per cent."""
    if estimate is None:
        return "–", ""
    value, low, high = (100 * estimate[key] for key in ("value", "low", "high"))
    return f"{value:.1f}", f"{low:.1f}–{high:.1f}"


def difference(cell: Mapping[str, Any] | None) -> str:
    """The distance to real poems, and a mark where it is more than chance."""
    if cell is None or cell["distance"] is None:
        return ""
    return f"{100 * cell['distance']:+.1f}{'*' if cell['marked'] else ' '}"


def _figure_table(columns: Sequence[Lot], every: Sequence[Lot]) -> Table:
    table = Table(
        Column("", width=_LABEL_WIDTH, no_wrap=True),
        Column("real poems", justify="right", no_wrap=True),
        box=None,
    )
    for lot in columns:
        heads = "\n".join(filter(None, (lot.name, lot.how)))
        table.add_column(escape(heads), justify="right", overflow="fold", max_width=_RUN_WIDTH)
    for form, names in sections(every):
        num = {lot.column["poems"].get(form) for lot in columns} - {None}
        counts = f" ({'/'.join(map(str, sorted(map(int, num))))} poems)" if num else ""
        table.add_row(Text("all forms" if form == ALL else f"{form}{counts}", style="bold"))
        for name in names:
            cells = [lot.column["figures"].get(form, {}).get(name) for lot in columns]
            table.add_row(
                f"  {MEASURES[name].label}",
                "{:>5} {:>11}".format(*figure(human_of(every, form, name))),
                *("{:>5} {:>11} {:>7}".format(*figure(c), difference(c)) for c in cells),
            )
    return table

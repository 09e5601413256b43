"""A summary of runs as a table for a terminal: a row per run."""

from collections.abc import Sequence

from rich.table import Column, Table

from poetgen.language import tr
from poetgen.progress import format_duration
from poetgen.training.history import RunHistory, perplexity


def run_headings() -> list[str]:
    """Return the headings of `run_cells`."""
    return [
        tr("run"),
        tr("epochs"),
        tr("steps"),
        tr("training perplexity"),
        tr("best validation perplexity"),
        tr("time"),
    ]


def run_cells(history: RunHistory) -> list[str]:
    """Return a run's name, epochs, steps, last training and best validation perplexity, and time."""
    validations, best = history.validations, history.best
    last = validations[-1].train_nats_per_token if validations else history.steps[-1].nats_per_token
    return [
        history.name,
        f"{len(validations):,}",
        f"{history.num_steps:,}",
        f"{perplexity(last):,.1f}",
        tr(
            "{perplexity:,.1f} (epoch {epoch})",
            perplexity=perplexity(best.valid_nats_per_token),
            epoch=best.epoch,
        )
        if best
        else "–",
        format_duration(history.seconds) if validations else "–",
    ]


def run_table(histories: Sequence[RunHistory]) -> Table:
    """Return a row per run; long names are folded, never truncated."""
    name, *others = run_headings()
    columns = (Column(heading, justify="right", overflow="fold") for heading in others)
    table = Table(Column(name, overflow="fold"), *columns, box=None, pad_edge=False)
    for history in histories:
        table.add_row(*run_cells(history))
    return table

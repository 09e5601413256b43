"""The results of a group as a table for a terminal."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from benchmarks.lines import Group, Ratio, Result

_HEADINGS = ("", "median", "unit", "min – max", "ratio", "to", "bar")


def results_table(group: Group, results: Sequence[Result]) -> Table:
    """Return the table of the results of `group`; further ratios of a line are in rows of their own."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in _HEADINGS:
        is_number = heading in ("median", "min – max", "ratio")
        table.add_column(heading, justify="right" if is_number else "left")
    for result in results:
        if result.group == group.name:
            for row in table_rows(result):
                table.add_row(*row)
    return table


def table_rows(result: Result) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a line: its values with its first ratio, then its other ratios."""
    spread = f"{number(min(result.values))} – {number(max(result.values))}"
    if len(result.values) == 1:
        spread = ""
    own = (result.name, number(result.median), result.unit, spread)
    first, *others = result.ratios or (None,)
    yield (*own, *_ratio_cells(first))
    for ratio in others:
        yield ("", "", "", "", *_ratio_cells(ratio))


def _ratio_cells(ratio: Ratio | None) -> tuple[str, str, str]:
    if ratio is None:
        return "", "", ""
    verdict = {None: "", True: "met", False: "missed"}[ratio.is_met]
    bar = "" if ratio.bar is None else f"{ratio.bar} {verdict}"
    return f"{ratio.value:.2f}", ratio.reference, bar


def number(value: float) -> str:
    """Return a value with about three digits.

    >>> number(12345.6), number(12.34), number(0.1234)
    ('12,346', '12.3', '0.123')
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"

"""The contents of a model file for a terminal: a summary in sentences, then a table."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.cells import cell_len
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from poetgen.language import tr, tr_noop

_NUM_LISTED = 12
"""Items of a long list that the table shows."""
_LABELS = {
    "bytes": tr_noop("bytes"),
    "parameters": tr_noop("parameters"),
    "symbols": tr_noop("vocabulary"),
    "hanzi": tr_noop("Han characters"),
    "corpus_fingerprint": tr_noop("fingerprint of the corpus"),
    "training_lines": tr_noop("training lines"),
    "supported_conditions": tr_noop("conditions"),
    "metrics": tr_noop("metrics"),
}
"""Texts for the values of a model file; configuration sections and keys have no translation."""


def model_table(values: Mapping[str, Any], width: int) -> Group:
    """Return the `values` of `poetgen.model.summary.summarize`, the file aside, in `width` columns."""
    rows = list(_rows({name: value for name, value in values.items() if name != "file"}))
    room = width - max(cell_len(name) for name, _ in rows) - 2
    # A long value is folded, never truncated.
    columns = (Column(overflow="fold"), Column(overflow="fold", max_width=max(20, room)))
    table = Table(*columns, box=None, pad_edge=False, show_header=False)
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return Group(Text(" ".join(_sentences(values))), Text(), table)


def _sentences(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a reader wants first: size, conditions, perplexity."""
    shape, conditions, metrics = (
        values[name] for name in ("model", "supported_conditions", "metrics")
    )
    yield tr(
        "{layers}-layer {cell} with {units:,} units per layer, {parameters:,} parameters and "
        "{characters:,} Han characters.",
        cell=shape["cell"].upper(),
        layers=shape["num_layers"],
        units=shape["hidden_size"],
        parameters=values["parameters"],
        characters=values["hanzi"],
    )
    supported = [
        *([tr("form")] if conditions["form"] else []),
        *([tr("title")] if conditions["title"] else []),
        *([tr("{num:,} authors", num=len(conditions["author"]))] if conditions["author"] else []),
    ]
    if supported:
        yield tr("Conditions: {conditions}.", conditions=tr(", ").join(supported))
    if (test := metrics.get("test_perplexity")) is not None:
        yield tr("Perplexity on test poems: {perplexity:,.2f}.", perplexity=test)
    elif (valid := metrics.get("valid_perplexity")) is not None:
        yield tr("Perplexity on validation poems: {perplexity:,.2f}.", perplexity=valid)


def _rows(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        label = tr(_LABELS[name]) if name in _LABELS else name
        if isinstance(value, dict):
            yield from (("", ""), (label, ""))
            yield from ((f"  {key}", _formatted(nested)) for key, nested in value.items())
        else:
            yield label, _formatted(value)


def _formatted(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as in YAML
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        listed = " ".join(map(_formatted, value[:_NUM_LISTED]))
        if len(value) > _NUM_LISTED:
            return tr("{listed} … ({num:,}; all: --json)", listed=listed, num=len(value))
        return listed or tr("none")
    return str(value)

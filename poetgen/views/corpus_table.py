"""The corpus report for a terminal: a summary in sentences, then a table of counts."""

from collections.abc import Mapping

from rich.console import Group
from rich.table import Table
from rich.text import Text

from poetgen.data.clean import reason_label
from poetgen.data.corpus import CorpusReport
from poetgen.language import tr, tr_noop
from poetgen.prosody.forms import OTHER

_SPLITS = {"train": tr_noop("train"), "valid": tr_noop("valid"), "test": tr_noop("test")}


def corpus_table(report: CorpusReport) -> Group:
    """Return the summary, and a table with a row per count: group, name, value."""
    table = Table("", "", "", box=None, pad_edge=False, show_header=False)
    table.columns[2].justify = "right"
    table.add_row(tr("records read"), "", f"{report.num_read:,}")
    table.add_row(tr("poems kept"), "", f"{report.num_kept:,}")
    _add_counts(table, tr("dropped"), _labeled(report.dropped))
    _add_counts(table, tr("changed"), _labeled(report.changed))
    forms = {tr("other") if form == OTHER else form: num for form, num in report.forms.items()}
    _add_counts(table, tr("forms"), forms)
    _add_counts(table, tr("split"), {tr(_SPLITS[name]): num for name, num in report.split.items()})
    table.add_row(tr("vocabulary"), tr("Han characters"), f"{report.num_characters:,}")
    table.add_row("", tr("coverage of held-out text"), f"{report.coverage:.2%}")
    table.add_row(tr("held-out lines in train"), "", f"{report.leaked_lines_rate:.2%}")
    table.add_row(tr("fingerprint"), "", report.fingerprint)
    if extra := report.extra:
        table.add_row(tr("additional poems"), tr("records read"), f"{extra.num_read:,}")
        table.add_row("", tr("poems kept"), f"{extra.num_kept:,}")
        _add_counts(table, tr("additional poems dropped"), _labeled(extra.dropped))
        table.add_row(
            tr("held-out lines in additional poems"), "", f"{extra.leaked_lines_rate:.2%}"
        )
    return Group(Text(_summary(report)), Text(), table)


def _labeled(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason_label(name): count for name, count in counts.items()}


def _add_counts(table: Table, group: str, counts: Mapping[str, int]) -> None:
    """Add a row per count; the first names the group."""
    for number, (name, count) in enumerate(counts.items()):
        table.add_row("" if number else group, name, f"{count:,}")


def _summary(report: CorpusReport) -> str:
    return tr(
        "{kept:,} of {read:,} records are kept as poems: {train:,} for training, {valid:,} for "
        "validation, {test:,} for testing.",
        read=report.num_read,
        kept=report.num_kept,
        train=report.split["train"],
        valid=report.split["valid"],
        test=report.split["test"],
    )

"""The corpus report as a table."""

from rich.table import Table

from poetgen.data.corpus import CorpusReport


def corpus_table(report: CorpusReport) -> Table:
    """Return a table with a row per count: group, name, value."""
    table = Table("", "", "count", box=None, pad_edge=False, show_header=False)
    table.columns[2].justify = "right"
    table.add_row("records read", "", f"{report.num_read:,}")
    table.add_row("poems kept", "", f"{report.num_kept:,}")
    for group in ("dropped", "changed", "forms", "split"):
        for name, count in getattr(report, group).items():
            table.add_row(group, name.replace("_", " "), f"{count:,}")
    table.add_row("vocabulary", "Han characters", f"{report.num_characters:,}")
    table.add_row("", "coverage of held-out text", f"{report.coverage:.2%}")
    table.add_row("held-out lines in train", "", f"{report.leaked_lines_rate:.2%}")
    table.add_row("fingerprint", "", report.fingerprint)
    if extra := report.extra:
        table.add_row("extra", "records read", f"{extra.num_read:,}")
        table.add_row("", "poems kept", f"{extra.num_kept:,}")
        for name, count in extra.dropped.items():
            table.add_row("extra dropped", name.replace("_", " "), f"{count:,}")
        table.add_row("held-out lines in extra", "", f"{extra.leaked_lines_rate:.2%}")
    return table

"""`poetgen corpus fetch` and `poetgen corpus report`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from poetgen.cli.boundary import tell


def fetch(
    collection: Annotated[str, typer.Option(help="tang or song.")] = "tang",
    to: Annotated[
        Path | None, typer.Option(help="The folder to fill. Default: data/COLLECTION.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="A mirror, or several separated by commas; also $POETGEN_CORPUS_URL. "
            "A folder or file:// works too."
        ),
    ] = None,
) -> None:
    """Download the poems of the pinned upstream commit, each file checked by its hash.

    Broken off, the same command goes on where it stopped.
    """
    from poetgen.data.fetch import fetch as fetch_files

    report = fetch_files(collection, to or Path("data") / collection, base_url=url)
    typer.echo(
        f"{report.folder}: {report.downloaded} files fetched ({report.bytes:,} bytes), "
        f"{report.already_there} were there"
    )


def report(
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file or folder of poems, or `starter`; repeatable. "
            "Default: $POETGEN_CORPUS, data/tang."
        ),
    ] = None,
    extra: Annotated[
        list[Path] | None,
        typer.Option(
            help="More poems to train on, which take no part in the split; those that share a line "
            "with a held-out poem are dropped. Repeatable."
        ),
    ] = None,
    min_count: Annotated[
        int, typer.Option(min=1, help="Occurrences that earn a character an id.")
    ] = 2,
    max_tokens: Annotated[
        int, typer.Option(min=16, help="Training poems of more tokens are cut.")
    ] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Count what is in a corpus: what cleaning dropped and changed and why, forms, split."""
    from poetgen.data.corpus import corpus_paths, corpus_report, load_corpus

    loaded = load_corpus(corpus_paths(corpus or []), extra or [])
    for fault in loaded.cleaning.faults() + loaded.extra_cleaning.faults():
        tell(f"warning: {fault}")
    counts = corpus_report(loaded, min_count=min_count, max_tokens=max_tokens)
    if as_json:
        typer.echo(json.dumps(counts, ensure_ascii=False, indent=1))
    else:
        _print_table(counts)


def _print_table(counts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "", "count", box=None, pad_edge=False, show_header=False)
    table.columns[2].justify = "right"
    table.add_row("records read", "", f"{counts['read']:,}")
    table.add_row("poems kept", "", f"{counts['kept']:,}")
    for group in ("dropped", "changed", "forms", "split"):
        for name, count in counts[group].items():
            table.add_row(group, name.replace("_", " "), f"{count:,}")
    table.add_row("vocabulary", "Han characters", f"{counts['vocabulary']['characters']:,}")
    table.add_row("", "coverage of held-out text", f"{counts['vocabulary']['coverage']:.2%}")
    table.add_row("held-out lines in train", "", f"{counts['leaked_lines_rate']:.2%}")
    table.add_row("fingerprint", "", counts["fingerprint"])
    if extra := counts.get("extra"):
        table.add_row("extra", "records read", f"{extra['read']:,}")
        table.add_row("", "poems kept", f"{extra['kept']:,}")
        for name, count in extra["dropped"].items():
            table.add_row("extra dropped", name.replace("_", " "), f"{count:,}")
        table.add_row("held-out lines in extra", "", f"{extra['leaked_lines_rate']:.2%}")
    Console().print(table)

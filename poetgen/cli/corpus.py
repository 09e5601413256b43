"""`poetgen corpus fetch` and `poetgen corpus report`."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from poetgen.cli.options import CorpusOption, JsonOption
from poetgen.language import tr, tr_plural
from poetgen.terminal import for_stdout, json_text

logger = logging.getLogger(__name__)


def fetch(
    collection: Annotated[str, typer.Option(help="Collection to download: tang or song.")] = "tang",
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", help="Folder for the files. Default: data/COLLECTION."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Mirrors: URLs, file:// URLs or folders, separated by commas. "
            "Default: $POETGEN_CORPUS_URL, upstream."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Download the poems of the pinned upstream commit and verify each file by its hash.

    Rerun the same command to resume an interrupted download.
    """
    from poetgen.data.fetch import fetch as fetch_files

    report = fetch_files(collection, output_dir or Path("data") / collection, base_url=url)
    if as_json:
        typer.echo(json_text(report.to_json()))
        return
    downloaded = tr_plural(
        report.num_downloaded,
        "{num:,} file downloaded ({bytes:,} bytes)",
        "{num:,} files downloaded ({bytes:,} bytes)",
        bytes=report.num_bytes,
    )
    text = tr(
        "{folder}: {downloaded}, {present:,} already present",
        folder=report.folder,
        downloaded=downloaded,
        present=report.num_present,
    )
    typer.echo(for_stdout(text))


def report(
    corpus: CorpusOption = None,
    extra: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or folder of additional training poems, outside the split; those that share a "
            "line with a held-out poem are dropped. Repeatable."
        ),
    ] = None,
    min_count: Annotated[
        int, typer.Option(min=1, help="Occurrences for a character to enter the vocabulary.")
    ] = 2,
    max_tokens: Annotated[
        int,
        typer.Option(min=16, help="Maximum tokens of a training poem; longer ones are truncated."),
    ] = 256,
    as_json: JsonOption = False,
) -> None:
    """Count the poems of a corpus: what cleaning drops and changes, forms, split."""
    from rich.console import Console

    from poetgen.data.corpus import corpus_paths, corpus_report, load_corpus
    from poetgen.views.corpus_table import corpus_table
    from poetgen.views.visible import Visible

    loaded = load_corpus(corpus_paths(corpus or []), extra or [])
    for fault in loaded.cleaning.faults() + loaded.extra_cleaning.faults():
        logger.warning(fault)
    counts = corpus_report(loaded, min_count=min_count, max_tokens=max_tokens)
    if as_json:
        typer.echo(json_text(counts.to_json()))
    else:
        Console().print(Visible(corpus_table(counts)))

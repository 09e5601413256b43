"""`poetgen corpus fetch` and `poetgen corpus report`."""

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from poetgen.cli.options import CorpusOption, JsonOption

logger = logging.getLogger(__name__)


def fetch(
    collection: Annotated[str, typer.Option(help="tang or song.")] = "tang",
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", help="Folder to fill. Default: data/COLLECTION."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Mirror URL, file:// URL or folder; several separated by commas. "
            "Default: $POETGEN_CORPUS_URL, upstream."
        ),
    ] = None,
) -> None:
    """Download the poems of the pinned upstream commit and verify each file by its hash.

    Rerun the same command to resume an interrupted download.
    """
    from poetgen.data.fetch import fetch as fetch_files

    report = fetch_files(collection, output_dir or Path("data") / collection, base_url=url)
    typer.echo(
        f"{report.folder}: {report.num_downloaded} files fetched ({report.num_bytes:,} bytes), "
        f"{report.num_present} already present"
    )


def report(
    corpus: CorpusOption = None,
    extra: Annotated[
        list[Path] | None,
        typer.Option(
            help="Additional training poems, not part of the split; those that share a line with a "
            "held-out poem are dropped. Repeatable."
        ),
    ] = None,
    min_count: Annotated[
        int, typer.Option(min=1, help="Occurrences that a character needs for an id.")
    ] = 2,
    max_tokens: Annotated[
        int, typer.Option(min=16, help="Tokens after which a training poem is truncated.")
    ] = 256,
    as_json: JsonOption = False,
) -> None:
    """Count the poems of a corpus: dropped and changed by cleaning and why, forms, split."""
    from rich.console import Console

    from poetgen.data.corpus import corpus_paths, corpus_report, load_corpus
    from poetgen.views.corpus_table import corpus_table

    loaded = load_corpus(corpus_paths(corpus or []), extra or [])
    for fault in loaded.cleaning.faults() + loaded.extra_cleaning.faults():
        logger.warning(fault)
    counts = corpus_report(loaded, min_count=min_count, max_tokens=max_tokens)
    if as_json:
        typer.echo(json.dumps(counts.to_json(), ensure_ascii=False, indent=1))
    else:
        Console().print(corpus_table(counts))

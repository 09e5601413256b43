"""Poems on their way out: laid out as verse, as JSON lines, or character by character."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tqdm import tqdm

from poetgen.cli.boundary import tell
from poetgen.cli.options import OutputFormat, Script
from poetgen.data.normalise import to_traditional
from poetgen.data.poem import MARKS, STOPS, Poem
from poetgen.files import growing_file
from poetgen.prosody.forms import form_of
from poetgen.sampling.decode import Sample


def write_samples(
    samples: Iterable[Sample],
    *,
    output: Path | None,
    output_format: OutputFormat,
    script: Script,
    model: str,
    total: int | None,
) -> None:
    """Write each poem as it is finished, with a progress bar where the poems go past the terminal."""
    with (
        nullcontext(sys.stdout) if output is None else growing_file(output, tell) as stream,
        tqdm(total=total, unit=" poems", leave=False, disable=stream.isatty() or None) as bar,
    ):
        num_cut = 0
        for number, sample in enumerate(samples):
            if output_format is OutputFormat.jsonl:
                record = as_record(sample, script, model)
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
            else:
                gap = "\n" if number else ""
                stream.write(gap + _in_script(sample.poem, script).laid_out() + "\n")
            num_cut += not sample.ended
            bar.update()
    if num_cut and output_format is OutputFormat.text:  # a JSON line says it itself
        tell(f"{num_cut:,} of these poems were cut off without an end")


def stream_poem(characters: Iterable[str], script: Script) -> None:
    """Print a poem as it comes into being, a couplet a row.

    Traditional characters appear line by line, for their spelling hangs on the words around them.
    """
    at_row_start = True
    for piece in characters if script is Script.simplified else _by_line(characters):
        sys.stdout.write(piece)
        at_row_start = piece[-1] in STOPS
        if at_row_start:
            sys.stdout.write("\n")
        sys.stdout.flush()
    if not at_row_start:
        sys.stdout.write("\n")


def as_record(sample: Sample, script: Script, model: str) -> dict[str, Any]:
    """The JSON object of a poem; docs/design.md says what each key holds."""
    poem = _in_script(sample.poem, script)
    return {
        "index": sample.request.index,
        "prompt": sample.request.prompt.text,
        "poem": poem.text,
        "lines": list(poem.lines),
        "form": form_of(poem.lines),
        "seed": sample.request.seed,
        "temperature": sample.request.settings.temperature,
        "nats_per_token": round(sample.likelihood.nats_per_token, 4),
        "constraints": {},
        "warnings": list(sample.warnings),
        "model": model,
    }


def _in_script(poem: Poem, script: Script) -> Poem:
    return poem if script is Script.simplified else Poem(to_traditional(poem.text))


def _by_line(characters: Iterable[str]) -> Iterator[str]:
    line = ""
    for character in characters:
        line += character
        if character in MARKS:
            yield to_traditional(line)
            line = ""
    if line:
        yield to_traditional(line)

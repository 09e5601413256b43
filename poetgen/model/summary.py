"""A summary of a model file, from its header only: no weight is read, and torch is not imported."""

import math
from pathlib import Path

from poetgen.data.conditions import TITLE, known_authors, known_forms
from poetgen.model.format import LOCAL_KEYS, read_header, weight_shapes


def summarize(path: Path) -> dict[str, object]:
    """Return the size, vocabulary, origin, metrics and configuration of the model file `path`.

    The values are those of JSON: `symbols` is the size of the vocabulary and `hanzi` the number of its
    Han characters; `supported_conditions` are those of training, authors by the number of their poems.

    Raises:
        ModelFileError: missing, or its header is damaged, of an unknown version, or inconsistent.
    """
    header = read_header(path)
    vocab = header.vocab
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "parameters": sum(map(math.prod, weight_shapes(len(vocab), header.config.model).values())),
        "symbols": len(vocab),
        "hanzi": vocab.num_hanzi,
        "corpus_fingerprint": header.corpus_fingerprint,
        "training_lines": sum(lines.num_lines for lines in header.training_lines),
        "supported_conditions": {
            "form": known_forms(vocab),
            "title": TITLE in vocab.ids,
            "author": known_authors(vocab),
        },
        "metrics": header.metrics,
        **header.config.model_dump(exclude=LOCAL_KEYS),
    }

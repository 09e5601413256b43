"""Turn a trained model into the one that ships: int8, measured on the test split, written to resources.

python scripts/ship.py MODEL --corpus PATH

Both the model and its int8 copy are measured; the copy's figures go into its header, where
`poetgen info` finds them.  The file is not written if it is too large or costs too much.
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from poetgen.data.conditions import conditions_of
from poetgen.data.corpus import corpus_paths, load_corpus
from poetgen.data.poem import Poem
from poetgen.model.likelihood import Likelihood, score, total
from poetgen.model.locate import SHIPPED, find_model
from poetgen.model.store import StoredModel, load_model, save_model

MAX_BYTES = 25_000_000
MAX_COST = 0.005
"""Nats per token that int8 may cost."""


def main() -> None:
    """Measure, write, and say what it came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a model file, a run folder or a run's name")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="files or folders")
    parser.add_argument("--output", type=Path, default=SHIPPED)
    given = parser.parse_args()
    test = load_corpus(corpus_paths(given.corpus)).splits["test"]
    stored = load_model(find_model(given.model).path)
    before = measure(stored, test)
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "int8.safetensors"
        save_model(small, stored, int8=True)
        shipped = load_model(small)
    after = measure(shipped, test)
    told = total(score(shipped.model, test, shipped.vocab, given=[conditions_of(p) for p in test]))
    metrics = {
        **stored.metrics,
        "test_nats_per_token": after.nats_per_token,
        "test_perplexity": after.perplexity,
        "test_bits_per_hanzi": after.bits_per_hanzi,
        "test_perplexity_given_form_author_title": told.perplexity,
        "int8_cost_nats_per_token": after.nats_per_token - before.nats_per_token,
    }
    for name, value in metrics.items():
        print(f"{name:42} {value:.5f}")
    if metrics["int8_cost_nats_per_token"] > MAX_COST:
        raise SystemExit(f"int8 costs more than {MAX_COST} nats: not written")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.safetensors"  # with its figures
        save_model(whole, replace(stored, metrics=metrics), int8=True)
        size = whole.stat().st_size
        if size > MAX_BYTES:
            raise SystemExit(f"{size:,} bytes, more than {MAX_BYTES:,}: not written")
        shutil.copyfile(whole, given.output)
    print(f"{given.output}: {size:,} bytes")


def measure(stored: StoredModel, poems: list[Poem]) -> Likelihood:
    """Unconditional, in fp32, as `poetgen eval` does."""
    return total(score(stored.model, poems, stored.vocab))


if __name__ == "__main__":
    main()

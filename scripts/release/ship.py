"""Convert a trained model to the bundled model: int8, measured on the test split, saved to resources.

python scripts/release/ship.py --model NAME --corpus PATH

Measures both the model and its int8 copy.  The copy's metrics are stored in its header, where
`poetgen info` reads them.  Nothing is written if the file is too large or int8 loses too much.
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from poetgen.data.conditions import conditions_of
from poetgen.data.corpus import corpus_paths, load_corpus
from poetgen.data.poem import Poem
from poetgen.engine.scoring import Likelihood, score, total
from poetgen.model.file import ModelBundle, load_model, save_model
from poetgen.model.scoring import validate
from poetgen.runs import BUNDLED, find_model

MAX_BYTES = 25_000_000
MAX_INT8_COST = 0.005
"""Nats per token."""


def main() -> None:
    """Measure both models, save the int8 copy and print its metrics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-m", "--model", required=True, help="a model file, a run folder or a run's name"
    )
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="files or folders")
    parser.add_argument("--output", type=Path, default=BUNDLED)
    arguments = parser.parse_args()
    test = load_corpus(corpus_paths(arguments.corpus)).splits["test"]
    bundle = load_model(find_model(arguments.model).path)
    metrics = {**bundle.metrics, **measure_int8(bundle, test)}
    for name, value in metrics.items():
        print(f"{name:42} {value:.5f}")
    if metrics["int8_cost_nats_per_token"] > MAX_INT8_COST:
        raise SystemExit(f"int8 costs more than {MAX_INT8_COST} nats per token: not written")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bundled.safetensors"
        save_model(file, replace(bundle, metrics=metrics), int8=True)
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise SystemExit(f"{size:,} bytes, more than {MAX_BYTES:,}: not written")
        shutil.copyfile(file, arguments.output)
    print(f"{arguments.output}: {size:,} bytes")


def measure_int8(bundle: ModelBundle, test: list[Poem]) -> dict[str, float]:
    """Return the test metrics of the int8 copy, and its loss compared with `bundle` in fp32."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "int8.safetensors"
        save_model(file, bundle, int8=True)
        int8 = load_model(file)
    likelihood = measure(int8, test)
    given = [conditions_of(poem) for poem in test]
    conditioned = total(score(int8.engine, test, int8.vocab, conditions=given))
    in_fp32 = validate(bundle.network, test, bundle.vocab)
    cost = likelihood.nats_per_token - in_fp32.nats_per_token
    return {
        "test_nats_per_token": likelihood.nats_per_token,
        "test_perplexity": likelihood.perplexity,
        "test_bits_per_hanzi": likelihood.bits_per_hanzi,
        "test_perplexity_given_form_author_title": conditioned.perplexity,
        "int8_cost_nats_per_token": cost,
    }


def measure(bundle: ModelBundle, poems: list[Poem]) -> Likelihood:
    """Return the unconditional likelihood, as `poetgen eval` does."""
    return total(score(bundle.engine, poems, bundle.vocab))


if __name__ == "__main__":
    main()

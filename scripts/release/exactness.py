"""Measure what exact arithmetic costs: the likelihood by the engine, and by torch in fp32.

python scripts/release/exactness.py --model NAME --corpus PATH --split valid
"""

import argparse
from pathlib import Path

from poetgen.data.corpus import corpus_paths, load_corpus
from poetgen.engine.scoring import score, total
from poetgen.model.file import load_model
from poetgen.model.scoring import validate
from poetgen.runs import find_model


def main() -> None:
    """Print nats per token and perplexity by both, and the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", help="a model file, a run folder or a run's name")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="files or folders")
    parser.add_argument("--split", choices=("valid", "test"), default="valid")
    arguments = parser.parse_args()
    poems = load_corpus(corpus_paths(arguments.corpus)).splits[arguments.split]
    bundle = load_model(find_model(arguments.model).path)
    exact = total(score(bundle.engine, poems, bundle.vocab))
    in_fp32 = validate(bundle.network, poems, bundle.vocab)
    print(f"{arguments.split}: {exact.poems:,} poems, {exact.tokens:,} tokens")
    for name, likelihood in (("engine", exact), ("fp32", in_fp32)):
        print(
            f"{name:8}{likelihood.nats_per_token:9.5f} nats  perplexity {likelihood.perplexity:.3f}"
        )
    print(f"cost    {exact.nats_per_token - in_fp32.nats_per_token:9.5f} nats per token")


if __name__ == "__main__":
    main()

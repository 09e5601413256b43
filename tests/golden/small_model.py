"""How small.safetensors was made: python tests/golden/small_model.py PATH

The file of the repository stays as it is: this documents it, and another numpy may draw other weights.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poetgen.config import ModelConfig, build_config
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.corpus import corpus_paths, load_corpus
from poetgen.data.vocab import EOS, SPECIALS, Vocabulary
from poetgen.model.file import ModelBundle, save_model
from poetgen.model.format import weight_shapes
from poetgen.prosody.forms import FORMS
from poetgen.prosody.marks import MARKS

NUM_CHARACTERS = 400
REQUIRED = "春夏秋冬床前明月光疑是地上霜"
CONDITIONS = (*(f"<form:{form}>" for form in FORMS), "<title>", "<author:竹客>", "<author:溪翁>")
SHAPE = ModelConfig(cell="lstm", embedding_size=32, hidden_size=48, num_layers=2)
CONFIG = build_config({"data": {"max_tokens": 48}, "model": SHAPE.model_dump()})


def main() -> None:
    save_model(Path(sys.argv[1]), small_model(), int8=True)


def small_model() -> ModelBundle:
    """Return a model with random weights, whose biases are the frequencies of the starter verses."""
    poems = load_corpus(corpus_paths([Path("starter")])).splits["train"]
    counts = Counter("".join(poem.text for poem in poems))
    frequent = [c for c, _ in counts.most_common() if c not in MARKS]
    characters = dict.fromkeys(frequent[: NUM_CHARACTERS - len(REQUIRED)] + list(REQUIRED))
    vocab = Vocabulary((*SPECIALS, *MARKS, *characters, *CONDITIONS))
    random = np.random.default_rng(20)
    weights = {
        name: random.normal(0, _spread(name, shape), shape).astype(np.float32)
        for name, shape in weight_shapes(len(vocab), SHAPE).items()
    }
    bias = np.log([counts.get(symbol, 0) + 0.5 for symbol in vocab.symbols])
    bias[EOS] = np.log(len(poems))
    weights["output_bias"] = bias.astype(np.float32)
    return ModelBundle(weights, vocab, CONFIG, "", {}, (_known_lines(random),))


def _spread(name: str, shape: tuple[int, ...]) -> float:
    """Return the standard deviation of the weights of a matrix or bias."""
    if name == "embedding":
        return 0.8
    return 0.3 if len(shape) == 1 else 1.5 / shape[1] ** 0.5


def _known_lines(random: np.random.Generator) -> LineBloomFilter:
    """Return a filter that takes every eighth line for a copy: three bits, of which half are set."""
    bits: NDArray[Any] = random.integers(0, 256, 1024)
    return LineBloomFilter(bits.astype(np.uint8), num_hashes=3, num_lines=1000)


if __name__ == "__main__":
    main()

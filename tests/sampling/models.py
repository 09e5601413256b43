"""Networks whose every logit is known, and generators and requests made from them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from poetgen.config import Cell, Config, ModelConfig
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.engine.network import LayerState, Network, NetworkWeights, State
from poetgen.engine.quantize import quantize_activations
from poetgen.model.file import ModelBundle
from poetgen.model.format import weight_shapes
from poetgen.prosody.marks import MARKS
from poetgen.sampling.decode import LanguageModel
from poetgen.sampling.generator import Generator, Sample
from poetgen.sampling.hypothesis import SampledToken
from poetgen.sampling.options import Options
from poetgen.sampling.philox import RandomStream
from poetgen.sampling.prompt import Prompt
from poetgen.sampling.request import Request

IMPOSSIBLE = -60.0


def vocabulary(characters: Iterable[str]) -> Vocabulary:
    """The specials, the marks and `characters`."""
    return Vocabulary((*SPECIALS, *MARKS, *characters))


VOCAB = vocabulary("床前明月光云")
FORM_SYMBOLS = ["<form:五绝>", "<form:七绝>"]
AUTHOR_SYMBOLS = ["<author:竹客>", "<author:溪翁>"]
CONDITIONED_VOCAB = Vocabulary((*VOCAB.symbols, *FORM_SYMBOLS, "<title>", *AUTHOR_SYMBOLS))
"""The characters of `VOCAB`, with symbols for conditions."""


class TableNetwork:
    """A network whose logits depend on the last id only: a row of a table."""

    def __init__(self, table_VV: NDArray[np.float64]) -> None:
        self._table_VV = table_VV

    def expect(self, num_rows: int) -> None:
        """See `Network`."""

    def zero_state(self, num_rows: int) -> State:
        zeros_B1 = np.zeros((num_rows, 1), np.float32)
        layer = LayerState(zeros_B1, quantize_activations(zeros_B1))
        return State((layer,), np.zeros((num_rows, 0), np.intp))

    def step(self, tokens_B: NDArray[np.intp], state: State) -> tuple[NDArray[np.intp], State]:
        assert len(tokens_B) == state.num_rows
        return tokens_B, state

    def logits(self, features: NDArray[np.intp]) -> NDArray[np.float64]:
        return self._table_VV[features]


def chain(
    probabilities: Mapping[str, Mapping[str, float]], vocab: Vocabulary = VOCAB
) -> TableNetwork:
    """Return a network whose next symbol depends on the last one: {last: {next: probability}}."""
    table_VV = np.full((len(vocab), len(vocab)), IMPOSSIBLE)
    for last, following in probabilities.items():
        for symbol, probability in following.items():
            table_VV[vocab.ids[last], vocab.ids[symbol]] = math.log(probability)
    return TableNetwork(table_VV)


def unigram(logits: Mapping[str, float], vocab: Vocabulary = VOCAB) -> TableNetwork:
    """Return a network with the same `logits` at every step."""
    logits_V = np.full(len(vocab), IMPOSSIBLE)
    for symbol, logit in logits.items():
        logits_V[vocab.ids[symbol]] = logit
    return TableNetwork(np.tile(logits_V, (len(vocab), 1)))


def random_network(cell: Cell = "lstm", known: Vocabulary = VOCAB) -> tuple[Network, Vocabulary]:
    """Return untrained weights with widely spread logits, so that poems differ and some end.

    The vocabulary is `known` and 40 more characters.
    """
    vocab = Vocabulary((*known.symbols, *map(chr, range(0x5C71, 0x5C71 + 40))))
    shape = ModelConfig(cell=cell, embedding_size=12, hidden_size=16, num_layers=2)
    return exact_network(vocab, shape, {"<eos>": 1.5}), vocab


def exact_network(vocab: Vocabulary, shape: ModelConfig, biases: Mapping[str, float]) -> Network:
    """Return a network with weights drawn from [−1, 1), the same on every machine, and some `biases`."""
    stream = RandomStream(seed=5, index=0)
    arrays = {
        name: np.array(
            [2 * stream.random() - 1 for _ in range(math.prod(size))], np.float32
        ).reshape(size)
        for name, size in weight_shapes(len(vocab), shape).items()
    }
    for symbol, bias in biases.items():
        arrays["output_bias"][vocab.ids[symbol]] = bias
    return Network(NetworkWeights.from_arrays(arrays, shape), shape)


def make_generator(
    network: LanguageModel,
    vocab: Vocabulary = VOCAB,
    *,
    max_tokens: int | None = 40,
    training_lines: Sequence[LineBloomFilter] = (),
    config: Config | None = None,
) -> Generator:
    """Return a generator for a network without a file."""
    bundle = ModelBundle({}, vocab, config or Config(), "", training_lines=tuple(training_lines))
    return Generator(bundle.with_engine(cast(Network, network)), max_tokens=max_tokens)


def make_request(
    prompt: str = "", *, seed: int = 1, index: int = 0, candidate: int = 0, **options: Any
) -> Request:
    """Return a request whose prompt is read as it is: not normalized, not checked."""
    return Request(Options(**options), seed, index, Prompt(prompt), candidate=candidate)


def generate(
    generator: Generator, requests: Iterable[Request], *, batch_size: int = 64
) -> list[Sample]:
    """Return the samples; none of the requests may fail."""
    results = list(generator.generate(requests, batch_size=batch_size))
    samples = [result for result in results if isinstance(result, Sample)]
    assert len(samples) == len(results), results
    return samples


def texts(samples: Iterable[Sample]) -> list[str]:
    """Return the texts of the poems."""
    return [sample.poem.text for sample in samples]


def streamed_text(generator: Generator, request: Request) -> str:
    """Return the text of the streamed poem, which may not restart."""
    text = ""
    for event in generator.stream(request):
        assert isinstance(event, SampledToken), event
        text += event.text
    return text


COUPLET = chain(
    {
        "<bos>": {"床": 1},
        "床": {"前": 1},
        "前": {"明": 1},
        "明": {"月": 1},
        "月": {"光": 0.75, "，": 0.25},
        "光": {"。": 1},
        "，": {"云": 1},
        "云": {"。": 1},
        "。": {"<eos>": 1},
    }
)

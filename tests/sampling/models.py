"""Networks whose every logit is known, and generators and requests made from them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from poetgen.config import Cell, Config, ModelConfig
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.vocab import EOS, SPECIALS, Vocabulary
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN
from poetgen.prosody.marks import MARKS
from poetgen.sampling.generator import Generator, Sample
from poetgen.sampling.hypothesis import SampledToken
from poetgen.sampling.options import Options
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


def chain(probabilities: Mapping[str, Mapping[str, float]], vocab: Vocabulary = VOCAB) -> PoemRNN:
    """Return a network whose next symbol depends on the last one: {last: {next: probability}}.

    Its hidden state is the last symbol one-hot, for tanh(20) is 1 in fp32.
    """
    size = len(vocab)
    shape = ModelConfig(
        cell="rnn", embedding_size=size, hidden_size=size, num_layers=1, tie_embeddings=False
    )
    network = PoemRNN(size, shape)
    assert network.output is not None
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        network.embedding.copy_(torch.eye(size))
        (layer,) = network.layers
        assert isinstance(layer, torch.nn.RNN)
        layer.all_weights[0][0].copy_(20 * torch.eye(size))
        network.output.fill_(IMPOSSIBLE)
        for last, following in probabilities.items():
            for symbol, probability in following.items():
                network.output[vocab.ids[symbol], vocab.ids[last]] = math.log(probability)
    return network.eval().requires_grad_(False)


def unigram(logits: Mapping[str, float], vocab: Vocabulary = VOCAB) -> PoemRNN:
    """Return a network with the same `logits` at every step."""
    network = PoemRNN(len(vocab), ModelConfig(embedding_size=4, hidden_size=4, num_layers=1))
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        network.output_bias.fill_(IMPOSSIBLE)
        for symbol, logit in logits.items():
            network.output_bias[vocab.ids[symbol]] = logit
    return network.eval().requires_grad_(False)


def random_network(cell: Cell = "lstm", known: Vocabulary = VOCAB) -> tuple[PoemRNN, Vocabulary]:
    """Return untrained weights with widely spread logits, so that poems differ and some end.

    The vocabulary is `known` and 40 more characters.
    """
    vocab = Vocabulary((*known.symbols, *map(chr, range(0x5C71, 0x5C71 + 40))))
    torch.manual_seed(5)
    network = PoemRNN(
        len(vocab), ModelConfig(cell=cell, embedding_size=12, hidden_size=16, num_layers=2)
    )
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(4)
        network.output_bias[EOS] = 1.5
    return network.eval().requires_grad_(False), vocab


def make_generator(
    network: PoemRNN,
    vocab: Vocabulary = VOCAB,
    *,
    max_tokens: int = 40,
    training_lines: Sequence[LineBloomFilter] = (),
) -> Generator:
    """Return a generator for a network without a file."""
    bundle = ModelBundle(network, vocab, Config(), "", training_lines=tuple(training_lines))
    return Generator(bundle, max_tokens=max_tokens)


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

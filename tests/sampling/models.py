"""Models whose every logit is known."""

import math
from collections.abc import Iterable, Mapping

import torch

from poetgen.data.poem import MARKS
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.model.lstm import PoemLSTM

IMPOSSIBLE = -60.0


def vocabulary(characters: Iterable[str]) -> Vocabulary:
    """The specials, the marks and `characters`."""
    return Vocabulary((*SPECIALS, *MARKS, *characters))


def chain(vocab: Vocabulary, probabilities: Mapping[str, Mapping[str, float]]) -> PoemLSTM:
    """A model whose next symbol hangs on the last one alone: {last: {next: probability}}.

    Its hidden state is the last symbol one-hot, for tanh(20) is 1 in fp32.
    """
    size = len(vocab)
    model = PoemLSTM(
        size, cell="rnn", embedding_size=size, hidden_size=size, num_layers=1, tied=False
    )
    assert model.output is not None
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.embedding.copy_(torch.eye(size))
        (layer,) = model.layers
        assert isinstance(layer, torch.nn.RNN)
        layer.all_weights[0][0].copy_(20 * torch.eye(size))
        model.output.fill_(IMPOSSIBLE)
        for last, following in probabilities.items():
            for symbol, probability in following.items():
                model.output[vocab.ids[symbol], vocab.ids[last]] = math.log(probability)
    return model.eval().requires_grad_(False)

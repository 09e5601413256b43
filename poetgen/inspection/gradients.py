"""How far back a loss can be felt: the gradient at a model's state k steps before it.

Where the norm falls to nothing, no training can teach the model to look further back (Hochreiter
1991; Pascanu, Mikolov & Bengio 2013).

Shape suffixes: B rows, T places.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from poetgen.config import Config
from poetgen.data.vocab import BOS, Vocabulary
from poetgen.errors import UsageError
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel, new_model
from poetgen.sampling.decode import Sample, generate
from poetgen.sampling.request import Request, Settings

CELLS = ("lstm", "gru", "rnn")
MAX_LAG = 100
MIN_CHARACTERS = 5
_POEMS = 64
_ROWS = 16


@dataclass(frozen=True)
class Reach:
    """The norms of a loss' gradient at the states before it, 0, 1, 2 … steps back."""

    name: str
    norms: tuple[float, ...]
    """At the whole state, the hidden states of all layers and an LSTM's cells together: all that is
    carried on.  Relative to that at the last step."""


def norms_back(loss: Tensor, states: Sequence[Sequence[Tensor]]) -> list[float]:
    """‖∂loss/∂state‖ for the states of each step, last step first: a mean over rows.

    A state is a sequence of (B, H) tensors (of several layers, say) that count as one vector; `loss`
    is a sum over rows of which each depends on its own row alone.
    """
    flat = [part for state in states for part in state]
    # The state before the first step may not bear on the loss at all.
    gradients = iter(torch.autograd.grad(loss, flat, retain_graph=True, allow_unused=True))
    norms = []
    for state in states:
        found = [next(gradients) for _ in state]
        squares = [g.double().square().sum(dim=-1) for g in found if g is not None]
        norms.append(float(torch.stack(squares).sum(dim=0).sqrt().mean()) if squares else 0.0)
    return norms[::-1]


def reach(name: str, model: PoemLSTM, tokens_BT: Tensor) -> Reach:
    """How far back the loss of foreseeing the last column of `tokens_BT` is felt by `model`."""
    state = [
        tuple(part.clone().requires_grad_() for part in layer)
        for layer in model.zero_state(len(tokens_BT))
    ]
    states = []
    for tokens_B in tokens_BT[:, :-1].T:
        logits_BV, state = model.step(tokens_B, state)
        states.append(state)
    loss = cross_entropy(logits_BV, tokens_BT[:, -1], reduction="sum")
    norms = norms_back(loss, [[part for layer in state for part in layer] for state in states])
    return Reach(name, tuple(norm / norms[0] if norms[0] else 0.0 for norm in norms))


def compare(trained: Sequence[tuple[str, StoredModel]], texts: Sequence[str]) -> list[Reach]:
    """The reach of each of `trained` (name, model) on `texts` of one length, and of fresh models.

    The fresh ones are an LSTM, a GRU and a plain RNN of the first model's size.
    """
    _, first = trained[0]
    found = [
        reach(f"{name} ({one.model.cell}, trained)", one.model, _encode(texts, one.vocab))
        for name, one in trained
    ]
    tokens_BT = _encode(texts, first.vocab)
    for cell in CELLS:
        fresh = _fresh(first.config, first.vocab, cell)
        found.append(reach(f"{cell}, fresh", fresh, tokens_BT))
    return found


def own_texts(stored: StoredModel, seed: int, settings: Settings) -> list[str]:
    """Sixteen poems of a model's own, long ones, cut to one length.

    Raises:
        UsageError: it writes too little.
    """
    requests = (Request(seed, index, settings=settings) for index in range(_POEMS))
    results = generate(stored.model, stored.vocab, requests, max_tokens=MAX_LAG + 1)
    written = (result.poem.text for result in results if isinstance(result, Sample))
    texts = sorted(written, key=len, reverse=True)[:_ROWS]
    check_length(texts[-1])
    return [text[: len(texts[-1])] for text in texts]


def check_length(text: str) -> None:
    """Raise UsageError where there are too few steps for a gradient to vanish on."""
    if len(text) < MIN_CHARACTERS:
        raise UsageError(
            f"{text or 'no text'} is too short to show how far back a gradient reaches",
            f"Give {MIN_CHARACTERS} characters or more, such as 床前明月光，疑是地上霜。",
        )


def lags(num_steps: int) -> list[int]:
    """Which steps back a table shows of so many: 1, 2, 5, 10 … and the last."""
    last = num_steps - 1
    return [*(lag for lag in (1, 2, 5, 10, 20, 50, 100) if lag < last), last]


def _encode(texts: Sequence[str], vocab: Vocabulary) -> Tensor:
    return torch.tensor([[BOS, *vocab.encode(text)] for text in texts])


def _fresh(config: Config, vocab: Vocabulary, cell: str) -> PoemLSTM:
    shape = config.model.model_copy(update={"cell": cell})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        return new_model(config.model_copy(update={"model": shape}), vocab).eval()

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
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel, new_model
from poetgen.sampling.decode import Sample, generate
from poetgen.sampling.request import Request

CELLS = ("lstm", "gru", "rnn")
MAX_LAG = 100
_POEMS = 64
_ROWS = 16


@dataclass(frozen=True)
class Reach:
    """The norms of a loss' gradient at the states before it, 0, 1, 2 … steps back."""

    name: str
    hidden: tuple[float, ...]
    """At the hidden states of all layers together, relative to that at the last step."""
    cell: tuple[float, ...] = ()
    """At the cells of an LSTM."""

    @property
    def curves(self) -> dict[str, tuple[float, ...]]:
        """{label: norms}: two of an LSTM, one of the others."""
        both = {f"{self.name}: hidden": self.hidden, f"{self.name}: cell": self.cell}
        return both if self.cell else {self.name: self.hidden}


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
    hidden = norms_back(loss, [[layer[0] for layer in state] for state in states])
    cells = [[layer[1] for layer in state] for state in states] if model.cell == "lstm" else []
    return Reach(name, _relative(hidden), _relative(norms_back(loss, cells)) if cells else ())


def compare(trained: dict[str, StoredModel], texts: Sequence[str]) -> list[Reach]:
    """The reach of each of `trained` on `texts` (of one length), and of fresh models as large.

    The fresh ones are an LSTM, a GRU and a plain RNN of the first model's size.
    """
    first = next(iter(trained.values()))
    found = [
        reach(f"{name} ({one.model.cell}, trained)", one.model, _encode(texts, one.vocab))
        for name, one in trained.items()
    ]
    tokens_BT = _encode(texts, first.vocab)
    for cell in CELLS:
        fresh = _fresh(first.config, first.vocab, cell)
        found.append(reach(f"{cell}, fresh", fresh, tokens_BT))
    return found


def own_texts(stored: StoredModel, seed: int) -> list[str]:
    """Sixteen poems of a model's own, long ones, cut to one length."""
    requests = (Request(seed, index) for index in range(_POEMS))
    results = generate(stored.model, stored.vocab, requests, max_tokens=MAX_LAG + 1)
    written = (result.poem.text for result in results if isinstance(result, Sample))
    texts = sorted(written, key=len, reverse=True)[:_ROWS]
    return [text[: len(texts[-1])] for text in texts]


def lags(num_steps: int) -> list[int]:
    """0, 1, 2, 4, 8 … as far as there are steps."""
    return [0, *(2**power for power in range(16) if 2**power < num_steps)]


def _encode(texts: Sequence[str], vocab: Vocabulary) -> Tensor:
    return torch.tensor([[BOS, *vocab.encode(text)] for text in texts])


def _fresh(config: Config, vocab: Vocabulary, cell: str) -> PoemLSTM:
    shape = config.model.model_copy(update={"cell": cell})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        return new_model(config.model_copy(update={"model": shape}), vocab).eval()


def _relative(norms: Sequence[float]) -> tuple[float, ...]:
    return tuple(norm / norms[0] for norm in norms)

"""Gradient decay: the norm of a loss gradient at a model's state k steps before the loss.

Where the norm vanishes, training cannot teach the model longer dependencies (Hochreiter 1991;
Pascanu, Mikolov & Bengio 2013).

Shape suffixes: B rows, T positions.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from poetgen.data.vocab import BOS, Vocabulary
from poetgen.errors import UsageError
from poetgen.inspection.result import GradientComparison, GradientDecay
from poetgen.language import tr
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN
from poetgen.progress import track
from poetgen.runs import model_name
from poetgen.sampling.generator import Generator, Sample
from poetgen.sampling.options import Options
from poetgen.sampling.prompt import prepare_prompt, warn_of_unknown

CELLS = ("lstm", "gru", "rnn")
MAX_LAG = 100
MIN_CHARACTERS = 5
_NUM_POEMS = 64
_NUM_TEXTS = 16
_BATCH_SIZE = 16
"""Poems generated at once: small enough to show progress.  The poems do not depend on it."""

logger = logging.getLogger(__name__)


def compare_gradients(
    bundles: Sequence[ModelBundle], text: str | None, options: Options
) -> GradientComparison:
    """Return the gradient decay of trained models and of fresh ones, on the same texts.

    The fresh models are an LSTM, a GRU and a plain RNN of the first model's size and training seed.
    Without `text`, the texts are poems that the first model generates with `options`.

    Raises:
        UsageError: the given or generated text is too short.
    """
    first = bundles[0]
    texts = (
        sample_texts(first, options) if text is None else [prepare_prompt(text, first.vocab).text]
    )
    if len(texts[0]) < MIN_CHARACTERS:
        why = (
            tr("the generated text is too short to measure gradient decay")
            if text is None
            else tr("{text} is too short to measure gradient decay", text=texts[0])
        )
        fix = tr(
            "Give {num} characters or more, such as 床前明月光，疑是地上霜。", num=MIN_CHARACTERS
        )
        raise UsageError(why, fix)
    num_models = len(bundles) + len(CELLS)
    decays = track(_decays(bundles, texts), tr("measuring gradients"), num_models)
    return GradientComparison(tuple(texts), text is None, tuple(decays))


def _decays(bundles: Sequence[ModelBundle], texts: Sequence[str]) -> Iterator[GradientDecay]:
    """Yield the gradient decay of `bundles`, then of fresh models with each cell."""
    for bundle in bundles:
        name = model_name(bundle.path)
        for warning in warn_of_unknown("".join(texts), bundle.vocab):
            logger.warning(tr("{model}: {warning}", model=name, warning=warning))
        yield gradient_decay(name, bundle.network, _encode(texts, bundle.vocab))
    first = bundles[0]
    tokens_BT = _encode(texts, first.vocab)
    for cell in CELLS:
        shape = first.config.model.model_copy(update={"cell": cell})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(first.config.train.seed)
            network = PoemRNN(len(first.vocab), shape).to(first.network.device).eval()
        yield gradient_decay(None, network, tokens_BT)


def gradient_decay(model: str | None, network: PoemRNN, tokens_BT: Tensor) -> GradientDecay:
    """Return the gradient norms for the loss of predicting the last column of `tokens_BT`.

    `model` is the name of a trained model, None for fresh weights.
    """
    tokens_BT = tokens_BT.to(network.device)
    state = [
        tuple(part.clone().requires_grad_() for part in layer)
        for layer in network.zero_state(len(tokens_BT))
    ]
    states = []
    read_BT = tokens_BT[:, :-1]
    for x_BE in network.inputs(read_BT).unbind(dim=1):
        features_BF, state = network.step(x_BE, state)
        states.append(state)
    is_last_BT = torch.zeros_like(read_BT, dtype=torch.bool)
    is_last_BT[:, -1] = True
    logits_BV = network.logits(features_BF, network.used_tokens(read_BT, is_last_BT))
    loss = cross_entropy(logits_BV, tokens_BT[:, -1], reduction="sum")
    norms = gradient_norms(loss, [[part for layer in state for part in layer] for state in states])
    shares = tuple(norm / norms[0] if norms[0] else 0.0 for norm in norms)
    return GradientDecay(model, network.cell, shares)


def gradient_norms(loss: Tensor, states: Sequence[Sequence[Tensor]]) -> list[float]:
    """Return ‖∂loss/∂state‖ for the state of each step, last step first, as a mean over rows.

    A state is a sequence of (B, H) tensors, e.g. of several layers, that count as one vector.  `loss`
    is a sum over rows; each term depends only on its own row.
    """
    flat = [part for state in states for part in state]
    # The loss may not depend on the state before the first step.
    gradients = iter(torch.autograd.grad(loss, flat, retain_graph=True, allow_unused=True))
    norms = []
    for state in states:
        found = [next(gradients) for _ in state]
        squares = [g.double().square().sum(dim=-1) for g in found if g is not None]
        norms.append(float(torch.stack(squares).sum(dim=0).sqrt().mean()) if squares else 0.0)
    return norms[::-1]


def sample_texts(bundle: ModelBundle, options: Options) -> list[str]:
    """Generate poems and return the sixteen longest, cut to the length of the shortest of them."""
    generator = Generator(bundle, max_tokens=MAX_LAG + 1)
    first = generator.request(replace(options, allow_copies=True), seed=0)
    requests = (replace(first, index=index) for index in range(_NUM_POEMS))
    results = generator.generate(requests, batch_size=_BATCH_SIZE)
    poems = [
        result.poem.text
        for result in track(results, tr("generating poems"), _NUM_POEMS)
        if isinstance(result, Sample)
    ]
    texts = sorted(poems, key=len, reverse=True)[:_NUM_TEXTS]
    return [text[: len(texts[-1])] for text in texts]


def _encode(texts: Sequence[str], vocab: Vocabulary) -> Tensor:
    return torch.tensor([[BOS, *vocab.encode(text)] for text in texts])

"""Reads a text step by step and records the activations and predictions at each position.

The loop over steps is separate from the sampling loop and does not slow it; both use the equations of
`poetgen.model.cell`.

Shape suffixes: T positions, H hidden size, V vocabulary size.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from poetgen.data.vocab import BOS, EOS, UNK, Vocabulary
from poetgen.inspection import result
from poetgen.inspection.result import NUM_NEXT, Continuation, Layers, Trace
from poetgen.language import tr
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN, layer_step
from poetgen.model.scoring import unknown_surcharge
from poetgen.prosody.marks import MARKS
from poetgen.sampling.generator import Generator, Sample
from poetgen.sampling.options import Options
from poetgen.sampling.prompt import prepare_prompt

MAX_CONTINUATION = 64
"""Characters of a continuation at most: with a gate clamped, a model may never end a poem."""

logger = logging.getLogger(__name__)


class Step(NamedTuple):
    """The values that a network computed at one position."""

    layers: Layers
    """The values of each series, of shape (H,)."""
    log_probs_V: Tensor
    """ln p of every next id, in float64, on the CPU."""


def inspect_text(
    bundle: ModelBundle, text: str, options: Options, *, generate: bool = False
) -> tuple[Trace, Options]:
    """Return the trace of a text, and the options with a prompt for continuations of it.

    With `generate`, the text is a prompt, and the poem generated from it is traced.  Otherwise the
    prompt for continuations is the opening line, because most poems have nothing left to say at
    their end.

    Raises:
        UsageError: the text has no character of the model's vocabulary.
    """
    prompt = prepare_prompt(text, bundle.vocab)
    for warning in prompt.warnings:
        logger.warning(warning)
    given = prompt.text
    options = replace(options, prompt=given if generate else opening(given, bundle.vocab))
    if generate:
        (sample,) = _generate(Generator(bundle), [options])
        text = sample.poem.text
    else:
        text = given
    if bundle.network.cell != "lstm":
        why, shown = result.explain(bundle.network.cell)
        logger.info(tr("note: {why}. {shown}", why=why, shown=shown))
    return trace(bundle, text), options


def trace(bundle: ModelBundle, text: str) -> Trace:
    """Read `text` (normalized) from a zero state and return the trace of it.

    Agrees with `PoemRNN.step` and `PoemRNN.forward` to rounding; dropout is off.
    """
    vocab = bundle.vocab
    tokens = [BOS, *vocab.encode(text)]
    surcharge = unknown_surcharge(vocab)
    nats: list[float | None] = [None]
    layers, next_characters = [], []
    # Only what is shown is kept of the probabilities, to bound memory on long texts.
    for step, next_token in zip(read(bundle.network, tokens), [*tokens[1:], None], strict=True):
        layers.append(step.layers)
        next_characters.append(_most_probable(step.log_probs_V, vocab))
        if next_token is not None:
            surprise = -float(step.log_probs_V[next_token])
            nats.append(surprise + surcharge * (next_token == UNK))
    unknown = frozenset(c for c, token in zip(text, tokens[1:], strict=True) if token == UNK)
    return Trace((result.START, *text), stack(layers), tuple(nats), tuple(next_characters), unknown)


@torch.inference_mode()
def read(network: PoemRNN, tokens: Iterable[int]) -> Iterator[Step]:
    """Yield the values that `network` computes at each of `tokens`, from a zero state."""
    state = network.zero_state(1)
    for token in tokens:
        x_1H = network.embedding[token].unsqueeze(0)
        layers = []
        for number, layer in enumerate(network.layers):
            computed, state[number] = layer_step(network.cell, x_1H, state[number], layer)
            layers.append({name: values[0].cpu().numpy() for name, values in computed.items()})
            x_1H = computed["hidden"]
        features = network.projection(x_1H)
        log_probs_V = torch.log_softmax(network.logits(features)[0].cpu().double(), dim=-1)
        yield Step(tuple(layers), log_probs_V)


def stack(steps: Iterable[Layers]) -> Layers:
    """Return series of shape (T, H) from the series of each step."""
    return tuple(
        {name: np.stack([step[name] for step in layer]) for name in layer[0]}
        for layer in zip(*steps, strict=True)
    )


def continue_text(bundle: ModelBundle, options: Options) -> Continuation:
    """Generate after the prompt of `options`, `MAX_CONTINUATION` characters at most."""
    (continuation,) = continue_texts(bundle, [options])
    return continuation


def continue_texts(bundle: ModelBundle, options: Sequence[Options]) -> list[Continuation]:
    """Generate after the prompts of all `options` in one batch, a row for each, in their order."""
    samples = _generate(Generator(bundle, max_tokens=MAX_CONTINUATION), options)
    return [
        Continuation(sample.poem.text[len(sample.request.prompt.text) :], sample.ended)
        for sample in samples
    ]


def opening(text: str, vocab: Vocabulary) -> str:
    """Return the first line of `text` with its mark, and further ones up to a character in `vocab`.

    A prompt needs one such character.  The result is the whole text where it has no mark.
    """
    has_character = False
    for position, character in enumerate(text):
        if character not in MARKS:
            has_character |= character in vocab.ids
        elif has_character:
            return text[: position + 1]
    return text


def _generate(generator: Generator, options: Sequence[Options]) -> list[Sample]:
    """Return a poem for each of `options`, generated in one batch."""
    requests = [generator.request(one, seed=0) for one in options]
    samples = list(generator.generate(requests, batch_size=len(requests)))
    # Without constraints, generation cannot fail.
    return [sample for sample in samples if isinstance(sample, Sample)]


def _most_probable(log_probs_V: Tensor, vocab: Vocabulary) -> tuple[tuple[str, float], ...]:
    """Return the `NUM_NEXT` most probable next characters, end and unknown included, best first."""
    no_text = torch.tensor([token for token in vocab.not_text if token != UNK])
    best = log_probs_V.index_fill(0, no_text, -torch.inf).topk(NUM_NEXT)
    pairs = zip(best.indices.tolist(), best.values.exp().tolist(), strict=True)
    signs = {BOS: result.START, EOS: result.END, UNK: result.UNKNOWN}
    return tuple((signs.get(token, vocab.symbols[token]), p) for token, p in pairs)

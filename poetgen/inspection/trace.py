"""Reads a text step by step and records the activations and predictions at each position.

The loop over steps is separate from the sampling loop and does not slow it; both step the network of
`poetgen.engine`.

Shape suffixes: T positions, H hidden size, V vocabulary size.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from poetgen.data.vocab import BOS, EOS, UNK, Vocabulary
from poetgen.engine.mathematics import exp
from poetgen.engine.network import Network
from poetgen.engine.scoring import unknown_surcharge
from poetgen.engine.softmax import Float64, log_sum_exp
from poetgen.inspection import result
from poetgen.inspection.result import NUM_NEXT, Continuation, Layers, Trace
from poetgen.language import tr
from poetgen.model.file import ModelBundle
from poetgen.prosody.marks import MARKS
from poetgen.sampling.generator import Generator, Sample
from poetgen.sampling.options import Options
from poetgen.sampling.prompt import prepare_prompt

MAX_CONTINUATION = 64
"""Characters of a continuation at most: with a gate clamped, a model may never end a poem."""
_LEAST = 1e-300
"""Values nearer to 0 are traced as 0: those of a clamped gate, and its products."""

logger = logging.getLogger(__name__)


class Step(NamedTuple):
    """The values that a network computed at one position."""

    layers: Layers
    """The values of each series, of shape (H,)."""
    log_probs_V: Float64
    """ln p of every next id."""


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
    text = _generate(Generator(bundle), options).poem.text if generate else given
    if bundle.config.model.cell != "lstm":
        why, shown = result.explain(bundle.config.model.cell)
        logger.info(tr("note: {why}. {shown}", why=why, shown=shown))
    return trace(bundle, text), options


def trace(bundle: ModelBundle, text: str) -> Trace:
    """Read `text` (normalized) from a zero state and return the trace of it.

    The likelihoods are those of `poetgen.engine.scoring`.
    """
    vocab = bundle.vocab
    tokens = [BOS, *vocab.encode(text)]
    surcharge = unknown_surcharge(vocab)
    nats: list[float | None] = [None]
    layers, next_characters = [], []
    # Only what is shown is kept of the probabilities, to bound memory on long texts.
    for step, next_token in zip(read(bundle.engine, tokens), [*tokens[1:], None], strict=True):
        layers.append(step.layers)
        next_characters.append(_most_probable(step.log_probs_V, vocab))
        if next_token is not None:
            surprise = -float(step.log_probs_V[next_token])
            nats.append(surprise + surcharge * (next_token == UNK))
    unknown = frozenset(c for c, token in zip(text, tokens[1:], strict=True) if token == UNK)
    return Trace((result.START, *text), stack(layers), tuple(nats), tuple(next_characters), unknown)


def read(network: Network, tokens: Iterable[int]) -> Iterator[Step]:
    """Yield the values that `network` computes at each of `tokens`, from a zero state."""
    state = network.zero_state(1)
    for token in tokens:
        features, state, layers = network.trace(np.array([token]), state)
        logits_1V = network.logits(features)
        log_probs_V = (logits_1V - log_sum_exp(logits_1V))[0]
        first_rows = (
            {
                name: np.where(np.abs(values[0]) < _LEAST, 0.0, values[0])
                for name, values in one.items()
            }
            for one in layers
        )
        yield Step(tuple(first_rows), log_probs_V)


def stack(steps: Iterable[Layers]) -> Layers:
    """Return series of shape (T, H) from the series of each step."""
    return tuple(
        {name: np.stack([step[name] for step in layer]) for name in layer[0]}
        for layer in zip(*steps, strict=True)
    )


def continue_text(bundle: ModelBundle, options: Options) -> Continuation:
    """Generate after the prompt of `options`, `MAX_CONTINUATION` characters at most."""
    sample = _generate(Generator(bundle, max_tokens=MAX_CONTINUATION), options)
    return Continuation(sample.poem.text[len(sample.request.prompt.text) :], sample.ended)


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


def _generate(generator: Generator, options: Options) -> Sample:
    (sample,) = generator.generate([generator.request(options, seed=0)])
    assert isinstance(sample, Sample), "without constraints, generation cannot fail"
    return sample


def _most_probable(log_probs_V: Float64, vocab: Vocabulary) -> tuple[tuple[str, float], ...]:
    """Return the `NUM_NEXT` most probable next characters, end and unknown included, best first."""
    shown_V = log_probs_V.copy()
    shown_V[[token for token in vocab.not_text if token != UNK]] = -np.inf
    best = np.argsort(-shown_V, kind="stable")[:NUM_NEXT]
    signs = {BOS: result.START, EOS: result.END, UNK: result.UNKNOWN}
    pairs = zip(best.tolist(), exp(shown_V[best]).tolist(), strict=True)
    return tuple((signs.get(token, vocab.symbols[token]), p) for token, p in pairs)

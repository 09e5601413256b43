"""A verse under inspection: what the model makes of it, and what it would with a gate held.

Characters come in here and ids stay below; how it is shown is the business of `render`, `page` and
`plot`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from poetgen.data.poem import MARKS, Poem
from poetgen.data.vocab import BOS, EOS, UNK, Vocabulary
from poetgen.inspection.gates import GATES, Recording, gather, hold, walk
from poetgen.model.likelihood import unknown_surcharge
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel
from poetgen.sampling.decode import Sample, generate
from poetgen.sampling.prompt import Prompt
from poetgen.sampling.request import Request, Settings

START, END, UNKNOWN = "＾", "＄", "＃"
"""How the start, the end and an unknown character are shown: as wide as a Han character."""
SIGNS = {START: "the start", END: "the end", UNKNOWN: "a character that the model does not know"}
NUM_NEXT = 5
HELD_CHARACTERS = 64
"""How much a model with a held gate writes at most: without an end of its own it would go on."""


@dataclass(frozen=True)
class Verse:
    """A text as a model reads it, from the start sign on."""

    characters: tuple[str, ...]
    """What was read: `START`, then the text's own characters, those unknown to the model too."""
    recording: Recording
    nats: tuple[float | None, ...]
    """The surprise at each character, by the convention of `poetgen.model.likelihood`; None at the
    start."""
    following: tuple[tuple[tuple[str, float], ...], ...]
    """After each character the likeliest next ones, with their probabilities."""
    unknown: frozenset[str]
    """Those of its characters that the model does not know."""

    @property
    def text(self) -> str:
        return "".join(self.characters[1:])

    @property
    def poem(self) -> Poem:
        return Poem(self.text)

    @property
    def nats_per_character(self) -> float:
        told = [nats for nats in self.nats if nats is not None]
        return sum(told) / len(told)


@dataclass(frozen=True)
class Writing:
    """What a model wrote on from an opening."""

    text: str
    """Without the opening."""
    ended: bool


@dataclass(frozen=True)
class Held:
    """The same verse with one gate of one layer held, and what the model would then write."""

    layer: int
    gate: str
    is_open: bool
    verse: Verse
    writing: Writing


@dataclass(frozen=True)
class Inquiry:
    """From which opening to write, and by which chance."""

    opening: Prompt
    seed: int
    settings: Settings


def inspect_text(stored: StoredModel, inquiry: Inquiry, *, go_on: bool) -> tuple[Verse, Inquiry]:
    """The verse to look at, and what to ask of models with a held gate.

    With `go_on` it is the poem that the model writes from the opening, else the opening itself; then
    the question is what comes after its first line, for most verses have said all at their end.
    """
    text = inquiry.opening.text
    if go_on:
        max_tokens = stored.config.data.max_tokens
        text = write_on(stored, inquiry, max_tokens).poem.text
    else:
        inquiry = replace(inquiry, opening=Prompt(opening_line(text)))
    return read_verse(stored.model, stored.vocab, text), inquiry


def read_verse(model: PoemLSTM, vocab: Vocabulary, text: str) -> Verse:
    """`text` (in the program's own spelling) read character by character from a zero state."""
    tokens = [BOS, *vocab.encode(text)]
    surcharge = unknown_surcharge(vocab)
    nats: list[float | None] = [None]
    layers, following = [], []
    # Of all the probabilities of a place only what is shown is kept: a long text has many places.
    for place, next_token in zip(walk(model, tokens), [*tokens[1:], None], strict=True):
        layers.append(place.layers)
        following.append(_likeliest(place.log_probs_V, vocab))
        if next_token is not None:
            surprise = -float(place.log_probs_V[next_token])
            nats.append(surprise + surcharge * (next_token == UNK))
    unknown = frozenset(c for c, token in zip(text, tokens[1:], strict=True) if token == UNK)
    return Verse((START, *text), gather(layers), tuple(nats), tuple(following), unknown)


def write_on(stored: StoredModel, inquiry: Inquiry, max_tokens: int) -> Sample:
    """The poem that the model writes from the inquiry's opening: the one `sample` writes."""
    request = Request(inquiry.seed, 0, inquiry.opening, settings=inquiry.settings)
    (result,) = generate(
        stored.model, stored.vocab, [request], max_tokens=max_tokens, lines=stored.lines
    )
    assert isinstance(result, Sample), "nothing was imposed that could not be met"
    return result


def writing(stored: StoredModel, inquiry: Inquiry) -> Writing:
    """What the model writes after the opening, `HELD_CHARACTERS` at most."""
    sample = write_on(stored, inquiry, HELD_CHARACTERS)
    return Writing(sample.poem.text[len(inquiry.opening.text) :], sample.ended)


def num_held(stored: StoredModel) -> int:
    """How many runs `hold_each_gate` makes."""
    return 2 * len(GATES) * len(stored.model.layers) if stored.model.cell == "lstm" else 0


def hold_each_gate(stored: StoredModel, text: str, inquiry: Inquiry) -> Iterator[Held]:
    """The verse and the writing with each gate of each layer shut and open in turn.

    None for a GRU or a plain RNN.
    """
    if not num_held(stored):
        return
    for layer in range(len(stored.model.layers)):
        for gate in GATES:
            for is_open in (False, True):
                held = replace(stored, model=hold(stored.model, layer, gate, is_open=is_open))
                verse = read_verse(held.model, held.vocab, text)
                yield Held(layer, gate, is_open, verse, writing(held, inquiry))


def opening_line(text: str) -> str:
    """The first line of `text` with its mark; all of it where there is no mark."""
    end = next((place for place, c in enumerate(text) if c in MARKS), len(text) - 1)
    return text[: end + 1]


def _likeliest(log_probs_V: Tensor, vocab: Vocabulary) -> tuple[tuple[str, float], ...]:
    """The `NUM_NEXT` likeliest next characters, the end and unknown ones among them, best first."""
    no_text = torch.tensor([token for token in vocab.not_text if token != UNK])
    best = log_probs_V.index_fill(0, no_text, -torch.inf).topk(NUM_NEXT)
    pairs = zip(best.indices.tolist(), best.values.exp().tolist(), strict=True)
    return tuple((_shown(token, vocab), probability) for token, probability in pairs)


def _shown(token: int, vocab: Vocabulary) -> str:
    return {BOS: START, EOS: END, UNK: UNKNOWN}.get(token, vocab.symbols[token])

"""The one decode loop.  `generate_steps` yields a column of choices per step; the rest consumes it.

Poem `index` of a call draws one uniform number per step from a stream of (seed, index) alone, so it
is the same poem whatever the batch size, the order, or how many others are made beside it.

Shape suffixes: B rows, V vocabulary size.
"""

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from poetgen.data.conditions import encode_conditions
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import BOS, EOS, PAD, UNK, Vocabulary
from poetgen.model.likelihood import Likelihood, unknown_surcharge
from poetgen.model.lstm import PoemLSTM, State
from poetgen.sampling.filters import (
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    probabilities,
)
from poetgen.sampling.request import Request, Settings

_ROW_BLOCK = 8
# A matrix product gives a row the same bits wherever it stands, if the number of rows is a multiple
# of the kernel's block; with an odd number of rows other code runs, which adds in another order and
# now and then tips a choice.  So batches are filled up with idle rows, even a batch of one.


@dataclass(frozen=True)
class Choice:
    """One step of one poem: the id that was chosen, or taken from the prompt."""

    row: int
    """Place of the poem's request in the call."""
    token: int
    nats: float
    """−ln of the model's own probability: temperature 1, no filter."""
    in_prompt: bool


@dataclass(frozen=True)
class Sample:
    """A finished poem and how it came about."""

    request: Request
    poem: Poem
    likelihood: Likelihood
    """Of the whole poem, prompt and end included: what `score` says of it, if it was not cut off."""
    ended: bool
    """Whether the model ended it, or it was cut off."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of this poem."""
        cut = (
            ()
            if self.ended
            else (f"cut off after {self.likelihood.tokens} characters without an end",)
        )
        return self.request.prompt.warnings + cut


@torch.inference_mode()
def generate_steps(
    model: PoemLSTM, vocab: Vocabulary, requests: Sequence[Request], *, max_tokens: int
) -> Iterator[list[Choice]]:
    """The choices of each step, over all poems still being written, until all have ended.

    A poem ends with `EOS`, or after its prompt and `max_tokens` more without one.
    """
    forced = [_forced(request, vocab) for request in requests]
    starts = [ids.index(BOS) for ids in forced]
    streams = [random.Random(f"{request.seed}:{request.index}") for request in requests]
    rows = list(range(len(requests)))  # the requests still being written, in the state's first rows
    state = model.zero_state(_filled_up(len(rows)))
    tokens = [ids[0] for ids in forced]
    place = 0  # of `tokens` in each row
    while rows:
        idle = [PAD] * (_filled_up(len(rows)) - len(rows))
        logits_BV, state = model.step(torch.tensor(tokens + idle, device=model.device), state)
        # Choosing is done on the CPU: not every accelerator has float64.
        logits_BV = logits_BV[: len(rows)].cpu()
        given = [forced[row][place + 1] if place + 1 < len(forced[row]) else None for row in rows]
        drawing = [r for r, token in enumerate(given) if token is None]
        drawn = _draw(
            logits_BV[drawing],
            [requests[rows[r]].settings for r in drawing],
            [streams[rows[r]].random() for r in drawing],
            never=vocab.not_text,
            first=[place == starts[rows[r]] for r in drawing],
        )
        fresh = iter(drawn)
        tokens = [next(fresh) if token is None else token for token in given]
        nats = -log_softmax(logits_BV.double(), dim=-1).gather(1, torch.tensor(tokens)[:, None])
        column = [
            Choice(row, token, row_nats, in_prompt=token_given is not None)
            for row, token, row_nats, token_given in zip(
                rows, tokens, nats[:, 0].tolist(), given, strict=True
            )
            if place >= starts[row]  # before, the model reads its conditions
        ]
        if column:
            yield column
        place += 1
        going_on = [
            r
            for r, token in enumerate(tokens)
            if token != EOS and place < len(forced[rows[r]]) - 1 + max_tokens
        ]
        if len(going_on) < len(rows):
            rows = [rows[r] for r in going_on]
            tokens = [tokens[r] for r in going_on]
            state = _keep(state, going_on)


def generate(
    model: PoemLSTM,
    vocab: Vocabulary,
    requests: Iterable[Request],
    *,
    max_tokens: int,
    batch_size: int = 64,
) -> Iterator[Sample]:
    """The finished poems, in the order of `requests`, `batch_size` at a time."""
    remaining = iter(requests)
    while batch := list(islice(remaining, batch_size)):
        choices: list[list[Choice]] = [[] for _ in batch]
        for column in generate_steps(model, vocab, batch, max_tokens=max_tokens):
            for choice in column:
                choices[choice.row].append(choice)
        for request, own in zip(batch, choices, strict=True):
            yield _finish(request, own, vocab)


def _forced(request: Request, vocab: Vocabulary) -> list[int]:
    """What the model is given to read: conditions, `<bos>`, prompt."""
    conditions = encode_conditions(request.conditions, vocab)
    return [*conditions, BOS, *vocab.encode(request.prompt.text)]


def _draw(
    logits_BV: Tensor,
    settings: Sequence[Settings],
    uniforms: Sequence[float],
    *,
    never: Sequence[int],
    first: Sequence[bool],
) -> list[int]:
    """An id per row, by the row's settings and its number from [0, 1).

    `never` may not be drawn at all, the end not by a row that is at its `first` place: an empty poem
    is none.
    """
    if not settings:
        return []
    logits_BV = logits_BV.index_fill(1, torch.tensor(never), -math.inf)
    logits_BV[torch.tensor(first), EOS] = -math.inf
    probs_BV = probabilities(logits_BV, _column([s.temperature for s in settings]))
    num_ids = logits_BV.shape[-1]
    top_k_B = torch.tensor([min(s.top_k, num_ids) for s in settings])
    probs_BV = keep_top_k(probs_BV, top_k_B)
    probs_BV = keep_top_p(probs_BV, _column([s.top_p for s in settings]))
    probs_BV = keep_min_p(probs_BV, _column([s.min_p for s in settings]))
    return draw(probs_BV, _column(uniforms)).tolist()


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _filled_up(num_rows: int) -> int:
    """`num_rows` rounded up to whole blocks."""
    return -(-num_rows // _ROW_BLOCK) * _ROW_BLOCK


def _keep(state: State, rows: Sequence[int]) -> State:
    """The state of `rows` alone, filled up with copies of the first as idle rows."""
    idle = [0] * (_filled_up(len(rows)) - len(rows))
    chosen = torch.tensor([*rows, *idle], dtype=torch.long, device=state[0][0].device)
    return [tuple(part.index_select(0, chosen) for part in layer) for layer in state]


def _finish(request: Request, choices: Sequence[Choice], vocab: Vocabulary) -> Sample:
    tokens = [choice.token for choice in choices]
    # The prompt's own characters, not the <unk> that some of them were read as.
    text = request.prompt.text + vocab.decode([c.token for c in choices if not c.in_prompt])
    num_unknown = tokens.count(UNK)
    likelihood = Likelihood(
        poems=1,
        tokens=len(tokens),
        unknown_tokens=num_unknown,
        hanzi=sum(map(is_hanzi, text)),
        nats=sum(c.nats for c in choices) + num_unknown * unknown_surcharge(vocab),
    )
    return Sample(request, Poem(text), likelihood, ended=tokens[-1] == EOS)

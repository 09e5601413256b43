"""The one decode loop.  `generate_steps` yields a column of choices per step; the rest consumes it.

Poem `index` of a call draws its uniform numbers, one per step and particle, from a stream of
(seed, index) alone, so it is the same poem whatever the batch size, the order, or how many others are
made beside it.

Shape suffixes: B rows (a poem has one for each of its particles, side by side), V vocabulary size.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch.nn.functional import log_softmax

from poetgen.data.lines import LineSet
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import EOS, PAD, UNK, Vocabulary
from poetgen.errors import ConstraintError
from poetgen.model.likelihood import Likelihood, unknown_surcharge
from poetgen.model.lstm import PoemLSTM, State
from poetgen.sampling.choosing import choose, constrain, open_logits, resample, rows_of
from poetgen.sampling.constraints import masks_of
from poetgen.sampling.request import Request
from poetgen.sampling.writing import Choice, Setback, Writing, num_particles

_ROW_BLOCK = 8
# A matrix product gives a row the same bits wherever it stands, if the number of rows is a multiple
# of the kernel's block; with an odd number of rows other code runs, which adds in another order and
# now and then tips a choice.  So batches are filled up with idle rows, even a batch of one.


@dataclass(frozen=True)
class Sample:
    """A finished poem and how it came about."""

    request: Request
    poem: Poem
    likelihood: Likelihood
    """Of the whole poem, prompt and end included: what `score` says of it, if it was not cut off."""
    ended: bool
    """Whether the model ended it, or it was cut off."""
    choices: tuple[Choice, ...] = ()
    """Its steps, those of the prompt too."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of this poem."""
        cut = (
            ()
            if self.ended
            else (f"cut off after {self.likelihood.tokens} characters without an end",)
        )
        return self.request.warnings + cut

    @property
    def chosen_nats_per_token(self) -> float:
        """−ln of the model's probability per token that it chose: what poems are ranked by."""
        chosen = [choice.nats for choice in self.choices if not choice.in_prompt]
        return sum(chosen) / max(1, len(chosen))


@dataclass(frozen=True)
class Failed:
    """A poem that cannot be written as asked."""

    request: Request
    error: ConstraintError


@torch.inference_mode()
def generate_steps(
    model: PoemLSTM,
    vocab: Vocabulary,
    requests: Sequence[Request],
    *,
    max_tokens: int,
    lines: Sequence[LineSet] = (),
) -> Iterator[list[Choice | Setback]]:
    """The choices of each step, over all poems still being written, until all have ended.

    A poem ends with `EOS`, or after its prompt and `max_tokens` more without one, unless its
    constraints say where it ends.  The choices of a poem with several particles come all at once, when
    one of these has been drawn.  A `Setback` takes back what was yielded of a poem that met a dead end;
    it is begun anew on the same random stream, or given up.

    A line that the model would write alone and that is one of `lines` is refused at its last
    character: another is drawn in its place, with the next number of the poem's stream, from what is
    left.  So what was yielded before stands.  Of several particles' weights only the mass of
    characters refused is taken, not of those that might have been: an approximation.
    """
    poems, column = _begun(requests, vocab, max_tokens=max_tokens, lines=lines)
    if column:
        yield column
    state = model.zero_state(_filled_up(len(rows_of(poems))))
    while poems:
        tokens = [particle.token for _, particle in rows_of(poems)]
        idle = [PAD] * (_filled_up(len(tokens)) - len(tokens))
        logits_BV, state = model.step(torch.tensor(tokens + idle, device=model.device), state)
        # Choosing is done on the CPU: not every accelerator has float64.
        logits_BV = logits_BV[: len(tokens)].cpu()
        open_BV = open_logits(logits_BV, poems, vocab)
        constrain(open_BV, poems)
        sources = resample(poems)
        if sources != list(range(len(sources))):
            logits_BV, open_BV = logits_BV[sources], open_BV[sources]
        tokens = choose(open_BV, poems)
        nats_BV = -log_softmax(logits_BV.double(), dim=-1)
        nats = nats_BV.gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist()
        column, poems, kept = _advance(poems, tokens, nats, sources)
        if column:
            yield column
        if kept != list(range(len(tokens))):
            state = _keep(state, kept)


def generate(
    model: PoemLSTM,
    vocab: Vocabulary,
    requests: Iterable[Request],
    *,
    max_tokens: int,
    batch_size: int = 64,
    lines: Sequence[LineSet] = (),
) -> Iterator[Sample | Failed]:
    """The finished poems, in the order of `requests`, about `batch_size` rows at a time.

    A poem has a row for each of its particles.  Of the `best_of` poems that a request has written, each
    from a random stream of its own, the likeliest per token is kept, rather one that has ended than
    one that was cut off.  A poem that cannot be written does not stop the others.
    """
    takes = (
        replace(request, take=request.take + number)
        for request in requests
        for number in range(_num_takes(request))
    )
    results = (
        result
        for batch in _batches(takes, batch_size)
        for result in _write(model, vocab, batch, max_tokens=max_tokens, lines=lines)
    )
    for result in results:
        others = islice(results, _num_takes(result.request) - 1)
        yield _best([result, *others])


def _num_takes(request: Request) -> int:
    # The greedy choice is the same each time.
    return request.settings.best_of if request.settings.temperature > 0 else 1


def _batches(requests: Iterable[Request], batch_size: int) -> Iterator[list[Request]]:
    """Requests for `batch_size` rows or a little more: no poem is divided."""
    batch, num_rows = [], 0
    for request in requests:
        batch.append(request)
        num_rows += num_particles(request)
        if num_rows >= batch_size:
            yield batch
            batch, num_rows = [], 0
    if batch:
        yield batch


def _write(
    model: PoemLSTM,
    vocab: Vocabulary,
    requests: Sequence[Request],
    *,
    max_tokens: int,
    lines: Sequence[LineSet],
) -> list[Sample | Failed]:
    choices: list[list[Choice]] = [[] for _ in requests]
    errors: dict[int, ConstraintError] = {}
    for column in generate_steps(model, vocab, requests, max_tokens=max_tokens, lines=lines):
        for event in column:
            if isinstance(event, Choice):
                choices[event.row].append(event)
                continue
            choices[event.row].clear()
            if event.is_final:
                errors[event.row] = event.error
    return [
        Failed(request, errors[row]) if row in errors else _finish(request, choices[row], vocab)
        for row, request in enumerate(requests)
    ]


def _best(takes: Sequence[Sample | Failed]) -> Sample | Failed:
    """The best of what was written for one request, whose own take is the first."""
    samples = [take for take in takes if isinstance(take, Sample)]
    if not samples:
        return takes[0]
    best = min(samples, key=lambda sample: (not sample.ended, sample.chosen_nats_per_token))
    return replace(best, request=takes[0].request)


def _begun(
    requests: Sequence[Request], vocab: Vocabulary, *, max_tokens: int, lines: Sequence[LineSet]
) -> tuple[list[Writing], list[Choice | Setback]]:
    """The poems that can be begun, and of the others why not."""
    poems, refused = [], list[Choice | Setback]()
    masks = masks_of(vocab)
    for row, request in enumerate(requests):
        try:
            poems.append(Writing(row, request, vocab, masks, max_tokens=max_tokens, lines=lines))
        except ConstraintError as error:
            refused.append(Setback(row, error, is_final=True))
    return poems, refused


def _advance(
    poems: Sequence[Writing], tokens: Sequence[int], nats: Sequence[float], sources: Sequence[int]
) -> tuple[list[Choice | Setback], list[Writing], list[int]]:
    """Put the step's ids to the poems.

    What there is to tell of it, the poems that go on, and the row of the state that each of their rows
    goes on from, −1 for a poem that is begun anew.
    """
    column: list[Choice | Setback] = []
    going_on: list[Writing] = []
    kept: list[int] = []
    first = 0
    for poem in poems:
        end = first + len(poem.particles)
        column += poem.write(tokens[first:end], nats[first:end])
        if poem.is_dead:
            setback = poem.setback()
            column.append(setback)
            if not setback.is_final:
                poem.begin()
                going_on.append(poem)
                kept += [-1] * len(poem.particles)
        elif poem.is_finished:
            column += poem.outcome()
        else:
            going_on.append(poem)
            kept += sources[first:end]
        first = end
    return column, going_on, kept


def _filled_up(num_rows: int) -> int:
    """`num_rows` rounded up to whole blocks."""
    return -(-num_rows // _ROW_BLOCK) * _ROW_BLOCK


def _keep(state: State, rows: Sequence[int]) -> State:
    """The state of `rows` alone (zeros for −1), filled up with idle rows."""
    idle = [0] * (_filled_up(len(rows)) - len(rows))
    chosen_B = torch.tensor([*rows, *idle], dtype=torch.long, device=state[0][0].device)
    is_fresh_B1 = (chosen_B < 0)[:, None]
    chosen_B = chosen_B.clamp(min=0)
    return [
        tuple(part.index_select(0, chosen_B).masked_fill(is_fresh_B1, 0) for part in layer)
        for layer in state
    ]


def _finish(request: Request, choices: Sequence[Choice], vocab: Vocabulary) -> Sample:
    tokens = [choice.token for choice in choices]
    text = "".join(choice.text for choice in choices)
    num_unknown = tokens.count(UNK)
    likelihood = Likelihood(
        poems=1,
        tokens=len(tokens),
        unknown_tokens=num_unknown,
        hanzi=sum(map(is_hanzi, text)),
        nats=sum(c.nats for c in choices) + num_unknown * unknown_surcharge(vocab),
    )
    return Sample(request, Poem(text), likelihood, ended=tokens[-1] == EOS, choices=tuple(choices))

"""The choice of one step: what may be chosen, what the constraints leave, and which id is drawn.

In order: softmax(logits / temperature) over text and end; the constraints' mask, whose mass is the
particle's weight; resampling; renormalise; top-k, top-p, min-p; choice; another choice in place of one
that would copy a training line.

Shape suffixes: B rows (a poem has one for each of its particles, side by side), V vocabulary size.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from poetgen.data.vocab import EOS, PAD, Vocabulary
from poetgen.sampling.filters import (
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    log_mass,
    probabilities,
)
from poetgen.sampling.request import Settings
from poetgen.sampling.writing import Particle, Writing


def rows_of(poems: Sequence[Writing]) -> list[tuple[Writing, Particle]]:
    return [(poem, particle) for poem in poems for particle in poem.particles]


def open_logits(logits_BV: Tensor, poems: Sequence[Writing], vocab: Vocabulary) -> Tensor:
    """The logits of what may be chosen at all: text and end, and the end not at once.

    An empty poem is none.
    """
    open_BV = logits_BV.index_fill(1, torch.tensor(vocab.not_text), -math.inf)
    open_BV[torch.tensor([poem.is_at_start for poem, _ in rows_of(poems)]), EOS] = -math.inf
    return open_BV


def constrain(logits_BV: Tensor, poems: Sequence[Writing]) -> None:
    """Put −∞, in place, where the constraints leave no choice; softmax will renormalise the rest.

    Each particle's weight is multiplied by the share of the mass that is left; none is a dead end.
    """
    rows = rows_of(poems)
    masks = [poem.mask(particle) for poem, particle in rows]
    given = [mask for mask in masks if mask is not None]
    if not given:
        return
    # A particle that stands alone needs no weight.
    several = [r for r, (poem, _) in enumerate(rows) if len(poem.particles) > 1]
    temperature_R = _column([rows[r][0].settings.temperature for r in several])
    before_R = log_mass(logits_BV[several], temperature_R)
    anything_V = torch.ones_like(given[0])
    allowed_BV = torch.stack([anything_V if mask is None else mask for mask in masks])
    logits_BV.masked_fill_(~allowed_BV, -math.inf)
    shares = (log_mass(logits_BV[several], temperature_R) - before_R).tolist()
    for r, log_share in zip(several, shares, strict=True):
        rows[r][1].log_weight += log_share
    for (_, particle), likeliest in zip(rows, logits_BV.amax(dim=-1).tolist(), strict=True):
        if likeliest == -math.inf:
            particle.log_weight = -math.inf


def resample(poems: Sequence[Writing]) -> list[int]:
    """Resample where it is due; for each row the one that it goes on from."""
    sources: list[int] = []
    for poem in poems:
        places = poem.resample() or range(len(poem.particles))
        first = len(sources)
        sources += [first + place for place in places]
    return sources


def choose(open_BV: Tensor, poems: Sequence[Writing]) -> list[int]:
    """The next id of each row: given, or drawn with the next number of the poem's stream."""
    rows = rows_of(poems)
    given = [poem.given_to(particle) for poem, particle in rows]
    drawing = [r for r, token in enumerate(given) if token is None]
    drawn = _draw(
        open_BV[drawing],
        [rows[r][0].settings for r in drawing],
        [rows[r][0].stream.random() for r in drawing],
    )
    tokens = [PAD if token is None else token for token in given]
    for r, token in zip(drawing, drawn, strict=True):
        tokens[r] = _unless_copy(token, *rows[r], open_BV[r : r + 1])
    return tokens


def _unless_copy(token: int, poem: Writing, particle: Particle, open_1V: Tensor) -> int:
    """`token`, or another where it would complete a copy; the particle is dead where none is left."""
    if not poem.completes_copy(particle, token):
        return token
    temperature_1 = _column([poem.settings.temperature])
    left_1V = open_1V.clone()
    while poem.completes_copy(particle, token):
        left_1V[0, token] = -math.inf
        if left_1V.amax() == -math.inf:
            particle.log_weight = -math.inf
            return PAD
        (token,) = _draw(left_1V, [poem.settings], [poem.stream.random()])
    if len(poem.particles) > 1:
        left = log_mass(left_1V, temperature_1) - log_mass(open_1V, temperature_1)
        particle.log_weight += left.item()
    return token


def _draw(logits_BV: Tensor, settings: Sequence[Settings], uniforms: Sequence[float]) -> list[int]:
    """An id per row, by the row's settings and its number from [0, 1)."""
    if not settings:
        return []
    probs_BV = probabilities(logits_BV, _column([s.temperature for s in settings]))
    num_ids = logits_BV.shape[-1]
    top_k_B = torch.tensor([min(s.top_k, num_ids) for s in settings])
    probs_BV = keep_top_k(probs_BV, top_k_B)
    probs_BV = keep_top_p(probs_BV, _column([s.top_p for s in settings]))
    probs_BV = keep_min_p(probs_BV, _column([s.min_p for s in settings]))
    return draw(probs_BV, _column(uniforms)).tolist()


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)

"""Temperature, filters and the draw: pure functions of logits, with the same bits everywhere.

A distribution is an array of weights in float64 that need not sum to 1: nothing is divided that only a
comparison or a draw needs.  Sums run in the order of `poetgen.engine.softmax.column_sums`, and ties
are broken by id.  Each row has options of its own, so that different requests share a batch.

Shape suffixes: B rows, N allowed ids, V vocabulary size, C columns of the table of a sum.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from poetgen.engine.mathematics import exp
from poetgen.engine.softmax import (
    LEAST_TEMPERATURE,
    NEVER,
    Float64,
    Logits,
    column_sums,
    padded_size,
    row_blocks,
    weights,
)
from poetgen.sampling.options import Options

Mask: TypeAlias = NDArray[np.bool_]

_DENSE = 1.25
"""A mask with more than 1/1.25 of the ids has most of them."""


class Filter(NamedTuple):
    """The options that shape a distribution."""

    temperature: float
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    @classmethod
    def of(cls, options: Options) -> "Filter":
        """Return those of a poem's options."""
        return cls(
            float(options.temperature),
            int(options.top_k),
            float(options.top_p),
            float(options.min_p),
        )


class Distribution(NamedTuple):
    """The distribution over the allowed ids of a row, from which it can be drawn."""

    ids_N: NDArray[np.intp]
    weights_N: Float64
    """exp((logit − `largest`) / temperature), 0 where filtered; a place beyond the ids has the weight 0."""
    ends_C: Float64
    """Sums of the columns of weights, each with all before it; see `column_sums`."""
    largest: float
    """The largest logit."""
    mass: float
    """The sum of weights before any filter."""

    def draw(self, uniform: float) -> int:
        """Return the id at which the sum of weights passes this part of all, a number from [0, 1).

        Weights are added column by column.  An id without weight is never drawn.
        """
        column, rest = _find(self.ends_C, uniform * float(self.ends_C[-1]))
        row, _ = _find(self.weights_N[column :: len(self.ends_C)].cumsum(), rest)
        return int(self.ids_N[row * len(self.ends_C) + column])


def distributions(
    logits_BV: Logits, allowed: Sequence[Mask], filters: Sequence[Filter]
) -> list[Distribution | None]:
    """Return the distribution of each row through its filter; None where nothing is allowed.

    Rows with the same mask, the same object, are computed together.
    """
    found: list[Distribution | None] = [None] * len(allowed)
    for rows, ids_N, logits_BN in _gather(logits_BV, allowed, filters):
        own = filters[rows[0]]
        is_greedy = own.temperature == 0
        weights_BN = _greedy(logits_BN) if is_greedy else weights(logits_BN, own.temperature)
        ends_BC = column_sums(weights_BN).cumsum(axis=1)
        masses = ends_BC[:, -1].tolist()
        if own.top_k or own.top_p < 1 or own.min_p:
            _filter(weights_BN, own)
            ends_BC = column_sums(weights_BN).cumsum(axis=1)
        largest = logits_BN.max(axis=1).tolist()
        each = zip(rows, weights_BN, ends_BC, largest, masses, strict=True)
        for row, weights_N, ends_C, own_largest, mass in each:
            found[row] = Distribution(ids_N, weights_N, ends_C, own_largest, mass)
    return found


def shares(
    parts: Sequence[Distribution | None],
    wholes: Sequence[Distribution | None],
    temperatures: Sequence[float],
) -> list[float]:
    """Return the probability of the ids of each part before any filter, given that one of the whole comes.

    It is 0 where one of the two is None.
    """
    pairs = [
        (part.largest - whole.largest, part.mass / whole.mass, 1 / max(one, LEAST_TEMPERATURE))
        if part and whole
        else (0.0, 0.0, 1.0)
        for part, whole, one in zip(parts, wholes, temperatures, strict=True)
    ]
    below_B, ratio_B, inverse_B = np.array(pairs).reshape(-1, 3).T
    found: list[float] = (ratio_B * exp(below_B * inverse_B)).tolist()
    return found


def _gather(
    logits_BV: Logits, masks: Sequence[Mask], keys: Sequence[Hashable]
) -> Iterator[tuple[list[int], NDArray[np.intp], Logits]]:
    """Yield (rows, ids, the logits of these ids, padded) for rows of the same mask and key.

    Only rows whose masks are the same object are taken together, and few enough to stay in the cache.  The
    ids are those of the mask; or all, if the mask has most, and then the logits of the others are `NEVER`.
    """
    groups: dict[tuple[int, Hashable], list[int]] = {}
    for row, (mask_V, key) in enumerate(zip(masks, keys, strict=True)):
        groups.setdefault((id(mask_V), key), []).append(row)
    for members in groups.values():
        mask_V = masks[members[0]]
        ids_N = np.flatnonzero(mask_V)
        excluded = None
        if len(mask_V) < _DENSE * len(ids_N):
            excluded, ids_N = np.flatnonzero(~mask_V), np.arange(len(mask_V))
        for block in row_blocks(len(members), len(ids_N)) if len(ids_N) else ():
            rows = members[block]
            logits_BN = np.empty((len(rows), padded_size(len(ids_N))), logits_BV.dtype)
            logits_BN[:, len(ids_N) :] = NEVER
            for logits_N, row in zip(logits_BN[:, : len(ids_N)], rows, strict=True):
                if excluded is None:
                    logits_BV[row].take(ids_N, out=logits_N, mode="clip")  # needs no buffer
                else:
                    logits_N[:] = logits_BV[row]
            if excluded is not None:
                logits_BN[:, excluded] = NEVER
            yield rows, ids_N, logits_BN


def _greedy(logits_BN: Logits) -> Float64:
    """Return the weight 1 for the first of the largest logits of each row."""
    weights_BN = np.zeros(logits_BN.shape)
    weights_BN[np.arange(len(logits_BN)), logits_BN.argmax(axis=1)] = 1.0
    return weights_BN


def _filter(weights_BN: Float64, own: Filter) -> None:
    if own.top_k:
        keep_top_k(weights_BN, own.top_k)
    if own.top_p < 1:
        keep_top_p(weights_BN, own.top_p)
    if own.min_p:
        keep_min_p(weights_BN, own.min_p)


def keep_top_k(weights_BN: Float64, top_k: int) -> None:
    """Keep, in place, the k largest weights of a row, and ties with the last of them."""
    if top_k < weights_BN.shape[1]:
        least_B = np.partition(weights_BN, -top_k, axis=1)[:, -top_k]
        weights_BN[weights_BN < least_B[:, None]] = 0.0


def keep_top_p(weights_BN: Float64, top_p: float) -> None:
    """Keep, in place, the fewest weights that together reach p, and ties with the last of them.

    Nucleus sampling (Holtzman et al. 2020).
    """
    sorted_BN = np.sort(weights_BN, axis=1)[:, ::-1]
    sums_BN = sorted_BN.cumsum(axis=1)
    goal_B1 = top_p * sums_BN[:, -1:]
    last_B1 = (sums_BN < goal_B1).sum(axis=1, keepdims=True).clip(max=weights_BN.shape[1] - 1)
    weights_BN[weights_BN < np.take_along_axis(sorted_BN, last_B1, axis=1)] = 0.0


def keep_min_p(weights_BN: Float64, min_p: float) -> None:
    """Keep, in place, the weights that are at least the fraction `min_p` of the largest in their row."""
    least_B1 = min_p * weights_BN.max(axis=1, keepdims=True)
    weights_BN[weights_BN < least_B1] = 0.0


def _find(ends: Float64, goal: float) -> tuple[int, float]:
    """Return the first place whose end lies above the goal, and the distance from its beginning.

    The last place with a weight, if rounding leaves the goal at the end of all.
    """
    place = int(ends.searchsorted(goal, side="right"))
    if place == len(ends):
        place = int(ends.searchsorted(ends[-1]))
    return place, goal - float(ends[place - 1]) if place else goal

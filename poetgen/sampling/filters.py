"""Temperature, filters and the draw: pure functions of logits and probabilities, in float64.

Each row has options of its own, so that different requests share a batch.

Shape suffixes: B rows, V vocabulary size.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from poetgen.sampling.options import Options

float64 = partial(torch.tensor, dtype=torch.float64)
"""Make a float64 tensor of numbers."""


def sample_rows(
    logits_BV: Tensor, options: Sequence[Options], uniforms: Sequence[float]
) -> list[int]:
    """Return an id per row, drawn by the row's options with its number from [0, 1)."""
    if not options:
        return []
    probs_BV = probabilities(logits_BV, float64([o.temperature for o in options]))
    if any(o.top_k for o in options):
        k_B = torch.tensor([min(o.top_k, logits_BV.shape[-1]) for o in options])
        probs_BV = keep_top_k(probs_BV, k_B)
    if any(o.top_p < 1 for o in options):
        probs_BV = keep_top_p(probs_BV, float64([o.top_p for o in options]))
    if any(o.min_p for o in options):
        probs_BV = keep_min_p(probs_BV, float64([o.min_p for o in options]))
    return draw(probs_BV, float64(uniforms)).tolist()


def probabilities(logits_BV: Tensor, temperature_B: Tensor) -> Tensor:
    """Return softmax(logits / temperature), (B, V); temperature 0 puts all mass on the likeliest id."""
    logits_BV = logits_BV.double()
    greedy_B = temperature_B == 0
    safe_B = torch.where(greedy_B, torch.ones_like(temperature_B), temperature_B)
    # The largest logit becomes 0, so that no temperature, however small, makes an infinity of it.
    below_best_BV = logits_BV - logits_BV.amax(dim=-1, keepdim=True)
    probs_BV = torch.softmax(below_best_BV / safe_B[:, None], dim=-1)
    if greedy_B.any():
        best_BV = torch.zeros_like(probs_BV)
        best_BV.scatter_(1, logits_BV.argmax(dim=-1, keepdim=True), 1.0)
        probs_BV = torch.where(greedy_B[:, None], best_BV, probs_BV)
    return probs_BV


def log_mass(logits_BV: Tensor, temperature_B: Tensor) -> Tensor:
    """Return log Σ exp(logits / temperature), (B,), for temperatures above 0.

    It is −∞ only where all logits are.
    """
    temperature_B1 = temperature_B[:, None].clamp(min=1e-300)  # below, the quotient overflows
    return (logits_BV.double() / temperature_B1).logsumexp(dim=-1)


def renormalize(probs_BV: Tensor) -> Tensor:
    """Return the rows scaled to sum to 1.

    >>> renormalize(float64([[0.25, 0.0, 0.25]])).tolist()
    [[0.5, 0.0, 0.5]]
    """
    return probs_BV / probs_BV.sum(dim=-1, keepdim=True)


def keep_top_k(probs_BV: Tensor, top_k_B: Tensor) -> Tensor:
    """Keep the mass of the k likeliest ids of a row, and of ties with the last of them; 0: of all.

    >>> keep_top_k(float64([[0.25, 0.5, 0.25]]), torch.tensor([1])).tolist()
    [[0.0, 1.0, 0.0]]
    """
    num_ids = probs_BV.shape[-1]
    k_B = torch.where(top_k_B > 0, top_k_B, num_ids).clamp(max=num_ids)
    sorted_BV = probs_BV.sort(dim=-1, descending=True).values
    least_B1 = sorted_BV.gather(1, k_B[:, None] - 1)
    return renormalize(probs_BV * (probs_BV >= least_B1))


def keep_top_p(probs_BV: Tensor, top_p_B: Tensor) -> Tensor:
    """Keep the mass of the fewest ids that together reach p, and of ties with the last of them.

    Nucleus sampling (Holtzman et al. 2020).

    >>> keep_top_p(float64([[0.25, 0.5, 0.125, 0.125]]), float64([0.75])).round(decimals=3).tolist()
    [[0.333, 0.667, 0.0, 0.0]]
    """
    sorted_BV = probs_BV.sort(dim=-1, descending=True).values
    before_BV = sorted_BV.cumsum(dim=-1) - sorted_BV
    kept_B1 = (before_BV < top_p_B[:, None]).sum(dim=-1, keepdim=True).clamp(min=1)
    least_B1 = sorted_BV.gather(1, kept_B1 - 1)
    keep_BV = (probs_BV >= least_B1) | (top_p_B >= 1)[:, None]
    return renormalize(probs_BV * keep_BV)


def keep_min_p(probs_BV: Tensor, min_p_B: Tensor) -> Tensor:
    """Keep the mass of ids at least `min_p` times as likely as the likeliest (Nguyen et al. 2024).

    >>> keep_min_p(float64([[0.125, 0.75, 0.125]]), float64([0.5])).tolist()
    [[0.0, 1.0, 0.0]]
    """
    least_B1 = probs_BV.max(dim=-1, keepdim=True).values * min_p_B[:, None]
    return renormalize(probs_BV * (probs_BV >= least_B1))


def draw(probs_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """Return the id, (B,), at which each row's cumulative mass passes its number from [0, 1).

    >>> draw(float64([[0.25, 0.75], [0.25, 0.75]]), float64([0.2, 0.3])).tolist()
    [0, 1]
    """
    cumulative_BV = probs_BV.cumsum(dim=-1)
    target_B1 = uniform_B[:, None] * cumulative_BV[:, -1:]
    ids_B = (cumulative_BV <= target_B1).sum(dim=-1)
    # Rounding may put the target on the very end: then the last id that has any mass.
    last_B = probs_BV.shape[-1] - 1 - (probs_BV.flip(-1) > 0).int().argmax(dim=-1)
    return torch.minimum(ids_B, last_B)

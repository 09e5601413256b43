"""Dropout for recurrent networks, applied outside the recurrence, so that fused kernels can be used.

A `rate` is the probability of dropping, at least 0 and below 1; what is kept is scaled by 1/(1 − rate).

Shape suffixes: B rows, T positions, F features, V vocabulary size, E embedding size.
"""

import torch
from torch import Tensor
from torch.nn import functional

_LEVELS = 1 << 16
"""Values of the random 16-bit integers that decide what is dropped on the CPU."""


def dropout(x: Tensor, rate: float) -> Tensor:
    """Return `x` with single values dropped.

    On the CPU, torch draws a random number per value, in one thread, which takes longer than the matrix
    products next to it.  There each value gets 16 random bits instead: a rate is a multiple of 2⁻¹⁶.
    """
    if x.device.type != "cpu":
        return functional.dropout(x, rate)
    num_dropped = min(round(rate * _LEVELS), _LEVELS - 1)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    levels = words.view(torch.int16)[: x.numel()].view(x.shape)
    mask = (levels >= num_dropped - _LEVELS // 2).to(x.dtype)
    return x * mask.mul_(_LEVELS / (_LEVELS - num_dropped))


def variational_dropout(x_BTF: Tensor, rate: float) -> Tensor:
    """Return `x_BTF` with the same features of a row dropped at every position.

    Source: Gal & Ghahramani 2016.  With a new mask at each position the network could recover a
    dropped feature from the next one.
    """
    mask_B1F = dropout(x_BTF.new_ones(x_BTF.shape[0], 1, x_BTF.shape[2]), rate)
    return x_BTF * mask_B1F


def embedding_dropout(embedding_VE: Tensor, rate: float) -> Tensor:
    """Return the matrix with whole rows dropped: these characters have a zero embedding in a batch.

    Source: Gal & Ghahramani 2016; Merity, Keskar & Socher 2018 (AWD-LSTM).
    """
    return embedding_VE * dropout(embedding_VE.new_ones(embedding_VE.shape[0], 1), rate)


def weight_dropout(weight: Tensor, rate: float) -> Tensor:
    """Return a hidden-to-hidden matrix with single weights dropped, the same at every position.

    Source: Wan et al. 2013 (DropConnect); for recurrent weights Merity, Keskar & Socher 2018.
    """
    return dropout(weight, rate)

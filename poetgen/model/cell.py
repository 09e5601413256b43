"""One step of each recurrent cell, equation by equation.

Every gate is returned.  Sampling and inspection use these functions; the fused kernels of `torch.nn`
are tested against them.

Shape suffixes: B rows, I input size, H hidden size, 3H/4H stacked gates.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear


class CellWeights(NamedTuple):
    """The weights of a layer in `torch.nn`'s layout.

    The rows of the gates are stacked: i, f, g, o for an LSTM, r, z, n for a GRU.
    """

    from_input: Tensor
    """(4H, I) for an LSTM, (3H, I) for a GRU, (H, I) for a plain RNN."""
    from_hidden: Tensor
    """(4H, H), (3H, H) or (H, H)."""
    input_bias: Tensor
    """(4H,), (3H,) or (H,)."""
    hidden_bias: Tensor
    """The same shape; torch keeps both, and they are added."""


class LSTMStep(NamedTuple):
    """The gates and states of one LSTM step, each (B, H)."""

    forget: Tensor
    input: Tensor
    candidate: Tensor
    cell: Tensor
    output: Tensor
    hidden: Tensor


def lstm_step(x_BI: Tensor, hidden_BH: Tensor, cell_BH: Tensor, weights: CellWeights) -> LSTMStep:
    """Return the gates, the new cell state and the new hidden state of an LSTM with a forget gate.

    Source: Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000.

        f = σ(W_f x + U_f h + b_f)     forget gate
        i = σ(W_i x + U_i h + b_i)     input gate
        g = tanh(W_g x + U_g h + b_g)  candidate
        c' = f ⊙ c + i ⊙ g             new cell state; the sum carries gradients without decay
        o = σ(W_o x + U_o h + b_o)     output gate
        h' = o ⊙ tanh(c')              new hidden state
    """
    stacked_B4H = linear(x_BI, weights.from_input, weights.input_bias) + linear(
        hidden_BH, weights.from_hidden, weights.hidden_bias
    )
    i, f, g, o = stacked_B4H.chunk(4, dim=-1)
    forget = torch.sigmoid(f)
    input_ = torch.sigmoid(i)
    candidate = torch.tanh(g)
    cell = forget * cell_BH + input_ * candidate
    output = torch.sigmoid(o)
    hidden = output * torch.tanh(cell)
    return LSTMStep(forget, input_, candidate, cell, output, hidden)


class GRUStep(NamedTuple):
    """The gates and the hidden state of one GRU step, each (B, H)."""

    reset: Tensor
    update: Tensor
    candidate: Tensor
    hidden: Tensor


def gru_step(x_BI: Tensor, hidden_BH: Tensor, weights: CellWeights) -> GRUStep:
    """Return the gates and the new hidden state of a GRU.

    Source: Cho et al. 2014; as in `torch.nn.GRU`, the reset gate is applied after the product.

        r = σ(W_r x + U_r h + b_r)                 reset gate
        z = σ(W_z x + U_z h + b_z)                 update gate
        n = tanh(W_n x + b_n + r ⊙ (U_n h + c_n))  candidate
        h' = (1 − z) ⊙ n + z ⊙ h                   new hidden state
    """
    from_x = linear(x_BI, weights.from_input, weights.input_bias).chunk(3, dim=-1)
    from_h = linear(hidden_BH, weights.from_hidden, weights.hidden_bias).chunk(3, dim=-1)
    reset = torch.sigmoid(from_x[0] + from_h[0])
    update = torch.sigmoid(from_x[1] + from_h[1])
    candidate = torch.tanh(from_x[2] + reset * from_h[2])
    hidden = (1 - update) * candidate + update * hidden_BH
    return GRUStep(reset, update, candidate, hidden)


def rnn_step(x_BI: Tensor, hidden_BH: Tensor, weights: CellWeights) -> Tensor:
    """Return the new hidden state of a plain RNN (Elman 1990): h' = tanh(W x + U h + b)."""
    return torch.tanh(
        linear(x_BI, weights.from_input, weights.input_bias)
        + linear(hidden_BH, weights.from_hidden, weights.hidden_bias)
    )

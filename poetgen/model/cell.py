"""One step of each cell, written out.

The LSTM's six equations stand here once, with every gate returned: sampling steps through them, the
fused kernels of `torch.nn` are tested against them, and a reader can follow them.

Shape suffixes: B rows, I input size, H hidden size, 3H/4H stacked gates.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear


class CellWeights(NamedTuple):
    """A layer's weights in `torch.nn`'s layout: the gates' rows stacked (i, f, g, o for an LSTM)."""

    from_input: Tensor
    """(4H, I) for an LSTM, (3H, I) for a GRU, (H, I) for a plain RNN."""
    from_hidden: Tensor
    input_bias: Tensor
    hidden_bias: Tensor


class LSTMStep(NamedTuple):
    """All that one LSTM step computes, each (B, H)."""

    forget: Tensor
    input: Tensor
    candidate: Tensor
    cell: Tensor
    output: Tensor
    hidden: Tensor


def lstm_step(x_BI: Tensor, hidden_BH: Tensor, cell_BH: Tensor, weights: CellWeights) -> LSTMStep:
    """The gates, the new cell and the new hidden state of an LSTM with a forget gate.

    Source: Hochreiter & Schmidhuber 1997; the forget gate is from Gers, Schmidhuber & Cummins 2000.

        f = σ(W_f x + U_f h + b_f)     what the cell keeps
        i = σ(W_i x + U_i h + b_i)     what it lets in
        g = tanh(W_g x + U_g h + b_g)  what there is to let in
        c' = f ⊙ c + i ⊙ g             the new cell: a sum, so that a gradient passes undiminished
        o = σ(W_o x + U_o h + b_o)     what it shows
        h' = o ⊙ tanh(c')              the new hidden state
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
    """All that one GRU step computes, each (B, H)."""

    reset: Tensor
    update: Tensor
    candidate: Tensor
    hidden: Tensor


def gru_step(x_BI: Tensor, hidden_BH: Tensor, weights: CellWeights) -> GRUStep:
    """The gates and the new hidden state of a GRU (Cho et al. 2014; reset gate after the product).

    r = σ(W_r x + U_r h + b_r)
    z = σ(W_z x + U_z h + b_z)
    n = tanh(W_n x + b_n + r ⊙ (U_n h + c_n))
    h' = (1 − z) ⊙ n + z ⊙ h
    """
    from_x = linear(x_BI, weights.from_input, weights.input_bias).chunk(3, dim=-1)
    from_h = linear(hidden_BH, weights.from_hidden, weights.hidden_bias).chunk(3, dim=-1)
    reset = torch.sigmoid(from_x[0] + from_h[0])
    update = torch.sigmoid(from_x[1] + from_h[1])
    candidate = torch.tanh(from_x[2] + reset * from_h[2])
    hidden = (1 - update) * candidate + update * hidden_BH
    return GRUStep(reset, update, candidate, hidden)


def rnn_step(x_BI: Tensor, hidden_BH: Tensor, weights: CellWeights) -> Tensor:
    """The new hidden state of a plain RNN (Elman 1990): h' = tanh(W x + U h + b)."""
    return torch.tanh(
        linear(x_BI, weights.from_input, weights.input_bias)
        + linear(hidden_BH, weights.from_hidden, weights.hidden_bias)
    )

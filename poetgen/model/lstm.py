"""PoemLSTM: embedding → stacked LSTM (or GRU, or plain RNN) → projection to the vocabulary.

Two ways through the same weights: whole sequences by `torch.nn`'s fused kernels, for training and
scoring; single steps by `cell`, for sampling.  Knows ids, not characters.

Shape suffixes: B rows, T places, E embedding size, H hidden size, F features (H, or E after the
projection of a tied model), V vocabulary size.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import dropout, embedding, linear

from poetgen.model.cell import CellWeights, gru_step, lstm_step, rnn_step
from poetgen.model.regularise import embedding_dropout, locked_dropout, weight_dropout

LayerState: TypeAlias = tuple[Tensor, ...]
"""(hidden_BH, cell_BH) of an LSTM layer, (hidden_BH,) of the others."""
State: TypeAlias = list[LayerState]
"""What the network remembers, lowest layer first."""

_CELLS: dict[str, type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn": nn.RNN,
}


class PoemLSTM(nn.Module):
    """A recurrent language model over ids.

    With `tied` the output layer is the embedding matrix itself (Press & Wolf 2017), reached through
    a linear map where the sizes differ; without, a matrix of its own.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        cell: str = "lstm",
        embedding_size: int = 512,
        hidden_size: int = 640,
        num_layers: int = 2,
        tied: bool = True,
        embedding_std: float = 0.058,
        input_dropout: float = 0.0,
        layer_dropout: float = 0.0,
        output_dropout: float = 0.0,
        locked: bool = False,
        embedding_dropout: float = 0.0,
        weight_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.hidden_size = hidden_size
        self.input_dropout = input_dropout
        self.layer_dropout = layer_dropout
        self.output_dropout = output_dropout
        self.locked = locked
        self.embedding_dropout = embedding_dropout
        self.weight_dropout = weight_dropout
        self.embedding = nn.Parameter(torch.empty(vocab_size, embedding_size))
        sizes = [embedding_size] + [hidden_size] * num_layers
        self.layers = nn.ModuleList(
            _CELLS[cell](size, hidden_size, batch_first=True) for size in sizes[:-1]
        )
        self.projection = nn.Linear(hidden_size, embedding_size) if tied else None
        self.output = None if tied else nn.Parameter(torch.empty(vocab_size, hidden_size))
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        self._initialise(embedding_std)

    def _initialise(self, embedding_std: float) -> None:
        limit = embedding_std * 3**0.5  # where a uniform distribution of that deviation ends
        nn.init.uniform_(self.embedding, -limit, limit)
        if self.output is not None:
            nn.init.uniform_(self.output, -0.1, 0.1)
        if self.cell == "lstm":
            # A forget gate that starts open lets the first gradients through (Gers et al. 2000).
            for weights in map(cell_weights, self.layers):
                with torch.no_grad():
                    weights.input_bias[self.hidden_size : 2 * self.hidden_size] = 1.0
                    weights.hidden_bias[self.hidden_size : 2 * self.hidden_size] = 0.0

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    def zero_state(self, num_rows: int) -> State:
        """The state before a poem's first character."""
        zeros_BH = self.embedding.new_zeros(num_rows, self.hidden_size)
        return [(zeros_BH,) * (2 if self.cell == "lstm" else 1) for _ in self.layers]

    def features(self, tokens_BT: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(features_BTF, state after the last place): all but the large last product.

        F is what `logits` takes, so that a loss can leave out padded places before it.
        """
        state = self.zero_state(len(tokens_BT)) if state is None else state
        x_BTE = self._drop(embedding(tokens_BT, self._input_embedding()), self.input_dropout)
        after: State = []
        for number, (layer, before) in enumerate(zip(self.layers, state, strict=True), start=1):
            x_BTE, layer_after = self._run_layer(layer, x_BTE, before)
            after.append(layer_after)
            is_last = number == len(self.layers)
            x_BTE = self._drop(x_BTE, self.output_dropout if is_last else self.layer_dropout)
        return self._project(x_BTE), after

    def logits(self, features: Tensor) -> Tensor:
        """Unnormalised log-probabilities (…, V) of features (…, F)."""
        output_VF = self.embedding if self.output is None else self.output
        return linear(features, output_VF, self.output_bias)

    def forward(self, tokens_BT: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(logits_BTV, state): for each place the scores of the next id."""
        features_BTF, after = self.features(tokens_BT, state)
        return self.logits(features_BTF), after

    def step(self, tokens_B: Tensor, state: State) -> tuple[Tensor, State]:
        """(logits_BV, state) after one more id per row; without dropout.

        Agrees with `forward` to rounding.
        """
        x_BH = embedding(tokens_B, self.embedding)
        after: State = []
        for layer, before in zip(self.layers, state, strict=True):
            computed, layer_after = layer_step(self.cell, x_BH, before, layer)
            x_BH = computed["hidden"]
            after.append(layer_after)
        return self.logits(self._project(x_BH)), after

    def _input_embedding(self) -> Tensor:
        if self.training and self.embedding_dropout:
            return embedding_dropout(self.embedding, self.embedding_dropout)
        return self.embedding

    def _run_layer(
        self, layer: nn.Module, x_BTE: Tensor, before: LayerState
    ) -> tuple[Tensor, LayerState]:
        """A whole sequence through one layer's fused kernel, with recurrent weights dropped if asked."""
        batched = tuple(part.unsqueeze(0) for part in before)
        start = batched if self.cell == "lstm" else batched[0]
        changed = {}
        if self.training and self.weight_dropout:
            changed["weight_hh_l0"] = weight_dropout(
                cell_weights(layer).from_hidden, self.weight_dropout
            )
        with self._layer_precision():
            x_BTE, last = functional_call(layer, changed, (x_BTE, start))
        return x_BTE, tuple(p.squeeze(0) for p in (last if self.cell == "lstm" else (last,)))

    def _layer_precision(self) -> AbstractContextManager[object]:
        """Autocast as it is, but for CUDA, where it turns recurrent layers to fp16, not to bf16.

        fp16 would need its loss scaled; cuDNN in fp32 (TF32) is fast enough without.
        """
        if self.device.type == "cuda":
            return torch.autocast("cuda", enabled=False)
        return nullcontext()

    def _project(self, x: Tensor) -> Tensor:
        return (
            x
            if self.projection is None
            else linear(x, self.projection.weight, self.projection.bias)
        )

    def _drop(self, x_BTF: Tensor, rate: float) -> Tensor:
        if not (self.training and rate):
            return x_BTF
        return locked_dropout(x_BTF, rate) if self.locked else dropout(x_BTF, rate)


def layer_step(
    cell: str, x_BI: Tensor, before: LayerState, layer: nn.Module
) -> tuple[dict[str, Tensor], LayerState]:
    """One step of a layer: ({name: (B, H)} of all that it computes, the state after)."""
    weights = cell_weights(layer)
    if cell == "lstm":
        step = lstm_step(x_BI, before[0], before[1], weights)
        return step._asdict(), (step.hidden, step.cell)
    if cell == "gru":
        computed = gru_step(x_BI, before[0], weights)._asdict()
    else:
        computed = {"hidden": rnn_step(x_BI, before[0], weights)}
    return computed, (computed["hidden"],)


def cell_weights(layer: nn.Module) -> CellWeights:
    """The weights of a one-layer module of `torch.nn`, as `poetgen.model.cell` takes them."""
    assert isinstance(layer, nn.RNNBase)
    return CellWeights(*layer.all_weights[0])

"""PoemRNN: embedding → stacked LSTM (or GRU, or plain RNN) → projection to the vocabulary.

The same weights are evaluated in two ways: whole sequences with the fused kernels of `torch.nn`, for
training and scoring, and single steps with `poetgen.model.cell`, for sampling.  The network works on
ids only; characters are the vocabulary's.

With `verse_inputs`, the lowest layer also reads facts about the next token that follow from the prefix;
with a `reuse_term`, the logits of characters already used are raised or lowered (`data.prefix`).

Shape suffixes: B rows, T positions, J earlier positions, N counted positions, E embedding size, H hidden
size, I input size of a layer, F features (H, or E after the projection of a tied model), V vocabulary
size, K kinds of use.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import embedding, linear

from poetgen.config import ModelConfig
from poetgen.data.prefix import (
    MAX_LINES,
    MAX_POSITIONS,
    NUM_USES,
    next_tokens,
    table_rows,
    uses,
)
from poetgen.errors import UsageError
from poetgen.language import tr
from poetgen.model.cell import CellWeights, gru_step, lstm_step, rnn_step
from poetgen.model.dropout import (
    dropout,
    embedding_dropout,
    variational_dropout,
    weight_dropout,
)

LayerState: TypeAlias = tuple[Tensor, ...]
"""(hidden_BH, cell_BH) of an LSTM layer, (hidden_BH,) of the others."""
State: TypeAlias = list[LayerState]
"""The recurrent state of the network, lowest layer first."""

_CELLS: dict[str, type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn": nn.RNN,
}


class UsedTokens(NamedTuple):
    """The tokens before a position, and how the next token would reuse them."""

    tokens_NJ: Tensor
    """Ids."""
    kinds_NJ: Tensor
    """Kinds of use (`poetgen.data.prefix.uses`)."""


class PoemRNN(nn.Module):
    """A recurrent language model over ids.

        network = PoemRNN(len(vocab), config.model)
        logits_BTV, state = network(tokens_BT)

    Fresh weights are drawn from torch's global generator.  With `tie_embeddings` the output layer is
    the embedding matrix (Press & Wolf 2017), reached through a linear map from hidden to embedding
    size; otherwise it is a separate matrix.
    """

    def __init__(self, vocab_size: int, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.cell = config.cell
        self.hidden_size = hidden_size = config.hidden_size
        self.embedding = nn.Parameter(torch.empty(vocab_size, config.embedding_size))
        sizes = [config.embedding_size] + [hidden_size] * config.num_layers
        self.layers = nn.ModuleList(
            _CELLS[self.cell](size, hidden_size, batch_first=True) for size in sizes[:-1]
        )
        is_tied = config.tie_embeddings
        self.projection = (
            nn.Linear(hidden_size, config.embedding_size) if is_tied else nn.Identity()
        )
        self.output = None if is_tied else nn.Parameter(torch.empty(vocab_size, hidden_size))
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        if config.verse_inputs:
            # Zeros: at first the network is one without these inputs.
            embedding_size = config.embedding_size
            self.facing = nn.Parameter(torch.zeros(embedding_size, embedding_size))
            self.rhyme = nn.Parameter(torch.zeros(embedding_size, embedding_size))
            self.line = nn.Parameter(torch.zeros(MAX_LINES, embedding_size))
            self.position = nn.Parameter(torch.zeros(MAX_POSITIONS, embedding_size))
        if config.reuse_term != "none":
            self.reuse_bias = nn.Parameter(torch.zeros(NUM_USES))
        if config.reuse_term == "gated":
            num_features = config.embedding_size if is_tied else hidden_size
            self.reuse_gate = nn.Parameter(torch.zeros(NUM_USES, num_features))
        limit = config.embedding_std * 3**0.5  # U(−a, a) has the standard deviation a/√3
        nn.init.uniform_(self.embedding, -limit, limit)
        if self.output is not None:
            nn.init.uniform_(self.output, -0.1, 0.1)
        if self.cell == "lstm":
            # A forget gate that is open at first passes gradients on (Gers et al. 2000).
            for weights in map(cell_weights, self.layers):
                with torch.no_grad():
                    weights.input_bias[self.hidden_size : 2 * self.hidden_size] = 1.0
                    weights.hidden_bias[self.hidden_size : 2 * self.hidden_size] = 0.0

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    def zero_state(self, num_rows: int) -> State:
        """Return the initial state of `num_rows` sequences: all zeros."""
        zeros_BH = self.embedding.new_zeros(num_rows, self.hidden_size)
        return [(zeros_BH,) * (2 if self.cell == "lstm" else 1) for _ in self.layers]

    def features(self, tokens_BT: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return (features_BTF, the state after the last position), without the output layer.

        A caller can drop padded positions before it passes the features to `logits`, the most
        expensive product.  `state` None: start from `zero_state`.  With `verse_inputs`, the tokens must
        be a whole prefix, because these inputs depend on all of it.
        """
        state = self.zero_state(len(tokens_BT)) if state is None else state
        x_BTE = self._drop(self.inputs(tokens_BT), self.config.input_dropout)
        after: State = []
        for number, (layer, before) in enumerate(zip(self.layers, state, strict=True), start=1):
            x_BTE, layer_after = self._run_layer(layer, x_BTE, before)
            after.append(layer_after)
            is_last = number == len(self.layers)
            rate = self.config.output_dropout if is_last else self.config.layer_dropout
            x_BTE = self._drop(x_BTE, rate)
        return self.projection(x_BTE), after

    def inputs(self, tokens_BT: Tensor) -> Tensor:
        """Return the inputs of the lowest layer, (B, T, E)."""
        matrix_VE = self._input_embedding()
        x_BTE = embedding(tokens_BT, matrix_VE)
        if self.config.verse_inputs:
            facts = next_tokens(tokens_BT.cpu().numpy())
            line_BT, position_BT, facing_BT, rhyme_BT = (
                torch.from_numpy(ids).to(tokens_BT.device)
                for ids in (*table_rows(facts), facts.facing, facts.rhyme)
            )
            x_BTE = x_BTE + linear(embedding(facing_BT, matrix_VE), self.facing)
            x_BTE = x_BTE + linear(embedding(rhyme_BT, matrix_VE), self.rhyme)
            x_BTE = x_BTE + embedding(line_BT, self.line) + embedding(position_BT, self.position)
        return x_BTE

    def used_tokens(self, tokens_BT: Tensor, counted_BT: Tensor) -> UsedTokens | None:
        """Return what `logits` needs for the positions where `counted_BT` is true, (N, T) each.

        None: the network has no reuse term.
        """
        if self.config.reuse_term == "none":
            return None
        ids_BT = tokens_BT.cpu().numpy()
        kinds_BTJ = torch.from_numpy(uses(ids_BT, next_tokens(ids_BT))).to(tokens_BT.device)
        tokens_BTJ = tokens_BT[:, None, :].expand_as(kinds_BTJ)
        return UsedTokens(tokens_BTJ[counted_BT], kinds_BTJ[counted_BT])

    @property
    def output_matrix(self) -> nn.Parameter:
        """The matrix of the output layer, (V, F): the embedding if they are tied."""
        return self.embedding if self.output is None else self.output

    def logits(self, features: Tensor, used: UsedTokens | None = None) -> Tensor:
        """Return the logits (…, V) of features (…, F), or (N, V) with the tokens used before each."""
        logits = linear(features, self.output_matrix, self.output_bias)
        if used is None:
            return logits
        return logits.scatter_add(1, used.tokens_NJ, self.reuse_terms(features, used.kinds_NJ))

    def reuse_terms(self, features_NF: Tensor, kinds_NJ: Tensor) -> Tensor:
        """Return what is added to the logit of each token used before, (N, J)."""
        if self.config.reuse_term == "gated":
            terms_NK = linear(features_NF, self.reuse_gate, self.reuse_bias)
        else:
            terms_NK = self.reuse_bias.expand(len(features_NF), -1)
        return terms_NK.gather(1, kinds_NJ.clamp(min=0)).masked_fill(kinds_NJ < 0, 0.0)

    def forward(self, tokens_BT: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return (logits_BTV, state): the logits of the next id at each position."""
        features_BTF, after = self.features(tokens_BT, state)
        counted_BT = torch.ones_like(tokens_BT, dtype=torch.bool)
        logits_NV = self.logits(features_BTF.flatten(0, 1), self.used_tokens(tokens_BT, counted_BT))
        return logits_NV.reshape(*tokens_BT.shape, -1), after

    def step(self, x_BE: Tensor, state: State) -> tuple[Tensor, State]:
        """Return (features_BF, state) after one more position's `inputs`, without dropout.

        Equals `features` in evaluation mode up to rounding.
        """
        after: State = []
        for layer, before in zip(self.layers, state, strict=True):
            computed, layer_after = layer_step(self.cell, x_BE, before, layer)
            x_BE = computed["hidden"]
            after.append(layer_after)
        return self.projection(x_BE), after

    def _input_embedding(self) -> Tensor:
        if self.training and self.config.embedding_dropout:
            return embedding_dropout(self.embedding, self.config.embedding_dropout)
        return self.embedding

    def _run_layer(
        self, layer: nn.Module, x_BTE: Tensor, before: LayerState
    ) -> tuple[Tensor, LayerState]:
        """Run a whole sequence through the fused kernel of one layer; return (outputs_BTH, state)."""
        batched = tuple(part.unsqueeze(0) for part in before)
        start = batched if self.cell == "lstm" else batched[0]
        replaced = {}
        if self.training and self.config.weight_dropout:
            replaced["weight_hh_l0"] = weight_dropout(
                cell_weights(layer).from_hidden, self.config.weight_dropout
            )
        with self._layer_precision():
            x_BTE, last = functional_call(layer, replaced, (x_BTE, start))
        return x_BTE, tuple(p.squeeze(0) for p in (last if self.cell == "lstm" else (last,)))

    def _layer_precision(self) -> AbstractContextManager[object]:
        """Turn autocast off on CUDA, where it runs recurrent layers in fp16 instead of bf16.

        fp16 would need loss scaling, and cuDNN in fp32 (TF32) is fast enough.
        """
        if self.device.type == "cuda":
            return torch.autocast("cuda", enabled=False)
        return nullcontext()

    def _drop(self, x_BTF: Tensor, rate: float) -> Tensor:
        if not (self.training and rate):
            return x_BTF
        return (variational_dropout if self.config.variational_dropout else dropout)(x_BTF, rate)


def network_from_arrays(
    weights: Mapping[str, NDArray[np.float32]], config: ModelConfig, device: str = "cpu"
) -> PoemRNN:
    """Return the network with these weights, in evaluation mode, without gradients."""
    with torch.device("meta"):  # no memory, no random draws: the weights are assigned
        network = PoemRNN(len(weights["embedding"]), config)
    # Copied to torch's own memory: rounding depends on the alignment of the operands.
    tensors = {name: torch.tensor(weight) for name, weight in weights.items()}
    network.load_state_dict(tensors, assign=True)
    return network.to(device).eval().requires_grad_(False)


def network_arrays(network: PoemRNN) -> dict[str, NDArray[np.float32]]:
    """Return copies of the weights of a network, by the names of torch."""
    return {
        name: weight.detach().float().cpu().numpy().copy()
        for name, weight in network.state_dict().items()
    }


def choose_device(name: str) -> torch.device:
    """Return the device `name`: cpu, cuda, mps, or auto for the first available of cuda, mps and cpu.

    Raises:
        UsageError: the name is unknown, or the device is not available.
    """
    available: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if name == "auto":
        name = next(device for device, is_available in available.items() if is_available())
    elif name not in available:
        names = ", ".join(("auto", *available))
        raise UsageError(
            tr("there is no device {name!r}", name=name), tr("Choose one of: {names}.", names=names)
        )
    elif not available[name]():
        raise UsageError(
            tr(
                "{device} is not available on this machine, or this torch build lacks it",
                device=name.upper(),
            ),
            tr("Use --device auto, or install a torch build that supports it."),
        )
    return torch.device(name)


def layer_step(
    cell: str, x_BI: Tensor, before: LayerState, layer: nn.Module
) -> tuple[dict[str, Tensor], LayerState]:
    """Run one step of a layer; return ({name: (B, H)} of every gate and state, the new state)."""
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
    """Return the weights of a one-layer `torch.nn` module in the form that `poetgen.model.cell` takes."""
    assert isinstance(layer, nn.RNNBase)
    return CellWeights(*layer.all_weights[0])

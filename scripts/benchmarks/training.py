"""The speed of training: poetgen's own steps, the least work that trains this network, the usual loop.

All three train networks of the shapes of the configuration `base` on the same poems.  A measurement is one
pass over a few batches, chosen at equal distances from all batches of the poems in order of length.

Shape suffixes: B rows, T positions, N counted tokens, V vocabulary size.
"""

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from benchmarks.lines import Bar, Comparison, Group, Line, Settings
from benchmarks.poems import some_poems
from poetgen.config import Config, ModelConfig, load_config
from poetgen.data.batches import ordered_batches, training_batches
from poetgen.data.encode import TrainingDataset
from poetgen.data.poem import Poem
from poetgen.data.vocab import PAD, Vocabulary
from poetgen.model.file import load_model
from poetgen.model.network import PoemRNN
from poetgen.runs import BUNDLED
from poetgen.training.loop import train_steps
from poetgen.training.optim import autocast, uses_bf16
from poetgen.training.state import Trainer

_PLAIN_LENGTH = 125
"""Tokens that the plain loop pads every poem to."""
_NUM_BATCHES = 3


def training(settings: Settings) -> Group:
    """Return a training pass by poetgen, by the bare loop and by the plain loop."""
    config = load_config("base")
    if settings.quick:
        config = load_config("base", ["train.batch_tokens=512", "model.hidden_size=64"])
    vocab = load_model(BUNDLED).vocab
    poems = batch_poems(some_poems(vocab, settings), vocab, config.train.batch_tokens)
    precision = "bf16" if uses_bf16(torch.device(settings.device), "auto") else "fp32"
    lines = (
        Line(
            "poetgen",
            "tokens/s",
            poetgen_loop(poems, vocab, config, settings.device),
            (Comparison("bare loop", Bar(0.95)), Comparison("plain loop", Bar(4))),
        ),
        Line("bare loop", "tokens/s", bare_loop(poems, vocab, config, settings.device)),
        Line("plain loop", "tokens/s", plain_loop(poems, vocab, config, settings.device)),
    )
    return Group("training", f"Training `base`: poetgen and the bare loop in {precision}", lines)


def batch_poems(poems: Sequence[Poem], vocab: Vocabulary, batch_tokens: int) -> list[Poem]:
    """Return the poems of a few batches of typical lengths, short to long.

    Only full batches count: among so few poems there are many others, in an epoch of the corpus hardly any.
    """
    sequences = [vocab.encode_poem(poem.text) for poem in poems]
    batches = [
        members
        for members, batch in ordered_batches(sequences, batch_tokens=batch_tokens)
        if len(members) == len(batch.tokens_BT)
    ]
    step = max(1, len(batches) // _NUM_BATCHES)
    chosen = batches[step // 2 :: step][:_NUM_BATCHES]
    return [poems[index] for members in chosen for index in members]


def poetgen_loop(
    poems: Sequence[Poem], vocab: Vocabulary, config: Config, device: str
) -> Callable[[], float]:
    """Return a measurement of `train_steps`, in counted tokens per second."""
    torch.manual_seed(1)
    network = PoemRNN(len(vocab), config.model).to(device)
    trainer = Trainer(network, config, vocab, TrainingDataset(poems, vocab, config), [])

    def measure() -> float:
        start = time.perf_counter()
        num_tokens = sum(report.tokens for report in train_steps(trainer))
        seconds = time.perf_counter() - start
        trainer.progress.finish_epoch(0.0)
        return num_tokens / seconds

    return measure


class BareNetwork(nn.Module):
    """The layers of a tied model of `config`, without dropout, by the modules of torch only."""

    def __init__(self, vocab_size: int, config: ModelConfig) -> None:
        super().__init__()
        size = config.embedding_size
        self.embedding = nn.Embedding(vocab_size, size)
        self.lstm = nn.LSTM(size, config.hidden_size, config.num_layers, batch_first=True)
        self.projection = nn.Linear(config.hidden_size, size)
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def forward(self, tokens_BT: Tensor, counted_BT: Tensor | None = None) -> Tensor:
        """Return the logits at all positions, or (N, V) at those of `counted_BT`."""
        hidden, _ = self.lstm(self.embedding(tokens_BT))
        features = self.projection(hidden if counted_BT is None else hidden[counted_BT])
        logits: Tensor = linear(features, self.embedding.weight, self.output_bias)
        return logits


def bare_loop(
    poems: Sequence[Poem], vocab: Vocabulary, config: Config, device: str
) -> Callable[[], float]:
    """Return a measurement of the least work that trains this network on the same batches.

    The precision, the batches, the output layer (at the counted positions only) and the fused AdamW are
    those of poetgen.  There is no dropout, no clipping, no schedule, no average and no report.
    """
    torch.manual_seed(1)
    network = BareNetwork(len(vocab), config.model).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    sequences = TrainingDataset(poems, vocab, config).epoch(0)

    def step(tokens_BT: Tensor, targets_BT: Tensor) -> None:
        counted_BT = targets_BT != PAD
        with autocast(torch.device(device), "auto"):
            logits_NV = network(tokens_BT, counted_BT)
            loss = cross_entropy(logits_NV, targets_BT[counted_BT])
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        batch_tokens = config.train.batch_tokens
        for batch in training_batches(sequences, batch_tokens=batch_tokens, seed=1, epoch=0):
            yield batch.tokens_BT.to(device), batch.targets_BT.to(device)

    return lambda: _timed_pass(batches(), step, device)


def plain_loop(
    poems: Sequence[Poem], vocab: Vocabulary, config: Config, device: str
) -> Callable[[], float]:
    """Return a measurement of the usual loop: fp32, one padded length, logits at all positions, Adam."""
    torch.manual_seed(1)
    network = BareNetwork(len(vocab), config.model).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    num_rows = max(1, config.train.batch_tokens // _PLAIN_LENGTH)
    sequences = [vocab.encode_poem(poem.text)[: _PLAIN_LENGTH + 1] for poem in poems]
    padded = torch.full((len(sequences), _PLAIN_LENGTH + 1), PAD)
    for row, ids in enumerate(sequences):
        padded[row, : len(ids)] = torch.tensor(ids)

    def step(tokens_BT: Tensor, targets_BT: Tensor) -> None:
        logits_BTV = network(tokens_BT)
        loss = cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, len(padded), num_rows):
            rows = padded[first : first + num_rows]
            yield rows[:, :-1].to(device), rows[:, 1:].to(device)

    return lambda: _timed_pass(batches(), step, device)


def _timed_pass(
    batches: Iterator[tuple[Tensor, Tensor]], step: Callable[[Tensor, Tensor], None], device: str
) -> float:
    """Take a step per batch; return the counted tokens per second."""
    start = time.perf_counter()
    num_tokens = 0
    for tokens_BT, targets_BT in batches:
        step(tokens_BT, targets_BT)
        num_tokens += int((targets_BT != PAD).sum())
    if device == "cuda":
        torch.cuda.synchronize()
    return num_tokens / (time.perf_counter() - start)

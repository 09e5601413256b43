"""The state of training: its progress, and everything that a step changes or needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from poetgen.config import Config
from poetgen.data.batches import num_batches
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.encode import TrainingDataset
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN, network_arrays
from poetgen.training.ema import WeightEMA
from poetgen.training.optim import new_optimizer


@dataclass(frozen=True)
class StepReport:
    """The result of one optimizer step."""

    step: int
    """Number of steps taken since the start of the run, including this one."""
    nats: float
    """Sum over the counted tokens of the batch."""
    tokens: int
    """Number of counted tokens in the batch."""
    learning_rate: float
    gradient_norm: float
    """Before clipping."""


@dataclass
class Progress:
    """The position in a run.  `epoch` and `batch` count completed ones, so they index the next."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    epoch_nats: float = 0.0
    """Sum over the counted tokens of the epoch so far."""
    epoch_tokens: int = 0
    best_nats_per_token: float | None = None
    best_epoch: int = 0

    @property
    def train_nats_per_token(self) -> float:
        """The training loss of the epoch so far, with dropout."""
        return self.epoch_nats / max(1, self.epoch_tokens)

    @property
    def epochs_since_best(self) -> int:
        return self.epoch - self.best_epoch

    def finish_epoch(self, valid_nats_per_token: float) -> bool:
        """Move to the next epoch; return whether this validation is the best so far.

        >>> progress = Progress()
        >>> progress.finish_epoch(4.0), progress.finish_epoch(5.0), progress.best_epoch
        (True, False, 1)
        """
        self.epoch += 1
        self.batch = 0
        self.epoch_nats, self.epoch_tokens = 0.0, 0
        best = self.best_nats_per_token
        is_best = math.isfinite(valid_nats_per_token) and (
            best is None or valid_nats_per_token < best
        )
        if is_best:
            self.best_nats_per_token, self.best_epoch = valid_nats_per_token, self.epoch
        return is_best


@dataclass
class Trainer:
    """A network in training with its data, optimizer and progress.

    The training state `last.pt` contains the network, EMA, optimizer, progress, vocabulary and training
    lines; the rest follows from the configuration and the corpus.

        trainer = Trainer(network, config, vocab, dataset, valid_poems)
        losses = [report.nats / report.tokens for report in train_steps(trainer)]
    """

    network: PoemRNN
    config: Config
    vocab: Vocabulary
    dataset: TrainingDataset
    valid_poems: Sequence[Poem]
    corpus_fingerprint: str = ""
    training_lines: tuple[LineBloomFilter, ...] = ()
    """The lines of all text that the network is trained on, earlier runs included."""
    progress: Progress = field(init=False, default_factory=Progress)
    optimizer: torch.optim.AdamW = field(init=False)
    ema: WeightEMA = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = new_optimizer(self.network, self.config.train)
        self.ema = WeightEMA(self.network, self.config.train.ema_decay)

    @cached_property
    def total_steps(self) -> int:
        """Number of steps of the whole run, the length of the learning rate schedule.

        Epochs can differ in length, because conditions move poems between buckets.
        """
        return sum(
            num_batches(self.dataset.epoch(epoch), batch_tokens=self.config.train.batch_tokens)
            for epoch in range(self.config.train.epochs)
        )

    def bundle(self, metrics: dict[str, float]) -> ModelBundle:
        """Return the model with its current weights, to be saved with `metrics`."""
        return ModelBundle(
            network_arrays(self.network),
            self.vocab,
            self.config,
            self.corpus_fingerprint,
            metrics,
            self.training_lines,
        )

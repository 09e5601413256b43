"""The training loop: `train_steps` yields a report per step, `fit` consumes it.

`train_steps` knows neither files nor clocks nor screens, so a test can take three steps; all that
is saved, logged and shown happens in `fit`.
"""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from poetgen.config import Config, TrainConfig
from poetgen.data.batches import num_batches, training_batches
from poetgen.data.lines import LineSet
from poetgen.data.poem import Poem
from poetgen.data.training_text import TrainingText
from poetgen.data.vocab import Vocabulary
from poetgen.errors import PoetgenError
from poetgen.model.likelihood import score, total
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel, save_model
from poetgen.training.average import WeightAverage
from poetgen.training.checkpoint import Progress, save_training_state
from poetgen.training.loss import training_loss
from poetgen.training.run_folder import RunFolder
from poetgen.training.runlog import RunLog
from poetgen.training.signals import Interrupted, StopGuard, StopRequested


@dataclass(frozen=True)
class StepReport:
    """What one optimiser step did."""

    step: int
    """Steps taken since the beginning, this one included."""
    nats: float
    """Summed over the batch's counted tokens."""
    tokens: int
    learning_rate: float
    gradient_norm: float
    """Before clipping."""


@dataclass
class Trainer:
    """A model in training: everything that a step changes."""

    model: PoemLSTM
    optimiser: torch.optim.AdamW
    config: TrainConfig
    progress: Progress
    average: WeightAverage = field(init=False)

    def __post_init__(self) -> None:
        self.average = WeightAverage(self.model, self.config.average_decay)


def new_optimiser(model: PoemLSTM, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) with weight decay on matrices, none on biases."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(config.betas[0], config.betas[1]),
        fused=True,
    )


def learning_rate_at(step: int, total_steps: int, config: TrainConfig) -> float:
    """The rate of step number `step` (from 0): a linear warm-up, then half a cosine."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    low = config.learning_rate * config.final_rate
    return low + (config.learning_rate - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """The context that training computes in: bf16 autocast, or nothing (fp32)."""
    if uses_bf16(device, precision):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def uses_bf16(device: torch.device, precision: str) -> bool:
    """Whether `precision` means bf16 here; `auto` does where the processor multiplies it natively."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # torch has no public question for this yet; a release without these answers "no".
        questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, question, lambda: False)() for question in questions)
    return False


def count_steps(text: TrainingText, config: TrainConfig) -> int:
    """The steps of a whole run: what the learning rate's schedule is laid over."""
    return sum(
        num_batches(text.epoch(number), batch_tokens=config.batch_tokens)
        for number in range(config.epochs)
    )


def train_steps(
    trainer: Trainer, sequences: Sequence[Sequence[int]], total_steps: int
) -> Iterator[StepReport]:
    """Train on `sequences` to the end of the current epoch, from wherever `trainer.progress` stands.

    `total_steps` of the whole run decide the learning rate.

    Raises:
        PoetgenError: the gradient is not finite; the step was not taken.
    """
    config, progress, model = trainer.config, trainer.progress, trainer.model
    batches = training_batches(
        sequences,
        batch_tokens=config.batch_tokens,
        seed=config.seed,
        epoch=progress.epoch,
        start=progress.batch,
    )
    for batch in batches:
        model.train()
        rate = learning_rate_at(progress.step, total_steps, config)
        for group in trainer.optimiser.param_groups:
            group["lr"] = rate
        with autocast(model.device, config.precision):
            loss, nats_N = training_loss(model, batch.to(model.device), config.kind_weight)
        torch.autograd.backward(loss)  # as Tensor.backward, which has no types
        limit = config.clip_norm or math.inf
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), limit))
        if not math.isfinite(norm):
            raise _diverged(progress.step + 1, rate)  # before the weights are spoilt
        trainer.optimiser.step()
        trainer.optimiser.zero_grad(set_to_none=True)
        nats = float(nats_N.detach().cpu().double().sum())
        progress.step += 1
        trainer.average.update(model, progress.step)
        progress.batch += 1
        progress.epoch_nats += nats
        progress.epoch_tokens += len(nats_N)
        yield StepReport(progress.step, nats, len(nats_N), rate, norm)


def fit(
    trainer: Trainer,
    *,
    text: TrainingText,
    valid: Sequence[Poem],
    vocab: Vocabulary,
    config: Config,
    corpus: str,
    lines: Sequence[LineSet],
    folder: RunFolder,
) -> Progress:
    """Train until the last epoch or an early stop, keeping `folder` ready for a resume at any time.

    `corpus` names the corpus and `lines` are its training lines, both for the model file.

    Raises:
        Interrupted: on SIGINT or SIGTERM, after the training state was saved.
        OutputError: the run folder cannot be written.
    """
    progress = trainer.progress
    total_steps = count_steps(text, config.train)
    saved_at = time.monotonic()

    averaged = partial(trainer.average.applied_to, trainer.model)

    def save() -> None:
        nonlocal saved_at
        save_training_state(
            folder.last,
            trainer.model,
            trainer.optimiser,
            progress,
            vocab,
            lines,
            text.fingerprint,
            trainer.average.weights,
        )
        saved_at = time.monotonic()

    with (
        RunLog(folder.metrics, progress, config.train.epochs, total_steps) as log,
        StopGuard() as guard,
    ):
        try:
            while not _finished(progress, config.train):
                for report in train_steps(trainer, text.epoch(progress.epoch), total_steps):
                    log.step(report)
                    guard.check()
                    if time.monotonic() - saved_at > config.train.save_every:
                        save()
                with averaged(), guard.at_once():  # so that no signal comes between two weights
                    result = total(score(trainer.model, valid, vocab))
                train_nats = progress.train_nats_per_token
                if progress.finish_epoch(result.nats_per_token):
                    metrics = {
                        "epoch": float(progress.epoch),
                        "valid_nats_per_token": result.nats_per_token,
                        "valid_perplexity": result.perplexity,
                    }
                    with averaged():
                        stored = StoredModel(
                            trainer.model, vocab, config, corpus, metrics, tuple(lines)
                        )
                        save_model(folder.best, stored)
                log.epoch(train_nats, result)
                save()
                guard.check()
        except StopRequested as stop:
            save()
            raise Interrupted(stop.signal_number, folder.name, progress.step) from None
    return progress


def _diverged(step: int, rate: float) -> PoetgenError:
    return PoetgenError(
        f"the gradient of step {step} is not finite: the training has diverged",
        f"Go on from the last save (--resume) or begin anew (--fresh) with a lower rate, "
        f"such as --set train.learning_rate={rate / 4:.1e}",
    )


def _finished(progress: Progress, config: TrainConfig) -> bool:
    patience = config.early_stop_epochs
    return progress.epoch >= config.epochs or 0 < patience <= progress.epochs_since_best

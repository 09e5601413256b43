"""The training loop.

1. `train_steps` yields a report per optimizer step.  It does not read files, clocks or signals.
2. `fit` consumes the reports: it logs, validates and saves until the run ends or a signal stops it.
3. `train` sets up the trainer and the run folder of a plan and calls `fit`.
"""

import logging
import math
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from poetgen.config import TrainConfig
from poetgen.data.batches import read_ahead, training_batches
from poetgen.data.corpus import Corpus
from poetgen.engine.scoring import Likelihood
from poetgen.errors import CorpusError, PoetgenError
from poetgen.language import tr, tr_plural
from poetgen.model.file import save_model
from poetgen.model.scoring import validate
from poetgen.runs import Run
from poetgen.training.checkpoint import save_training_state
from poetgen.training.init import new_trainer
from poetgen.training.log import RunLog
from poetgen.training.loss import training_loss
from poetgen.training.optim import autocast, learning_rate_at, uses_bf16
from poetgen.training.prepare import RunPlan
from poetgen.training.signals import Interrupted, StopGuard, StopRequested
from poetgen.training.state import Progress, StepReport, Trainer

logger = logging.getLogger(__name__)

_OUT_OF_MEMORY = re.compile(
    "out of memory|not enough memory|can.t allocate|ALLOC_FAILED", re.IGNORECASE
)
"""The words of the errors that torch raises on its devices: it has no common class for them."""


class Diverged(PoetgenError):
    """The loss or the gradient of a step is not finite."""

    def __init__(self, why: str, fix: str, rate: str) -> None:
        super().__init__(why, fix)
        self.rate = rate
        """The option that sets a lower learning rate."""


def train_steps(trainer: Trainer) -> Iterator[StepReport]:
    """Train from the current batch to the end of the current epoch.

    Raises:
        Diverged: The loss or the gradient is not finite; the step was not taken.
    """
    config, progress, network = trainer.config.train, trainer.progress, trainer.network
    batches = training_batches(
        trainer.dataset.epoch(progress.epoch),
        batch_tokens=config.batch_tokens,
        seed=config.seed,
        epoch=progress.epoch,
        start=progress.batch,
    )
    for batch in read_ahead(batches, network.device):
        network.train()
        learning_rate = learning_rate_at(progress.step, trainer.total_steps, config)
        for group in trainer.optimizer.param_groups:
            group["lr"] = learning_rate
        with autocast(network.device, config.precision):
            loss, nats_N = training_loss(network, batch, config.token_class_loss_weight)
        torch.autograd.backward(loss)  # Tensor.backward is not typed
        max_norm = config.clip_norm or math.inf
        gradient_norm = float(nn.utils.clip_grad_norm_(network.parameters(), max_norm))
        for what, value in ((tr("loss"), float(loss.detach())), (tr("gradient"), gradient_norm)):
            if not math.isfinite(value):
                raise _diverged(what, value, progress, learning_rate)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad(set_to_none=True)
        nats = float(nats_N.detach().cpu().double().sum())
        progress.step += 1
        trainer.ema.update(network, progress.step)
        progress.batch += 1
        progress.epoch_nats += nats
        progress.epoch_tokens += len(nats_N)
        yield StepReport(progress.step, nats, len(nats_N), learning_rate, gradient_norm)


def fit(trainer: Trainer, run: Run) -> None:
    """Train until the last epoch or an early stop; `run` can be resumed whenever this ends.

    Raises:
        Interrupted: SIGINT or SIGTERM arrived; the training state is saved.
        Diverged: The loss or the gradient is not finite; the last training state is kept.
        OutputError: The run folder cannot be written.
    """
    config, progress = trainer.config.train, trainer.progress
    log = RunLog(
        run.metrics,
        progress,
        epochs=config.epochs,
        total_steps=trainer.total_steps,
        tokens_per_epoch=trainer.dataset.num_tokens,
        tensorboard=config.tensorboard,
    )
    saved_at, saved_step = time.monotonic(), progress.step
    with log, StopGuard() as guard:
        try:
            while not _is_finished(progress, config):
                for report in train_steps(trainer):
                    log.step(report)
                    guard.check()
                    if time.monotonic() - saved_at > config.save_interval_seconds:
                        save_training_state(run.last, trainer)
                        saved_at, saved_step = time.monotonic(), progress.step
                likelihood = _validate(trainer, guard, log)
                train_nats_per_token = progress.train_nats_per_token
                if progress.finish_epoch(likelihood.nats_per_token):
                    _save_best(trainer, run, likelihood)
                log.epoch(train_nats_per_token, likelihood)
                save_training_state(run.last, trainer)
                saved_at, saved_step = time.monotonic(), progress.step
                guard.check()
        except Diverged as error:
            raise _with_last_state(error, run, saved_step) from None
        except StopRequested as stop:
            save_training_state(run.last, trainer)
            raise Interrupted(stop.signal_number, run.name, progress.step) from None


def train(plan: RunPlan, device: torch.device) -> Progress:
    """Train the run of `plan` to its end, from the start or from its training state.

    Raises:
        CorpusError: A split is empty.
        ConfigError: The configuration contradicts the model to start from.
        ModelFileError: The training state or the model to start from cannot be used.
        UsageError: The run exists, or another process is training it.
        Interrupted: SIGINT or SIGTERM arrived; the training state is saved.
        PoetgenError: Memory ran out, or the training diverged.
    """
    _check_splits(plan.corpus)
    with _memory_errors_explained(device, plan.config.train.batch_tokens):
        trainer = new_trainer(plan, device)
        if plan.resume:
            plan.run.resume(trainer.config)
        else:
            plan.run.create(trainer.config, overwrite=plan.overwrite)
        _log_start(plan, trainer)
        with plan.run.lock():
            fit(trainer, plan.run)
    return trainer.progress


def _log_start(plan: RunPlan, trainer: Trainer) -> None:
    device, progress = trainer.network.device, trainer.progress
    num_weights = sum(weight.numel() for weight in trainer.network.parameters())
    text = tr(
        "run {folder}: {weights:.1f} M weights, {symbols:,} symbols, {tokens:,} tokens per epoch, "
        "{device}, {precision}",
        folder=plan.run.path,
        weights=num_weights / 1e6,
        symbols=len(trainer.vocab),
        tokens=trainer.dataset.num_tokens,
        device=device,
        precision="bf16" if uses_bf16(device, trainer.config.train.precision) else "fp32",
    )
    logger.info(text + (tr(", from step {step:,}", step=progress.step) if plan.resume else ""))
    if _is_finished(progress, trainer.config.train):
        logger.info(
            tr(
                "this run has finished; to train further: poetgen train --run {run} --resume "
                "--set train.epochs={epochs}",
                run=shlex.quote(plan.run.name),
                epochs=progress.epoch + trainer.config.train.epochs,
            )
        )


def _validate(trainer: Trainer, guard: StopGuard, log: RunLog) -> Likelihood:
    # Interruptible only inside, so that no signal arrives while weights are being exchanged.
    with trainer.ema.applied_to(trainer.network), guard.interruptible():
        poems, vocab = trainer.valid_poems, trainer.vocab
        return validate(trainer.network, poems, vocab, advance=log.validated)


def _save_best(trainer: Trainer, run: Run, likelihood: Likelihood) -> None:
    metrics = {
        "epoch": float(trainer.progress.epoch),
        "valid_nats_per_token": likelihood.nats_per_token,
        "valid_perplexity": likelihood.perplexity,
    }
    with trainer.ema.applied_to(trainer.network):
        save_model(run.best, trainer.bundle(metrics))


def _is_finished(progress: Progress, config: TrainConfig) -> bool:
    is_out_of_patience = 0 < config.patience <= progress.epochs_since_best
    return progress.epoch >= config.epochs or is_out_of_patience


def _diverged(what: str, value: float, progress: Progress, learning_rate: float) -> Diverged:
    """Return the error to raise where a step would spoil the weights; `fit` adds the last state."""
    why = tr(
        "training has diverged: the {what} of step {step:,} (epoch {epoch}, batch {batch:,}) is {value}",
        what=what,
        step=progress.step + 1,
        epoch=progress.epoch + 1,
        batch=progress.batch + 1,
        value=value,
    )
    rate = f"--set train.learning_rate={learning_rate / 4:.1e}"
    fix = tr("Restart (--overwrite) with a lower learning rate, such as {rate}", rate=rate)
    return Diverged(why, fix, rate)


def _with_last_state(error: Diverged, run: Run, saved_step: int) -> Diverged:
    """Return `error` with the training state to resume from, if there is one."""
    if not run.last.exists():
        return error
    fix = tr(
        "{path} has the state after step {step:,}: resume from it (--resume) or restart (--overwrite) "
        "with a lower learning rate, such as {rate}",
        path=run.last,
        step=saved_step,
        rate=error.rate,
    )
    return Diverged(error.why, fix, error.rate)


def _check_splits(corpus: Corpus) -> None:
    for split in ("train", "valid"):
        if not corpus.splits[split]:
            why = tr_plural(
                len(corpus.poems),
                "the corpus has {num:,} poem, and its {split} split is empty",
                "the corpus has {num:,} poems, and its {split} split is empty",
                split=split,
            )
            fix = tr("Give more poems: a twentieth of them is held out for validation.")
            raise CorpusError(why, fix)


@contextmanager
def _memory_errors_explained(device: torch.device, batch_tokens: int) -> Iterator[None]:
    """Replace an out-of-memory error of torch by one that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not _OUT_OF_MEMORY.search(str(error)):
            raise
        raise PoetgenError(
            tr("there is not enough memory on {device} for this model and batch", device=device),
            tr(
                "Lower train.batch_tokens, such as --set train.batch_tokens={tokens}, or "
                "model.hidden_size.",
                tokens=max(16, batch_tokens // 2),
            ),
        ) from error

"""The log of a training: `metrics.jsonl` for programs, a progress bar and epoch summaries for people."""

import json
import math
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tqdm import tqdm

from poetgen.files import write_error, write_text
from poetgen.model.scoring import Likelihood
from poetgen.training.state import Progress, StepReport

_STEPS_PER_ENTRY = 10
_SMOOTHING = 0.05  # the bar shows a running mean over about twenty steps
_BAR = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}, {remaining} left"


class RunLog:
    """The log of a run, a context manager that is open while it trains.

    with RunLog(run.metrics, progress, epochs, total_steps) as log:
        log.step(report)
    """

    def __init__(self, path: Path, progress: Progress, epochs: int, total_steps: int) -> None:
        self._path = path
        self._progress = progress
        self._epochs = epochs
        self._total_steps = total_steps
        self._rate = self._nats = math.nan
        self._clock = self._epoch_clock = time.monotonic()
        self._epoch_tokens = 0
        self._file: IO[str]
        self._bar: tqdm[Any]

    def __enter__(self) -> "RunLog":
        _remove_entries_after(self._progress, self._path)
        try:
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise write_error(self._path, error) from error
        self._bar = tqdm(
            total=self._total_steps,
            initial=self._progress.step,
            disable=None,
            bar_format=_BAR,
            file=sys.stderr,
        )
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()
        with suppress(OSError):  # closing flushes again; the first failure was already raised
            self._file.close()

    def step(self, report: StepReport) -> None:
        """Advance the progress bar; every tenth step, write an entry."""
        now = time.monotonic()
        nats = report.nats / report.tokens
        rate = report.tokens / max(1e-9, now - self._clock)
        self._clock = now
        self._epoch_tokens += report.tokens
        self._nats = _running_mean(self._nats, nats)
        self._rate = _running_mean(self._rate, rate)
        self._bar.set_description_str(
            f"epoch {self._progress.epoch + 1}/{self._epochs}  loss {self._nats:.3f}"
            f"  perplexity {_perplexity(self._nats):,.1f}  {self._rate:,.0f} chars/s",
            refresh=False,
        )
        self._bar.update()
        if report.step % _STEPS_PER_ENTRY == 0:
            self._write(
                kind="step",
                step=report.step,
                epoch=self._progress.epoch + 1,
                nats_per_token=round(nats, 5),
                learning_rate=report.learning_rate,
                gradient_norm=round(report.gradient_norm, 4),
                tokens_per_second=round(rate, 1),
            )

    def epoch(self, train_nats_per_token: float, valid: Likelihood) -> None:
        """Print and write the result of the epoch that has just finished."""
        progress = self._progress
        seconds = time.monotonic() - self._epoch_clock
        # Up to the last step, so that the rate does not include the validation.
        rate = self._epoch_tokens / max(1e-9, self._clock - self._epoch_clock)
        is_best = progress.best_epoch == progress.epoch
        self._write(
            kind="validation",
            step=progress.step,
            epoch=progress.epoch,
            train_nats_per_token=round(train_nats_per_token, 5),
            valid_nats_per_token=round(valid.nats_per_token, 5),
            valid_perplexity=round(valid.perplexity, 3),
            seconds=round(seconds, 1),
            best=is_best,
        )
        self._bar.write(
            f"epoch {progress.epoch}/{self._epochs}"
            f"  train {train_nats_per_token:.3f} ({_perplexity(train_nats_per_token):,.1f})"
            f"  valid {valid.nats_per_token:.3f} ({valid.perplexity:,.1f})"
            f"  {rate:,.0f} chars/s  {seconds:,.0f} s{'  best' if is_best else ''}",
            file=sys.stderr,
        )
        self._clock = self._epoch_clock = time.monotonic()
        self._epoch_tokens = 0

    def _write(self, **values: Any) -> None:
        try:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()
        except OSError as error:
            raise write_error(self._path, error) from error


def _remove_entries_after(progress: Progress, path: Path) -> None:
    """Remove the entries that a resumed run will write again, and a partial last entry."""
    if not path.exists():
        return
    kept = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(text)
            done = entry["epoch"] <= progress.epoch if entry["kind"] == "validation" else True
            if done and entry["step"] <= progress.step:
                kept.append(text + "\n")
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    write_text(path, "".join(kept))


def _running_mean(mean: float, value: float) -> float:
    return value if math.isnan(mean) else mean + _SMOOTHING * (value - mean)


def _perplexity(nats_per_token: float) -> float:
    return math.exp(min(nats_per_token, 700))

"""What a training says: `metrics.jsonl` for programs, a progress bar and a line per epoch for people."""

import json
import math
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from tqdm import tqdm

from poetgen.files import unwritable, write_text
from poetgen.model.likelihood import Likelihood
from poetgen.training.checkpoint import Progress

if TYPE_CHECKING:
    from poetgen.training.loop import StepReport

_EVERY = 10  # steps between two lines of metrics
_SMOOTHING = 0.05  # the bar shows a running mean over about twenty steps
_BAR = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}, {remaining} left"


class RunLog:
    """The log of a run, open for as long as it trains."""

    def __init__(self, path: Path, progress: Progress, epochs: int, total_steps: int) -> None:
        self._path = path
        self._progress = progress
        self._epochs = epochs
        self._total = total_steps
        self._rate = self._nats = math.nan
        self._clock = self._epoch_clock = time.monotonic()
        self._epoch_tokens = 0
        self._file: IO[str]
        self._bar: tqdm[Any]

    def __enter__(self) -> "RunLog":
        _forget_after(self._path, self._progress)
        try:
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._bar = tqdm(
            total=self._total,
            initial=self._progress.step,
            disable=None,
            bar_format=_BAR,
            file=sys.stderr,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()
        with suppress(OSError):  # closing flushes once more, and the first failure says it all
            self._file.close()

    def step(self, report: "StepReport") -> None:
        """Move the bar; every tenth step, write a line."""
        now = time.monotonic()
        nats = report.nats / report.tokens
        rate = report.tokens / max(1e-9, now - self._clock)
        self._clock = now
        self._epoch_tokens += report.tokens
        self._nats = _blend(self._nats, nats)
        self._rate = _blend(self._rate, rate)
        self._bar.set_description_str(
            f"epoch {self._progress.epoch + 1}/{self._epochs}  loss {self._nats:.3f}"
            f"  perplexity {_perplexity(self._nats):,.1f}  {self._rate:,.0f} chars/s",
            refresh=False,
        )
        self._bar.update()
        if report.step % _EVERY == 0:
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
        """Say how the epoch that was just finished went, on the screen and in the file."""
        progress = self._progress
        seconds = time.monotonic() - self._epoch_clock
        # Up to the last step: the validation after it is no training.
        rate = self._epoch_tokens / max(1e-9, self._clock - self._epoch_clock)
        best = progress.best_epoch == progress.epoch
        self._write(
            kind="validation",
            step=progress.step,
            epoch=progress.epoch,
            train_nats_per_token=round(train_nats_per_token, 5),
            valid_nats_per_token=round(valid.nats_per_token, 5),
            valid_perplexity=round(valid.perplexity, 3),
            seconds=round(seconds, 1),
            best=best,
        )
        self._bar.write(
            f"epoch {progress.epoch}/{self._epochs}"
            f"  train {train_nats_per_token:.3f} ({_perplexity(train_nats_per_token):,.1f})"
            f"  valid {valid.nats_per_token:.3f} ({valid.perplexity:,.1f})"
            f"  {rate:,.0f} chars/s  {seconds:,.0f} s{'  best' if best else ''}",
            file=sys.stderr,
        )
        self._clock = self._epoch_clock = time.monotonic()
        self._epoch_tokens = 0

    def _write(self, **values: Any) -> None:
        try:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()
        except OSError as error:
            raise unwritable(self._path, error) from error


def _forget_after(path: Path, progress: Progress) -> None:
    """Drop what a resumed run will log again, and a half-written last line."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            done = entry["epoch"] <= progress.epoch if entry["kind"] == "validation" else True
            if done and entry["step"] <= progress.step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    write_text(path, "".join(kept))


def _blend(mean: float, value: float) -> float:
    return value if math.isnan(mean) else mean + _SMOOTHING * (value - mean)


def _perplexity(nats_per_token: float) -> float:
    return math.exp(min(nats_per_token, 700))

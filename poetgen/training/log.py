"""The log of a run: `metrics.jsonl` for programs, a progress bar or lines of text for people.

A terminal shows a progress bar.  Elsewhere a line is logged per minute.  Both get a line per epoch and,
soon after the start, an estimate of the total time.  `history` reads the file.
"""

import json
import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm
from tqdm.utils import disp_len

from poetgen.engine.scoring import Likelihood
from poetgen.errors import PoetgenError
from poetgen.files import read_input, read_reason, write_error, write_text
from poetgen.language import tr, tr_plural
from poetgen.progress import format_duration
from poetgen.training.history import perplexity, warn_of_damaged_lines
from poetgen.training.meter import Meter, fitted
from poetgen.training.state import Progress, StepReport

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

T = TypeVar("T")

logger = logging.getLogger(__name__)

_STEPS_PER_ENTRY = 10
_SECONDS_PER_LINE = 60
_MIN_BAR = 12
"""Terminal columns below which the row has no bar."""
_STEPS_TO_ESTIMATE, _SECONDS_TO_ESTIMATE = 20, 20
"""The total time is estimated after this number of steps or seconds."""
_MIN_ESTIMATE = 10
"""Seconds left below which no estimate is worth a line."""


class RunLog:
    """The log of a run, a context manager that is open while it trains.

    with RunLog(run.metrics, progress, epochs=8, total_steps=3040, tokens_per_epoch=10**6) as log:
        log.step(report)

    With `tensorboard`, the values of each entry also go to a TensorBoard log in the same folder.
    """

    def __init__(
        self,
        path: Path,
        progress: Progress,
        *,
        epochs: int,
        total_steps: int,
        tokens_per_epoch: int,
        tensorboard: bool = False,
    ) -> None:
        self._path = path
        self._progress = progress
        self._epochs = epochs
        self._total_steps = total_steps
        self._tokens_per_epoch = max(1, tokens_per_epoch)
        self._uses_tensorboard = tensorboard
        self._meter = Meter(step=progress.step, total_steps=total_steps)
        self._is_resumed = progress.step > 0
        self._is_estimated = False
        self._opened = self._clock = self._epoch_clock = self._last_line = monotonic()
        self._epoch_tokens = self._num_validated = 0
        self._file: IO[str]
        self._bar: tqdm[Any]
        self._tensorboard: SummaryWriter | None = None

    def __enter__(self) -> "RunLog":
        _remove_entries_after(self._progress, self._path)
        try:
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise write_error(self._path, error) from error
        if self._uses_tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            # A resumed run repeats the steps after its last save: their first events are hidden.
            purge_step = self._progress.step + 1
            self._tensorboard = SummaryWriter(str(self._path.parent), purge_step=purge_step)
        self._bar = tqdm(
            total=self._total_steps,
            initial=self._progress.step,
            disable=None,
            leave=False,
            dynamic_ncols=True,
            bar_format="{desc}",
            desc=self._epoch_text(),
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
        if self._tensorboard is not None:
            self._tensorboard.close()
        with suppress(OSError):  # closing flushes again; the first failure was already raised
            self._file.close()

    def step(self, report: StepReport) -> None:
        """Report a step; every tenth step, write an entry."""
        now = monotonic()
        nats = report.nats / report.tokens
        rate = report.tokens / max(1e-9, now - self._clock)
        self._clock = now
        self._epoch_tokens += report.tokens
        self._meter.update(report.step, nats_per_token=nats, tokens_per_second=rate, now=now)
        if report.step % _STEPS_PER_ENTRY == 0:
            self._write(
                kind="step",
                step=report.step,
                epoch=self._progress.epoch + 1,
                epochs_done=round(self._epochs_done, 5),
                tokens=self._tokens,
                nats_per_token=round(nats, 5),
                learning_rate=report.learning_rate,
                gradient_norm=round(report.gradient_norm, 4),
                tokens_per_second=round(rate, 1),
            )
        self._log_estimate(now)
        if self._bar.disable:
            self._log_each_minute(now)
        else:
            self._show({"epoch": self._epoch_text(), **self._meter.texts()})
            self._bar.update()

    def validated(self, num_poems: int) -> None:
        """Show that `num_poems` more poems of the validation split have been scored."""
        self._num_validated += num_poems
        done = tr_plural(
            self._num_validated, "validation, {num:,} poem", "validation, {num:,} poems"
        )
        self._show({"epoch": self._epoch_text(), "left": done})
        self._bar.refresh()

    def epoch(self, train_nats_per_token: float, valid: Likelihood) -> None:
        """Log and write the result of the epoch that has just finished."""
        progress = self._progress
        seconds = monotonic() - self._epoch_clock
        # Up to the last step, so that the rate does not include the validation.
        rate = self._epoch_tokens / max(1e-9, self._clock - self._epoch_clock)
        is_best = progress.best_epoch == progress.epoch
        self._write(
            kind="validation",
            step=progress.step,
            epoch=progress.epoch,
            tokens=self._tokens,
            train_nats_per_token=round(train_nats_per_token, 5),
            valid_nats_per_token=round(valid.nats_per_token, 5),
            valid_perplexity=round(valid.perplexity, 3),
            seconds=round(seconds, 1),
            best=is_best,
        )
        text = tr(
            "epoch {epoch}/{epochs}  perplexity {train:,.1f} training, {valid:,.1f} validation  "
            "{rate:,.0f} tokens/s  {time}",
            epoch=progress.epoch,
            epochs=self._epochs,
            train=perplexity(train_nats_per_token),
            valid=valid.perplexity,
            rate=rate,
            time=format_duration(seconds),
        )
        self._log(text + (tr("  best so far") if is_best else ""))
        self._clock = self._epoch_clock = self._last_line = monotonic()
        self._epoch_tokens = self._num_validated = 0

    @property
    def _tokens(self) -> int:
        """Tokens trained on since the start of the run; all epochs have the same number."""
        return self._progress.epoch * self._tokens_per_epoch + self._progress.epoch_tokens

    @property
    def _epochs_done(self) -> float:
        return self._tokens / self._tokens_per_epoch

    def _epoch_text(self) -> str:
        epoch = self._progress.epoch + 1
        return tr("epoch {epoch}/{epochs}", epoch=epoch, epochs=self._epochs)

    def _log_estimate(self, now: float) -> None:
        """Log, once, how long the run will take."""
        meter, left = self._meter, self._meter.seconds_left
        if self._is_estimated or left is None:
            return
        if (
            meter.num_measured < _STEPS_TO_ESTIMATE
            and meter.seconds_measured < _SECONDS_TO_ESTIMATE
        ):
            return
        self._is_estimated = True
        if left < _MIN_ESTIMATE:
            return
        if self._is_resumed:
            self._log(tr("about {time} left", time=format_duration(left)))
        else:
            time = format_duration(now - self._opened + left)
            self._log(
                tr_plural(
                    self._epochs,
                    "about {time} for {num} epoch",
                    "about {time} for {num} epochs",
                    time=time,
                )
            )

    def _log_each_minute(self, now: float) -> None:
        if now - self._last_line >= _SECONDS_PER_LINE:
            self._last_line = now
            position = tr(
                "step {step:,}/{steps:,}  epoch {epoch:.2f}/{epochs}",
                step=self._progress.step,
                steps=self._total_steps,
                epoch=self._epochs_done,
                epochs=self._epochs,
            )
            texts = self._meter.texts()
            del texts["share"]
            self._log("  ".join([position, *texts.values()]))

    def _show(self, texts: dict[str, str]) -> None:
        """Set the row of the progress bar to those of `texts` that fit."""
        columns = self._bar.format_dict["ncols"] or 80
        row = fitted(texts, columns)
        self._bar.bar_format = "{desc}  {bar}" if columns - disp_len(row) > _MIN_BAR else "{desc}"
        self._bar.set_description_str(row, refresh=False)

    def _log(self, text: str) -> None:
        """Log a line above the progress bar."""
        with tqdm.external_write_mode(file=sys.stderr):
            logger.info(text)

    def _write(self, **values: Any) -> None:
        try:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()
        except OSError as error:
            raise write_error(self._path, error) from error
        if self._tensorboard is not None:
            for name in values.keys() - {"kind", "step", "epoch", "best"}:
                tag = f"{values['kind']}/{name}"
                self._tensorboard.add_scalar(tag, values[name], values["step"])


def show_progress(items: Iterable[T], title: str) -> Iterable[T]:
    """Return `items`; a terminal shows a progress bar once they have taken two seconds."""
    return tqdm(items, desc=title, delay=2, leave=False, disable=None, unit="")


def _remove_entries_after(progress: Progress, path: Path) -> None:
    """Remove the entries that a resumed run will write again, and a partial last entry.

    Damaged lines are removed too, with a warning that has their numbers.
    """
    if not path.exists():
        return
    kept: list[str] = []
    damaged: list[int] = []
    try:
        lines = read_input(path).decode("utf-8", "replace").split("\n")
    except OSError as error:
        raise PoetgenError(
            tr("{file} cannot be read: {reason}", file=path, reason=read_reason(error)),
            tr("Check the file and its permissions."),
        ) from error
    for number, text in enumerate(lines, start=1):
        try:
            entry = json.loads(text)
            done = entry["epoch"] <= progress.epoch if entry["kind"] == "validation" else True
            if done and entry["step"] <= progress.step:
                kept.append(text + "\n")
        except (ValueError, KeyError, TypeError, RecursionError):
            if number < len(lines):  # the last one is empty, or half-written
                damaged.append(number)
    if damaged:
        warn_of_damaged_lines(path, damaged)
    write_text(path, "".join(kept))

"""SIGINT (Ctrl-C) and SIGTERM as requests to finish the current step, save and exit."""

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from poetgen.errors import PoetgenError
from poetgen.language import tr

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequested(BaseException):
    """A signal requested a stop.  Not an `Exception`, so that no handler swallows it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class Interrupted(PoetgenError):
    """Training stopped on a signal, and its state is saved.  The exit code is 130 or 143, as in shells."""

    def __init__(self, signal_number: int, run: str, step: int) -> None:
        name = signal.Signals(signal_number).name
        super().__init__(
            tr(
                "stopped by {signal} after step {step}; everything is saved", signal=name, step=step
            ),
            tr("Continue with: poetgen train --run {run} --resume", run=shlex.quote(run)),
        )
        self.exit_code = 128 + signal_number


class StopGuard:
    """A context manager that defers SIGINT and SIGTERM to `check`; a second SIGINT is not deferred.

    with StopGuard() as guard:
        for report in train_steps(trainer):
            guard.check()  # raises StopRequested between two steps
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._is_interruptible = False
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopGuard":
        for number in _SIGNALS:
            try:
                self._previous_handlers[number] = signal.signal(number, self._handle)
            except ValueError:  # only the main thread can set handlers
                break
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `StopRequested` if a signal has arrived.  Call it where the state is consistent."""
        if self._received is not None:
            raise StopRequested(self._received)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Stop immediately on a signal inside the block, which must not change the training state."""
        self.check()
        self._is_interruptible = True
        try:
            yield
        finally:
            self._is_interruptible = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        self._received = number
        if self._is_interruptible:
            raise StopRequested(number)

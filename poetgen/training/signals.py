"""Ctrl-C and SIGTERM, turned into "finish this step, save, leave"."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from poetgen.errors import PoetgenError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequested(BaseException):
    """A signal asked the training to stop.  Not an `Exception`: no handler should swallow it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class Interrupted(PoetgenError):
    """Training stopped on a signal; its state is saved.  Exit code 130 or 143, as shells have it."""

    def __init__(self, signal_number: int, run: str, step: int) -> None:
        name = signal.Signals(signal_number).name
        super().__init__(
            f"stopped by {name} after step {step}; everything is saved",
            f"Continue with: poetgen train --run {run} --resume",
        )
        self.exit_code = 128 + signal_number


class StopGuard:
    """While active, a first SIGINT or SIGTERM is remembered for `check`; a second SIGINT is Ctrl-C."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._at_once = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopGuard":
        for number in _SIGNALS:
            try:
                self._before[number] = signal.signal(number, self._handle)
            except ValueError:  # not the main thread: whoever runs us there stops us otherwise
                break
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `StopRequested` if a signal came; called where the state is whole."""
        if self._received is not None:
            raise StopRequested(self._received)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, nothing worth keeping changes, so a signal stops without waiting for `check`."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        self._received = number
        if self._at_once:
            raise StopRequested(number)

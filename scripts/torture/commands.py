"""Commands of poetgen, each in a process of its own.

This process imports the program once and forks for every command: a real process that can be killed,
limited and measured, without the seconds that the imports take.  It must have no threads when it forks.
"""

import gc
import os
import resource
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from torture.cases import MIB, Outcome, Verdict

MAX_DATA_BYTES = 6144 * MIB
"""Limit of the memory of a command, so that a fault does not take the machine with it."""
_MODULES = (
    "cli.config", "cli.corpus", "cli.evaluate", "cli.export", "cli.inspect", "cli.plot", "cli.sample",
    "cli.train", "batch.job", "batch.journal", "data.fetch", "evaluation.evaluate", "evaluation.dataset",
    "inspection.ablation", "inspection.trace", "model.network", "sampling.generator", "training.history",
    "training.loop", "training.prepare", "views.report_page", "views.report_table", "views.run_page",
    "views.run_table", "views.trace_figure", "views.trace_page", "views.trace_table",
)  # fmt: skip


def import_program() -> None:
    """Import what the commands import, and read what they read from the package."""
    for name in _MODULES:
        import_module(f"poetgen.{name}")
    from tqdm import tqdm

    from poetgen.data.corpus import corpus_paths, load_corpus

    tqdm.monitor_interval = 0  # it would start a thread
    load_corpus(corpus_paths([Path("starter")]))
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Ended:
    """A command that has ended, or was killed because it took too long."""

    code: int
    """The exit code, or minus the number of the signal that ended it."""
    output: bytes
    errors: str
    peak_bytes: int
    seconds: float
    is_hang: bool

    def fault(self) -> Outcome | None:
        """Return a hang or a traceback; None if the command succeeded or was refused in two lines."""
        if self.is_hang:
            return self.outcome(Verdict.HANG, f"not done after {self.seconds:.0f} s")
        last = self.errors.strip().splitlines()[-1:] or ["nothing was printed"]
        if "Traceback (most recent call last)" in self.errors:
            return self.outcome(Verdict.TRACEBACK, last[0][:200])
        if not is_plain(self.errors):
            return self.outcome(Verdict.TRACEBACK, "a control character is printed")
        if self.code and not self.is_refused:
            return self.outcome(Verdict.TRACEBACK, f"exit code {self.code}: {last[0][:200]}")
        return None

    @property
    def is_refused(self) -> bool:
        """Whether the command ended with an error of two lines."""
        lines = self.errors.splitlines()
        is_error = any(
            why.startswith("poetgen: ") and fix.startswith("  → ") for why, fix in pairwise(lines)
        )
        return self.code in (1, 2, 3) and is_error

    def outcome(self, verdict: Verdict, detail: str = "", note: str = "") -> Outcome:
        return Outcome(verdict, detail, self.peak_bytes, note)


def is_plain(text: str) -> bool:
    r"""Return whether a text has no control character except line ends and tabs.

    >>> is_plain("poetgen: 春\n"), is_plain("\x1b[2J"), is_plain("\u202e")
    (True, False, False)
    """
    return not any((ord(c) < 32 and c not in "\n\t\r") or c in _CONTROLS for c in text)


_CONTROLS = frozenset(
    map(chr, (*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
)
"""Delete, the C1 controls, and the characters that change the direction of text."""


class Command:
    """A command that runs in `folder`; `prepare` is called in its process before it begins.

    ended = Command(["sample", "春"], folder).wait(60)
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self._start = time.monotonic()
        output, to_output = os.pipe()
        errors, to_errors = os.pipe()
        self._content = {output: bytearray(), errors: bytearray()}
        self._streams = output, errors
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _run(arguments, folder, (to_output, to_errors), prepare)
        os.close(to_output)
        os.close(to_errors)
        self._open = {output, errors}

    def runs(self, seconds: float) -> bool:
        """Read what the command prints for some seconds; return whether it still runs then."""
        end = time.monotonic() + seconds
        while self._open:
            ready, _, _ = select.select(list(self._open), [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return True
            for stream in ready:
                piece = os.read(stream, 1 << 16)
                self._content[stream] += piece
                if not piece:
                    os.close(stream)
                    self._open.remove(stream)
        return False

    def runs_until(self, text: str, seconds: float) -> bool:
        """Wait for `text` on standard error; return whether the command still runs then."""
        end = time.monotonic() + seconds
        while text.encode() not in self._content[self._streams[1]] and time.monotonic() < end:
            if not self.runs(0.005):
                return False
        return bool(self._open)

    def send(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, limit_seconds: float) -> Ended:
        """Wait for the end; kill a command that takes longer than the limit."""
        is_hang = self.runs(limit_seconds)
        if is_hang:
            self.send(signal.SIGKILL)
            self.runs(60)
        _, status, usage = os.wait4(self.pid, 0)
        output, errors = (bytes(self._content[stream]) for stream in self._streams)
        return Ended(
            os.waitstatus_to_exitcode(status),
            output,
            errors.decode(errors="replace"),
            usage.ru_maxrss * 1024,
            time.monotonic() - self._start,
            is_hang,
        )


def _run(
    arguments: Sequence[str],
    folder: Path,
    streams: tuple[int, int],
    prepare: Callable[[], object] | None,
) -> NoReturn:
    """Run a command in this process, a child, and leave as the interpreter would."""
    code: object = 1
    try:
        for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), *streams)):
            os.dup2(descriptor, number)
        os.closerange(3, 64)
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for signal_number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signal_number, signal.SIG_DFL)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA_BYTES, MAX_DATA_BYTES))
        os.chdir(folder)
        tempfile.tempdir = str(folder)
        if prepare is not None:
            prepare()
        code = _main(arguments)
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
    except BaseException:
        traceback.print_exc()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _main(arguments: Sequence[str]) -> object:
    from poetgen.cli.main import main

    sys.argv = ["poetgen", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code or 0

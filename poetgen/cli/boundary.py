"""Where exceptions become exit codes: the one place that prints errors."""

import errno
import functools
import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, ParamSpec

from poetgen.errors import PoetgenError

P = ParamSpec("P")


def tell(message: str) -> None:
    """A remark to the person at the terminal: on stderr, so that stdout holds results alone."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def bounded(command: Callable[P, None]) -> Callable[P, None]:
    """`command` with its errors told in two lines and its exit code set (see docs/design.md)."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        before = signal.signal(signal.SIGTERM, _terminate)
        try:
            command(*args, **kwargs)
        except PoetgenError as error:
            tell(f"poetgen: {error.why}\n  → {error.fix}")
            raise SystemExit(error.exit_code) from error
        except KeyboardInterrupt:
            tell("poetgen: interrupted")
            raise SystemExit(130) from None
        finally:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: not Python's to know

    return run


def run_program(program: Callable[[], object]) -> NoReturn:
    """Run `program`, whatever its streams are like, and leave by SystemExit.

    Its help and version are printed outside of any command, so this is around them too.
    """
    _ready_streams()
    code: str | int | None = 0
    try:
        try:
            program()
        except SystemExit as end:
            # Of a reader (head, less) that has seen enough, typer and rich make a failure.
            code = 0 if isinstance(end.__context__, BrokenPipeError) else end.code
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _abandon_stdout()
        tell("poetgen: the disk is full\n  → Free some space and run the command again.")
        code = 1
    raise SystemExit(code)


def _ready_streams() -> None:
    """No stream that is missing, none that a character can break."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows \u5e8a rather than crash.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _abandon_stdout() -> None:
    """Let Python's last flush, at exit, go nowhere: it would fail as the one before did."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)

"""Where exceptions become exit codes: the one place that prints errors."""

import errno
import functools
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
        for stream in (sys.stdout, sys.stderr):
            # A terminal of another encoding shows \u5e8a rather than crash.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except PoetgenError as error:
            tell(f"poetgen: {error.why}\n  → {error.fix}")
            raise SystemExit(error.exit_code) from error
        except KeyboardInterrupt:
            tell("poetgen: interrupted")
            raise SystemExit(130) from None
        except BrokenPipeError:  # the reader (head, less) has seen enough
            _abandon_stdout()
            raise SystemExit(0) from None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            _abandon_stdout()
            tell("poetgen: the disk is full\n  → Free some space and run the command again.")
            raise SystemExit(1) from error
        finally:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: not Python's to know

    return run


def _abandon_stdout() -> None:
    """Let Python's last flush, at exit, go nowhere: it would fail as the one before did."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)

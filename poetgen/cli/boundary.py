"""Where exceptions become exit codes and log messages become text: the one place that prints errors."""

import errno
import functools
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import FrameType
from typing import NoReturn, ParamSpec

from typer.exceptions import TyperException

from poetgen.cli.help import explain
from poetgen.errors import ConfigError, PoetgenError
from poetgen.language import tr
from poetgen.terminal import visible

P = ParamSpec("P")


class _StderrHandler(logging.Handler):
    """Prints messages to stderr, so that stdout holds results only; marks warnings as such."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not text.isprintable():
            text = visible(text, keep=getattr(record, "keep", ""))
        if record.levelno == logging.WARNING:
            text = tr("warning: {text}", text=text)
        bar = sys.modules.get("tqdm")
        # A message goes above a progress bar, not into its line.
        with bar.tqdm.external_write_mode(sys.stderr) if bar else nullcontext():
            print(text, file=sys.stderr, flush=True)  # noqa: T201


def handle_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Return `command` with its errors reported in two lines and its exit code set.

    docs/reference/commands.md lists the codes.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        logger = logging.getLogger("poetgen")
        if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
            logger.addHandler(_StderrHandler())
        logger.setLevel(logging.INFO)
        previous = signal.signal(signal.SIGTERM, _terminate)
        try:
            command(*args, **kwargs)
        except PoetgenError as error:
            # Only the faults of a configuration are several lines.
            whys = error.why.split("\n  ") if isinstance(error, ConfigError) else [error.why]
            why, fix = "\n  ".join(map(visible, whys)), visible(error.fix)
            logger.error("poetgen: %s\n  → %s", why, fix, extra={"keep": "\n"})
            raise SystemExit(error.exit_code) from error
        except MemoryError as error:
            _print_error(
                tr("memory ran out"),
                tr("Lower --batch-size, choose a smaller model, or close other programs."),
            )
            raise SystemExit(1) from error
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            _print_error(
                tr("this needs torch, which is not installed; sample and scan do not"),
                tr("Install it: pip install torch"),
            )
            raise SystemExit(1) from error
        except KeyboardInterrupt:
            logger.error("poetgen: " + tr("interrupted"))
            raise SystemExit(130) from None
        finally:
            signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)  # None: not set by Python

    return run


def run_program(program: Callable[..., object], arguments: Sequence[str]) -> NoReturn:
    """Run a Typer program, whatever its streams are like, and leave by SystemExit.

    Help and version are printed outside of any command, so this wraps them too.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows \u5e8a rather than crash.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code: str | int | None = 0
    try:
        try:
            status = program(arguments, prog_name="poetgen", standalone_mode=False)
            code = status if isinstance(status, int) else 0
        except TyperException as error:
            if error.format_message():  # else help was asked for, and printed
                refused = PoetgenError(*explain(error))  # which bounds what it quotes
                _print_error(refused.why, refused.fix)
            code = error.exit_code
        except SystemExit as end:
            # A reader (head, less) that has seen enough is a failure to typer and rich.
            code = 0 if isinstance(end.__context__, BrokenPipeError) else end.code
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _abandon_stdout()
        _print_error(tr("the disk is full"), tr("Free some space and run the command again."))
        code = 1
    raise SystemExit(code)


def _print_error(why: str, fix: str) -> None:
    print(f"poetgen: {visible(why)}\n  → {visible(fix)}", file=sys.stderr)  # noqa: T201


def _abandon_stdout() -> None:
    """Redirect Python's last flush, at exit, to nowhere: it would fail as the one before did."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)

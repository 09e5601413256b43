"""The boundary of the program: log messages, errors, exit codes, signals."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import poetgen
from poetgen.cli.boundary import handle_errors
from poetgen.cli.main import make_app
from poetgen.errors import ConstraintError, PoetgenError, UsageError

app = make_app()


def run_command(body: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and standard error of a command."""
    command = handle_errors(body)
    code = 0
    try:
        command()
    except SystemExit as end:
        code = int(end.code or 0)
    return code, capsys.readouterr().err


def test_handle_errors_prints_log_messages(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("poetgen.somewhere")

    def body() -> None:
        logger.debug("a detail")
        logger.info("model %s", "tang")
        logger.warning("a title is left out")
        logger.error("line 2: not UTF-8")

    for _ in range(2):  # one handler, however often a command is run
        printed = "model tang\nwarning: a title is left out\nline 2: not UTF-8\n"
        assert run_command(body, capsys) == (0, printed)


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (PoetgenError("why", "fix"), 1, "poetgen: why\n  → fix\n"),
        (UsageError("why", "fix"), 2, "poetgen: why\n  → fix\n"),
        (ConstraintError("why", "fix"), 3, "poetgen: why\n  → fix\n"),
        (KeyboardInterrupt(), 130, "poetgen: interrupted\n"),
    ],
    ids=["error", "usage", "constraint", "interrupt"],
)
def test_handle_errors_sets_the_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, printed: str
) -> None:
    def body() -> None:
        raise error

    assert run_command(body, capsys) == (code, printed)


def test_handle_errors_restores_signal_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM)
    for arguments in (["scan", "山。"], ["scan", "，"]):
        CliRunner().invoke(app, arguments)
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("words", "code"),
    [(["sample", "床前", "--seed", "1"], 0), (["train", "--corpus", "starter"], 1)],
)
def test_only_training_asks_for_torch(words: list[str], code: int, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None; from poetgen.cli.main import main;"
        f"sys.argv = ['poetgen', *{words!r}]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", program],
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(poetgen.__file__).parent.parent)},
    )
    assert done.returncode == code, done.stderr
    if code:
        assert "this needs torch" in done.stderr
        assert done.stderr.rstrip().endswith("Install it: pip install torch")
    else:
        assert done.stdout.startswith("床前")

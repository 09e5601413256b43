"""The progress of a job: a bar on a terminal, else lines; estimates of long jobs only."""

import io
import logging
import sys
from collections.abc import Iterator

import pytest

from poetgen.batch.job import JobProgress
from poetgen.cli.progress import show_progress


class Clock:
    """A clock that a job moves on."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def job(
        self, seconds: float, *, num: int, chunk: int = 64, kept: int = 0
    ) -> Iterator[JobProgress]:
        """Generate `num` poems, each chunk of them in `seconds`."""
        for done in range(chunk, num + 1, chunk):
            self.now += 0 if done <= kept else seconds
            yield JobProgress(num_poems=done, num_kept=min(done, kept))


@pytest.fixture(autouse=True)
def _log_infos(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="poetgen")


def test_progress_returns_the_last_state(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    assert show_progress(clock.job(0.5, num=640), 640, clock=clock) == JobProgress(num_poems=640)
    assert caplog.messages == []  # a job of five seconds


def test_progress_announces_a_long_job_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    show_progress(clock.job(1, num=1280), 1280, clock=clock)
    assert caplog.messages == ["about 20 s for 1,280 poems"]


def test_progress_estimates_without_the_poems_that_were_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    show_progress(clock.job(1, num=6400, kept=5120), 6400, clock=clock)
    assert caplog.messages == ["about 20 s for 1,280 poems"]


def test_progress_without_a_terminal_is_a_line_per_minute(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    show_progress(clock.job(1, num=64 * 150), 9600, clock=clock)
    assert caplog.messages == [
        "about 2 min for 9,600 poems",
        "3,840 of 9,600 poems are done, about 2 min left",
        "7,680 of 9,600 poems are done, about 30 s left",
    ]
    assert (
        "/9600 [" not in capsys.readouterr().err
    )  # no bar; another test may let the lines be printed


def test_progress_without_a_total_counts_only(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    show_progress(clock.job(1, num=6400), None, clock=clock)
    assert caplog.messages == ["3,840 poems are done"]


def test_progress_that_is_hidden_shows_nothing(
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    clock = Clock()
    show_progress(clock.job(1, num=6400), 6400, is_hidden=True, clock=clock)
    assert (caplog.messages, capsys.readouterr().err) == ([], "")


def test_progress_on_a_terminal_is_a_bar(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("poetgen.cli.progress._QUIET_SECONDS", 0.0)
    clock = Clock()
    show_progress(clock.job(1, num=6400), 6400, clock=clock)
    assert "/6400 [" in terminal.getvalue()
    assert caplog.messages == ["about 2 min for 6,400 poems"]

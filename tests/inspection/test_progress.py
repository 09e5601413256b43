"""Progress of slow work: what is logged where there is no terminal, and when."""

import io
import logging
import sys
from collections.abc import Iterator

import pytest

from poetgen.inspection import progress
from poetgen.inspection.progress import track


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[float]:
    """A clock of which the test sets the time."""
    caplog.set_level(logging.INFO, "poetgen")
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


def items(clock: list[float], num: int, *, first: float, later: float) -> Iterator[int]:
    for number in range(num):
        clock[0] += later if number else first
        yield number


def test_track_logs_with_an_estimate(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    assert list(track(items(clock, 6, first=30, later=4), 6, "gates")) == [0, 1, 2, 3, 4, 5]
    # The first item takes longer and does not count; at most a message every five seconds.
    assert caplog.messages == [
        "gates: 2 of 6, about 16 s left",
        "gates: 4 of 6, about 8 s left",
    ]


def test_track_is_silent_for_short_work(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    assert len(list(track(items(clock, 4, first=1, later=1), 4, "gates"))) == 4
    assert caplog.messages == []


def test_track_shows_a_bar_on_a_terminal(
    clock: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    list(track(items(clock, 3, first=9, later=9), 3, "gates"))
    assert "gates:" in terminal.getvalue()
    assert caplog.messages == []

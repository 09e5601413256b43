"""`poetgen.progress`: bars on a terminal, messages elsewhere."""

import logging

import pytest

from poetgen import progress
from poetgen.progress import Stage, format_duration, track
from tests import bars


class Clock:
    """Replaces the clock."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    caplog.set_level(logging.INFO, logger="poetgen")
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    for name in ("_last_event", "_last_message"):
        monkeypatch.setattr(Stage, name, -1e9)
    return clock


def test_stage_shows_a_bar_and_no_messages(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shown = bars.record(monkeypatch)
    with Stage("reading", 4) as stage:
        clock.now += 100
        stage.advance(3)
        assert (shown[0].desc, shown[0].n, shown[0].total) == ("reading", 3, 4)
    assert caplog.messages == []


def test_stage_logs_once_per_minute_without_a_terminal(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with Stage("reading", 4000) as stage:
        for _ in range(20):
            clock.now += 10
            stage.advance(100)
    assert caplog.messages == [
        "reading: 600 of 4,000, about 6 min left",
        "reading: 1,200 of 4,000, about 5 min left",
        "reading: 1,800 of 4,000, about 4 min left",
    ]


def test_short_stages_are_not_silent_for_minutes(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("first", "second", "third"):
        with Stage(name, 2) as stage:
            for _ in range(2):
                clock.now += 20
                stage.advance()
    assert caplog.messages == ["second: 1 of 2, about 20 s left"]


def test_stage_after_a_pause_starts_a_new_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with Stage("first", 1) as stage:
        stage.advance()
    clock.now += 1000
    with Stage("second", 1) as stage:
        clock.now += 1
        stage.advance()
    assert caplog.messages == []


def test_track_yields_items_and_advances(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = bars.record(monkeypatch)
    assert list(track([3, 5], "counting")) == [3, 5]
    assert [(bar.desc, bar.n, bar.total) for bar in shown] == [("counting", 2, 2)]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "1 h 30 min"), (9e4, "25 h 00 min")],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text

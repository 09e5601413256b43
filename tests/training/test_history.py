"""The entries of metrics.jsonl as series: axes, old logs, damaged files."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from poetgen.errors import PoetgenError
from poetgen.training.history import AXES, Point, read_history


def step(number: int, nats: float, **changes: Any) -> dict[str, Any]:
    values = {
        "kind": "step",
        "step": number,
        "epoch": 1,
        "epochs_done": number / 20,
        "tokens": number * 100,
        "nats_per_token": nats,
        "learning_rate": number / 1000,
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


def validation(epoch: int, nats: float, **changes: Any) -> dict[str, Any]:
    values = {
        "kind": "validation",
        "step": 20 * epoch,
        "epoch": epoch,
        "tokens": 2000 * epoch,
        "train_nats_per_token": nats + 1,
        "valid_nats_per_token": nats,
        "seconds": 30.5,
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


RUN = [step(10, 2.0), step(20, 1.0), validation(1, 0.5), step(30, 0.0), validation(2, 0.0)]


def write(folder: Path, *entries: object, end: str = "\n") -> Path:
    path = folder / "spring" / "metrics.jsonl"
    path.parent.mkdir(exist_ok=True)
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in entries)
    path.write_text(text + end, encoding="utf-8")
    return path


def pairs(points: Sequence[Point]) -> list[Any]:
    return [tuple(point) for point in points]


def test_history_has_name_best_and_totals(tmp_path: Path) -> None:
    history = read_history(write(tmp_path, *RUN))
    assert (history.name, history.num_steps, history.seconds) == ("spring", 40, 61.0)
    assert history.best is not None
    assert (history.best.epoch, history.best.valid_nats_per_token) == (2, 0.0)


@pytest.mark.parametrize(
    ("axis", "steps", "validations"),
    [
        ("epochs", [0.5, 1.0, 1.5], [1, 2]),
        ("steps", [10, 20, 30], [20, 40]),
        ("tokens", [1000, 2000, 3000], [2000, 4000]),
    ],
)
def test_series_over_each_axis(
    tmp_path: Path, axis: Any, steps: list[float], validations: list[float]
) -> None:
    series = read_history(write(tmp_path, *RUN)).series(axis)
    assert pairs(series.training) == [
        (x, pytest.approx(y)) for x, y in zip(steps, [math.e**2, math.e, 1], strict=True)
    ]
    assert pairs(series.validation) == [
        (x, pytest.approx(y)) for x, y in zip(validations, [math.e**0.5, 1], strict=True)
    ]
    assert pairs(series.learning_rate) == list(zip(steps, [0.01, 0.02, 0.03], strict=True))


def test_series_of_an_old_log_are_those_of_its_epochs(tmp_path: Path) -> None:
    old = {"tokens": None, "epochs_done": None}
    history = read_history(write(tmp_path, step(10, 2.0, **old), validation(1, 0.0, **old)))
    by_epochs = history.series("epochs")
    assert pairs(by_epochs.training) == [(1, pytest.approx(math.e))]
    assert pairs(by_epochs.validation) == [(1, 1.0)]
    assert pairs(history.series("steps").training) == [(10, pytest.approx(math.e**2))]
    assert history.series("tokens").validation == []


def test_series_leave_out_what_is_not_finite(tmp_path: Path) -> None:
    entries = [step(10, math.nan), step(20, 900.0), validation(1, math.inf), validation(2, 1.0)]
    history = read_history(write(tmp_path, *entries))
    assert [point.x for point in history.series("steps").training] == [20]
    assert history.best is not None
    assert history.best.epoch == 2


@pytest.mark.parametrize("end", ["", "\n", '\n{"kind": "st', '\n{"kind": "step", "step": 7}'])
def test_half_written_last_line_is_skipped(
    tmp_path: Path, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    history = read_history(write(tmp_path, *RUN, end=end))
    assert len(history.steps) + len(history.validations) == 5
    assert caplog.messages == []


def test_damaged_lines_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = ["{", "", '{"kind": "step"}', "[1]", "null", '{"kind": "other", "step": 1}', '"']
    path = write(tmp_path, RUN[0], *noise, *RUN[1:])
    assert len(read_history(path).validations) == 2
    assert caplog.messages == [f"{path}: 7 damaged lines are left out (2, 3, 4, 5, 6, …)"]
    caplog.clear()
    read_history(write(tmp_path, RUN[0], "{", RUN[1]))
    assert caplog.messages == [f"{path}: 1 damaged line is left out (2)"]


@pytest.mark.parametrize(
    "entry",
    [
        step(10, 2.0, tokens="x"),
        step(10, 2.0, epochs_done=math.nan),
        step(10, 2.0, learning_rate=math.inf),
        step(10, 2.0, epoch=True),
        step(10, 2.0, step=-1),
        step(10, 2.0, step=10**400),
        step(10, -2.0),
        validation(1, 2.0, seconds=math.nan),
        validation(1, 2.0, seconds="x"),
        validation(1, 2.0, tokens=[1]),
        "[" * 100_000,
        "1" * 5000,
    ],
    ids=lambda entry: str(entry)[:60],
)
def test_entry_of_a_wrong_type_is_left_out(
    tmp_path: Path, entry: object, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, RUN[0], entry, *RUN[1:])
    history = read_history(path)
    assert caplog.messages == [f"{path}: 1 damaged line is left out (2)"]
    for axis in AXES:
        assert len(history.series(axis).training) == 3
    assert math.isfinite(history.seconds)


@pytest.mark.parametrize("text", ["", "\n", "no json", "no json\n"])
def test_log_without_entries_is_an_error(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, end=text)
    with pytest.raises(PoetgenError, match="has no metrics yet") as caught:
        read_history(path)
    assert (caught.value.exit_code, str(path) in caught.value.why) == (1, True)


def test_log_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PoetgenError, match="cannot be read"):
        read_history(tmp_path)

"""The metrics file, the lines of text, the progress bar and the TensorBoard log."""

import io
import json
import logging
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from tqdm import tqdm

from poetgen.engine.scoring import Likelihood
from poetgen.errors import OutputError
from poetgen.training import log as module
from poetgen.training.log import RunLog
from poetgen.training.state import Progress, StepReport


@pytest.fixture(autouse=True)
def _all_messages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="poetgen")


VALID = Likelihood(poems=2, tokens=20, unknown_tokens=0, hanzi=16, nats=40.0)


def report(step: int) -> StepReport:
    return StepReport(step, nats=60.0 + step, tokens=20, learning_rate=0.001, gradient_norm=0.7)


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def open_log(path: Path, progress: Progress, *, tensorboard: bool = False) -> RunLog:
    """The log of a run of two epochs of 20 steps with 20 tokens."""
    return RunLog(
        path, progress, epochs=2, total_steps=40, tokens_per_epoch=400, tensorboard=tensorboard
    )


def take_steps(log: RunLog, progress: Progress, num: int) -> None:
    for _ in range(num):
        progress.step += 1
        progress.batch += 1
        progress.epoch_tokens += 20
        log.step(report(progress.step))


def write_run(path: Path) -> None:
    progress = Progress()
    with open_log(path, progress) as log:
        for _ in range(2):
            take_steps(log, progress, 20)
            progress.finish_epoch(VALID.nats_per_token)
            log.epoch(2.5, VALID)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the clock of the log; the fixture is a function that advances it by seconds."""
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def shape(path: Path) -> list[tuple[str, int, int]]:
    return [(entry["kind"], entry["step"], entry["epoch"]) for entry in entries(path)]


WHOLE = [
    ("step", 10, 1),
    ("step", 20, 1),
    ("validation", 20, 1),
    ("step", 30, 2),
    ("step", 40, 2),
    ("validation", 40, 2),
]


def test_log_has_every_tenth_step_and_every_epoch(tmp_path: Path) -> None:
    write_run(tmp_path / "metrics.jsonl")
    assert shape(tmp_path / "metrics.jsonl") == WHOLE


def test_step_entry(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_run(path)
    entry = entries(path)[0]
    assert entry.pop("tokens_per_second") > 0
    assert entry == {
        "kind": "step",
        "step": 10,
        "epoch": 1,
        "epochs_done": 0.5,
        "tokens": 200,
        "nats_per_token": 3.5,
        "learning_rate": 0.001,
        "gradient_norm": 0.7,
    }


def test_validation_entry(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_run(path)
    first, second = (entry for entry in entries(path) if entry["kind"] == "validation")
    assert first.pop("seconds") >= 0
    assert first == {
        "kind": "validation",
        "step": 20,
        "epoch": 1,
        "tokens": 400,
        "train_nats_per_token": 2.5,
        "valid_nats_per_token": 2.0,
        "valid_perplexity": round(math.exp(2), 3),
        "best": True,
    }
    assert second["best"] is False


def test_entries_are_written_immediately(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with open_log(path, Progress()) as log:
        log.step(report(10))
        assert len(entries(path)) == 1


def test_epoch_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_run(tmp_path / "metrics.jsonl")
    first, second = [text for text in caplog.messages if text.startswith("epoch")]
    assert first.startswith("epoch 1/2  perplexity 12.2 training, 7.4 validation  ")
    assert first.endswith("best so far")
    assert second.startswith("epoch 2/2")
    assert "best" not in second


def test_minutes_are_logged_without_a_terminal(
    tmp_path: Path, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress()
    with open_log(tmp_path / "metrics.jsonl", progress) as log:
        for _ in range(13):
            clock(10)
            take_steps(log, progress, 1)
    lines = [text for text in caplog.messages if text.startswith("step")]
    assert lines == [
        "step 6/40  epoch 0.30/2  loss 3.175  perplexity 23.9  2 tokens/s  6 min left",
        "step 12/40  epoch 0.60/2  loss 3.325  perplexity 27.8  2 tokens/s  5 min left",
    ]


@pytest.mark.parametrize(
    ("seconds_per_step", "num_steps"), [(1, 20), (15, 2)], ids=["20 steps", "20 seconds"]
)
def test_total_time_is_estimated_once(
    tmp_path: Path,
    clock: Callable[[float], None],
    caplog: pytest.LogCaptureFixture,
    seconds_per_step: float,
    num_steps: int,
) -> None:
    progress = Progress()
    with open_log(tmp_path / "metrics.jsonl", progress) as log:
        clock(7)  # the first step prepares kernels
        take_steps(log, progress, 1)
        for _ in range(num_steps - 1):
            clock(seconds_per_step)
            take_steps(log, progress, 1)
            assert not any("about" in text for text in caplog.messages)
        for _ in range(3):
            clock(seconds_per_step)
            take_steps(log, progress, 1)
    estimates = [text for text in caplog.messages if "about" in text]
    total = {1: "46 s", 15: "10 min"}[int(seconds_per_step)]  # 7 s and 39 steps
    assert estimates == [f"about {total} for 2 epochs"]


def test_estimate_of_a_resumed_run_is_the_time_left(
    tmp_path: Path, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress(step=10, batch=10, epoch_tokens=200)
    with open_log(tmp_path / "metrics.jsonl", progress) as log:
        take_steps(log, progress, 1)
        clock(30)
        take_steps(log, progress, 1)
    assert caplog.messages == ["about 14 min left"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_shows_loss_rate_and_time_left(
    tmp_path: Path,
    clock: Callable[[float], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # no thread
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    progress = Progress()
    with open_log(tmp_path / "metrics.jsonl", progress) as log:
        for _ in range(10):
            clock(1)
            take_steps(log, progress, 1)
        log._bar.refresh()
        steps = terminal.getvalue()
        log.validated(7)
        log.validated(8)
    shown = "epoch 1/2  25%  loss 3.275  perplexity 26.4  20 tokens/s  30 s left"
    assert shown in steps
    assert "epoch 1/2  validation, 15 poems" in terminal.getvalue()
    assert not any(text.startswith("step") for text in caplog.messages)


class FakeWriter:
    """Records what `torch.utils.tensorboard.SummaryWriter` is called with."""

    instances: ClassVar[list["FakeWriter"]] = []

    def __init__(self, folder: str, *, purge_step: int) -> None:
        self.folder, self.purge_step = folder, purge_step
        self.scalars: dict[str, list[tuple[int, float]]] = {}
        self.is_closed = False
        self.instances.append(self)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars.setdefault(tag, []).append((step, value))

    def close(self) -> None:
        self.is_closed = True


def test_tensorboard_gets_the_values_of_the_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = SimpleNamespace(SummaryWriter=FakeWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    monkeypatch.setattr(FakeWriter, "instances", [])
    progress = Progress(step=10, batch=10, epoch_tokens=200)
    with open_log(tmp_path / "metrics.jsonl", progress, tensorboard=True) as log:
        take_steps(log, progress, 10)
        progress.finish_epoch(2.0)
        log.epoch(2.5, VALID)
    (writer,) = FakeWriter.instances
    assert (writer.folder, writer.purge_step, writer.is_closed) == (str(tmp_path), 11, True)
    assert writer.scalars["step/nats_per_token"] == [(20, 4.0)]
    assert writer.scalars["step/learning_rate"] == [(20, 0.001)]
    assert writer.scalars["validation/valid_perplexity"] == [(20, 7.389)]
    assert not {"step/step", "step/epoch", "validation/best"} & writer.scalars.keys()


@pytest.mark.parametrize(
    ("step", "epoch", "num_kept"),
    [(0, 0, 0), (9, 0, 0), (10, 0, 1), (20, 0, 2), (20, 1, 3), (34, 1, 4), (40, 1, 5), (40, 2, 6)],
    ids=str,
)
def test_resume_removes_entries_to_be_repeated(
    tmp_path: Path, step: int, epoch: int, num_kept: int
) -> None:
    path = tmp_path / "metrics.jsonl"
    write_run(path)
    with open_log(path, Progress(step=step, epoch=epoch)):
        pass
    assert shape(path) == WHOLE[:num_kept]


@pytest.mark.parametrize("cut_bytes", [1, 5, 60])
def test_resume_removes_a_partial_last_entry(tmp_path: Path, cut_bytes: int) -> None:
    path = tmp_path / "metrics.jsonl"
    write_run(path)
    path.write_bytes(path.read_bytes()[:-cut_bytes])
    progress = Progress(step=40, epoch=1)
    with open_log(path, progress) as log:
        progress.finish_epoch(2.0)
        log.epoch(2.5, VALID)
    # With one byte cut, the last entry is complete, but its epoch is repeated.
    assert shape(path) == WHOLE


def test_resume_removes_invalid_entries(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_run(path)
    good = path.read_bytes()
    noise = b'\xff\xfe\n[1]\n5\nnull\n{}\n{"kind": "step"}\n{"kind": "step", "step": "x"}\n\n'
    path.write_bytes(noise + good)
    with open_log(path, Progress(step=40, epoch=2)):
        pass
    assert path.read_bytes() == good


def test_log_that_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "metrics.jsonl"
    with pytest.raises(OutputError) as caught, open_log(path, Progress()):
        pass
    assert str(path) in caught.value.why
    assert caught.value.fix

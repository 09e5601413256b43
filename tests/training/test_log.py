"""The metrics file and the epoch summaries."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from poetgen.errors import OutputError
from poetgen.model.scoring import Likelihood
from poetgen.training.log import RunLog
from poetgen.training.state import Progress, StepReport

VALID = Likelihood(poems=2, tokens=20, unknown_tokens=0, hanzi=16, nats=40.0)


def report(step: int) -> StepReport:
    return StepReport(step, nats=60.0 + step, tokens=20, learning_rate=0.001, gradient_norm=0.7)


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def write_run(path: Path, *, epochs: int = 2, steps_per_epoch: int = 20) -> None:
    progress = Progress()
    with RunLog(path, progress, epochs, epochs * steps_per_epoch) as log:
        for _ in range(epochs):
            for _ in range(steps_per_epoch):
                progress.step += 1
                progress.batch += 1
                log.step(report(progress.step))
            progress.finish_epoch(VALID.nats_per_token)
            log.epoch(2.5, VALID)


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
        "train_nats_per_token": 2.5,
        "valid_nats_per_token": 2.0,
        "valid_perplexity": round(math.exp(2), 3),
        "best": True,
    }
    assert second["best"] is False


def test_entries_are_written_immediately(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with RunLog(path, Progress(), 1, 20) as log:
        log.step(report(10))
        assert len(entries(path)) == 1


def test_epoch_summary_is_on_stderr_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "metrics.jsonl")
    out, err = capsys.readouterr()
    assert out == ""
    first, second = [text for text in err.splitlines() if text.startswith("epoch")]
    assert first.startswith("epoch 1/2  train 2.500 (12.2)  valid 2.000 (7.4)")
    assert first.endswith("best")
    assert second.startswith("epoch 2/2")
    assert not second.endswith("best")


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
    with RunLog(path, Progress(step=step, epoch=epoch), 2, 40):
        pass
    assert shape(path) == WHOLE[:num_kept]


@pytest.mark.parametrize("cut_bytes", [1, 5, 60])
def test_resume_removes_a_partial_last_entry(tmp_path: Path, cut_bytes: int) -> None:
    path = tmp_path / "metrics.jsonl"
    write_run(path)
    path.write_bytes(path.read_bytes()[:-cut_bytes])
    progress = Progress(step=40, epoch=1)
    with RunLog(path, progress, 2, 40) as log:
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
    with RunLog(path, Progress(step=40, epoch=2), 2, 40):
        pass
    assert path.read_bytes() == good


def test_log_that_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "metrics.jsonl"
    with pytest.raises(OutputError) as caught, RunLog(path, Progress(), 1, 1):
        pass
    assert str(path) in caught.value.why
    assert caught.value.fix

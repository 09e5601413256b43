"""The training state: exact resumes, migration, and refused files."""

import pickle
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem
from poetgen.data.vocab import BOS, EOS
from poetgen.errors import ModelFileError, OutputError
from poetgen.training.checkpoint import read_training_state, restore, save_training_state
from poetgen.training.loop import train_steps
from poetgen.training.state import Trainer
from tests.refusal import Bomb
from tests.training.trainers import VOCAB, new_trainer, take, write_version_2

LINES = (LineBloomFilter.from_poems([Poem("山水云月风，花雪云月山。")]),)
FINGERPRINT = "0123456789abcdef"
SEQUENCES = [
    [BOS, *(4 + (row * i + i) % 12 for i in range(8 + 3 * (row % 5))), EOS] for row in range(24)
]


def dropout_trainer(
    seed: int = 1, hidden_size: int = 16, fingerprint: str = FINGERPRINT, **train: Any
) -> Trainer:
    """A trainer of two layers with dropout everywhere."""
    model: dict[str, Any] = {"hidden_size": hidden_size, "num_layers": 2}
    model |= {"input_dropout": 0.4, "layer_dropout": 0.4, "output_dropout": 0.4}
    return new_trainer(
        SEQUENCES,
        seed=seed,
        fingerprint=fingerprint,
        training_lines=LINES,
        model=model,
        **{"warmup_steps": 3, **train},
    )


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}


def load(path: Path, trainer: Trainer) -> Trainer:
    """Restore the state in `path`."""
    restore(read_training_state(path), trainer)
    return trainer


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The file of a training state after two steps."""
    trainer = dropout_trainer()
    take(trainer, 2)
    path = tmp_path / "last.pt"
    save_training_state(path, trainer)
    return path


def load_error(path: Path, trainer: Trainer | None = None) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        load(path, trainer or dropout_trainer())
    error = caught.value
    assert error.exit_code == 1
    assert str(path) in error.why
    for text in (error.why, error.fix):
        assert text
        assert "\n" not in text
    return error


def change(path: Path, **entries: object) -> None:
    """Update `entries` in a state; those of None are removed."""
    content = torch.load(path, weights_only=True)
    content.update(entries)
    torch.save({key: value for key, value in content.items() if value is not None}, path)


@contextmanager
def files_no_larger_than(num_bytes: int) -> Iterator[None]:
    """Simulate a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("version", [3, 2])
@pytest.mark.parametrize("stop_at", [1, 5, 9])
def test_resume_equals_straight_training(tmp_path: Path, stop_at: int, version: int) -> None:
    straight = dropout_trainer(ema_decay=0.9)
    expected = take(straight, 10)
    assert straight.progress.epoch == 1, "the ten steps should cross the end of an epoch"
    assert len({report.nats for report in expected}) == 10

    first = dropout_trainer(ema_decay=0.9)
    reports = take(first, stop_at)
    save_training_state(tmp_path / "last.pt", first)
    if version == 2:
        write_version_2(tmp_path / "last.pt")
    second = load(tmp_path / "last.pt", dropout_trainer(seed=99, ema_decay=0.9))
    assert second.progress == first.progress
    reports += take(second, 10 - stop_at)

    assert reports == expected
    assert second.progress == straight.progress
    for name, weight in weights(straight).items():
        assert torch.equal(weight, weights(second)[name]), name
    for name, average in straight.ema.weights.items():
        assert torch.equal(average, second.ema.weights[name]), name


def test_state_keeps_the_vocabulary_in_order(state: Path) -> None:
    assert read_training_state(state).vocab == VOCAB


@pytest.mark.parametrize("version", [3, 2])
def test_state_keeps_the_training_lines(state: Path, version: int) -> None:
    if version == 2:
        write_version_2(state)
    (lines,) = read_training_state(state).training_lines
    assert lines.num_lines == 2
    assert "山水云月风" in lines
    assert "风月云水山" not in lines


def test_read_training_state_restores_nothing(state: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    read_training_state(state)
    assert torch.equal(torch.get_rng_state(), before)


def test_restore_restores_the_ema(tmp_path: Path) -> None:
    trainer = dropout_trainer(ema_decay=0.9)
    take(trainer, 3)
    save_training_state(tmp_path / "last.pt", trainer)
    other = load(tmp_path / "last.pt", dropout_trainer(seed=99, ema_decay=0.9))
    for name, average in trainer.ema.weights.items():
        assert torch.equal(other.ema.weights[name], average), name
        assert not torch.equal(average, trainer.network.state_dict()[name]), name


def test_save_does_not_change_the_training(tmp_path: Path) -> None:
    expected = take(dropout_trainer(), 4)
    trainer = dropout_trainer()
    reports = []
    for report in train_steps(trainer):
        save_training_state(tmp_path / "last.pt", trainer)
        reports.append(report)
    assert reports[:4] == expected


def test_save_replaces_the_file_and_leaves_no_other(state: Path) -> None:
    trainer = dropout_trainer()
    take(trainer, 3)
    save_training_state(state, trainer)
    assert load(state, dropout_trainer()).progress.step == 3
    assert [file.name for file in state.parent.iterdir()] == [state.name]


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_save_on_a_full_disk_keeps_the_old_state(state: Path, share: float) -> None:
    before = state.read_bytes()
    trainer = dropout_trainer()
    take(trainer, 3)
    num_bytes = int(len(before) * share)
    with files_no_larger_than(num_bytes), pytest.raises(OutputError) as caught:
        save_training_state(state, trainer)
    assert str(state) in caught.value.why
    assert caught.value.fix
    assert state.read_bytes() == before
    assert [file.name for file in state.parent.iterdir()] == [state.name]


def test_save_to_an_impossible_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        save_training_state(tmp_path / "file" / "last.pt", dropout_trainer())


def test_read_reports_a_missing_state(tmp_path: Path) -> None:
    error = load_error(tmp_path / "last.pt")
    assert "there is no training state" in error.why
    assert "--overwrite" in error.fix


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_read_refuses_a_truncated_state(state: Path, share: float) -> None:
    content = state.read_bytes()
    state.write_bytes(content[: int(len(content) * share)])
    error = load_error(state)
    assert "damaged" in error.why
    assert "--overwrite" in error.fix
    assert "best.safetensors" in error.fix


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"not a training state\n",
        b"\x80\x02",
        b"\x80\x02t",
        b"\x80\x02G\xebq\x83",
        b"r\xdd]",
    ],
    ids=repr,
)
def test_read_refuses_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(content)
    assert "damaged" in load_error(path).why


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(content=st.one_of(st.binary(max_size=80), st.binary(max_size=40).map(b"\x80\x02".__add__)))
@settings(max_examples=80, deadline=None)
def test_read_refuses_random_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("random") / "last.pt"
    path.write_bytes(content)
    load_error(path)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_read_never_runs_code_in_a_state(tmp_path: Path, how: str) -> None:
    path, trace = tmp_path / "last.pt", tmp_path / "executed"
    content = {"format_version": 3, "dataset_fingerprint": FINGERPRINT, "network": Bomb(trace)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    assert "damaged" in load_error(path).why
    assert not trace.exists()


@pytest.mark.parametrize("content", [5, [1, 2], {"network": {}}, torch.zeros(3)], ids=str)
def test_read_refuses_other_objects(tmp_path: Path, content: object) -> None:
    path = tmp_path / "last.pt"
    torch.save(content, path)
    assert "contains something else" in load_error(path).why


@pytest.mark.parametrize("version", [0, 1, 4, None])
def test_read_refuses_other_versions(state: Path, version: int | None) -> None:
    change(state, format_version=version)
    error = load_error(state)
    assert f"version {version}" in error.why
    assert "reads versions 2 and 3" in error.why


def test_restore_refuses_another_dataset(state: Path) -> None:
    error = load_error(state, dropout_trainer(fingerprint="fedcba9876543210"))
    assert "another corpus, or on its poems in another order" in error.why
    assert "--run" in error.fix


def test_restore_refuses_another_architecture(state: Path) -> None:
    assert "size mismatch" in load_error(state, dropout_trainer(hidden_size=12)).why


@pytest.mark.parametrize(
    "key",
    ["network", "optimizer", "progress", "vocabulary", "training_lines", "random_states"],
)
def test_load_reports_a_missing_or_wrong_key(state: Path, key: str) -> None:
    content = state.read_bytes()
    change(state, **{key: None})
    load_error(state)
    state.write_bytes(content)
    change(state, **{key: {"unheard_of": 1}})
    load_error(state)


def test_restore_keeps_configured_optimizer_settings(state: Path) -> None:
    """`--set` can change them on a resume."""
    trainer = load(state, dropout_trainer(weight_decay=0.25, betas=[0.8, 0.95]))
    matrices, vectors = trainer.optimizer.param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.25, 0.0)
    assert tuple(matrices["betas"]) == tuple(vectors["betas"]) == (0.8, 0.95)

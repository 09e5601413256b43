"""The training state: an exact resume, and nothing else let in."""

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

from poetgen.config import build_config
from poetgen.data.batches import num_batches
from poetgen.data.lines import LineSet
from poetgen.data.poem import MARKS, Poem
from poetgen.data.vocab import BOS, EOS, SPECIALS, Vocabulary
from poetgen.errors import ModelFileError, OutputError
from poetgen.model.lstm import PoemLSTM
from poetgen.training.checkpoint import (
    Progress,
    read_training_state,
    restore,
    save_training_state,
)
from poetgen.training.loop import StepReport, Trainer, new_optimiser, train_steps
from tests.refusal import Bomb

VOCAB = Vocabulary((*SPECIALS, *MARKS, *"山水云月风花雪", "<form:五绝>"))
LINES = (LineSet.of([Poem("山水云月风，花雪云月山。")]),)
CORPUS = "0123456789abcdef"
SEQUENCES = [
    [BOS, *(4 + (row * i + i) % 12 for i in range(8 + 3 * (row % 5))), EOS] for row in range(24)
]


def new_trainer(seed: int = 1, hidden_size: int = 16, **train: Any) -> Trainer:
    torch.manual_seed(seed)
    given = {"warmup_steps": 3, "precision": "fp32", "batch_tokens": 128, "epochs": 3, **train}
    config = build_config({"train": given}).train
    model = PoemLSTM(
        len(VOCAB),
        embedding_size=8,
        hidden_size=hidden_size,
        num_layers=2,
        input_dropout=0.4,
        layer_dropout=0.4,
        output_dropout=0.4,
    )
    return Trainer(model, new_optimiser(model, config), config, Progress())


def total_steps(trainer: Trainer) -> int:
    config = trainer.config
    return config.epochs * num_batches(SEQUENCES, batch_tokens=config.batch_tokens)


def take(trainer: Trainer, count: int) -> list[StepReport]:
    """`count` steps, over the end of an epoch where it comes."""
    reports: list[StepReport] = []
    while len(reports) < count:
        for report in train_steps(trainer, SEQUENCES, total_steps(trainer)):
            reports.append(report)
            if len(reports) == count:
                return reports
        trainer.progress.finish_epoch(5.0 - trainer.progress.epoch)
    return reports


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def save(path: Path, trainer: Trainer, corpus: str = CORPUS) -> None:
    save_training_state(
        path,
        trainer.model,
        trainer.optimiser,
        trainer.progress,
        VOCAB,
        LINES,
        corpus,
        trainer.average.weights,
    )


def load(path: Path, trainer: Trainer, corpus: str = CORPUS) -> Progress:
    state = read_training_state(path)
    return restore(state, trainer.model, trainer.optimiser, corpus, trainer.average.weights)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    trainer = new_trainer()
    take(trainer, 2)
    path = tmp_path / "last.pt"
    save(path, trainer)
    return path


def failure(path: Path, trainer: Trainer | None = None, corpus: str = CORPUS) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        load(path, trainer or new_trainer(), corpus)
    error = caught.value
    assert error.exit_code == 1
    assert str(path) in error.why
    for line in (error.why, error.fix):
        assert line
        assert "\n" not in line
    return error


def change(path: Path, **entries: object) -> None:
    content = torch.load(path, weights_only=True)
    content.update(entries)
    torch.save({key: value for key, value in content.items() if value is not None}, path)


@contextmanager
def files_no_larger_than(num_bytes: int) -> Iterator[None]:
    """What a full disk is like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("stop_at", [1, 5, 9])
def test_ten_steps_straight_equal_ten_with_a_stop(tmp_path: Path, stop_at: int) -> None:
    straight = new_trainer()
    expected = take(straight, 10)
    assert straight.progress.epoch == 1, "the ten steps should cross the end of an epoch"
    assert len({report.nats for report in expected}) == 10

    first = new_trainer()
    reports = take(first, stop_at)
    save(tmp_path / "last.pt", first)
    second = new_trainer(seed=99)
    second.progress = load(tmp_path / "last.pt", second)
    assert second.progress == first.progress
    reports += take(second, 10 - stop_at)

    assert reports == expected
    assert second.progress == straight.progress
    for name, weight in weights(straight).items():
        assert torch.equal(weight, weights(second)[name]), name


def test_vocabulary_of_the_run_comes_back_in_order(state: Path) -> None:
    assert read_training_state(state).vocab == VOCAB


def test_training_lines_come_back(state: Path) -> None:
    (lines,) = read_training_state(state).lines
    assert lines.num_lines == 2
    assert "山水云月风" in lines
    assert "风月云水山" not in lines


def test_reading_a_state_puts_nothing_in_place(state: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    read_training_state(state)
    assert torch.equal(torch.get_rng_state(), before)


def test_averages_come_back_too(tmp_path: Path) -> None:
    trainer = new_trainer(average_decay=0.9)
    take(trainer, 3)
    save(tmp_path / "last.pt", trainer)
    other = new_trainer(seed=99, average_decay=0.9)
    load(tmp_path / "last.pt", other)
    for name, average in trainer.average.weights.items():
        assert torch.equal(other.average.weights[name], average), name
        assert not torch.equal(average, trainer.model.state_dict()[name]), name


def test_saving_changes_nothing(tmp_path: Path) -> None:
    """A run that saves often is the run that does not."""
    expected = take(new_trainer(), 4)
    trainer = new_trainer()
    reports = []
    for report in train_steps(trainer, SEQUENCES, total_steps(trainer)):
        save(tmp_path / "last.pt", trainer)
        reports.append(report)
    assert reports[:4] == expected


def test_state_is_replaced_whole_and_leaves_no_other_file(state: Path) -> None:
    trainer = new_trainer()
    take(trainer, 3)
    save(state, trainer)
    assert load(state, new_trainer()).step == 3
    assert [file.name for file in state.parent.iterdir()] == [state.name]


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_full_disk_leaves_the_old_state_unharmed(state: Path, share: float) -> None:
    before = state.read_bytes()
    trainer = new_trainer()
    take(trainer, 3)
    with files_no_larger_than(int(len(before) * share)), pytest.raises(OutputError) as caught:
        save(state, trainer)
    assert str(state) in caught.value.why
    assert caught.value.fix
    assert state.read_bytes() == before
    assert [file.name for file in state.parent.iterdir()] == [state.name]


def test_target_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        save(tmp_path / "file" / "last.pt", new_trainer())


def test_missing_state(tmp_path: Path) -> None:
    error = failure(tmp_path / "last.pt")
    assert "there is no training state" in error.why
    assert "--fresh" in error.fix


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_state(state: Path, share: float) -> None:
    content = state.read_bytes()
    state.write_bytes(content[: int(len(content) * share)])
    error = failure(state)
    assert "damaged" in error.why
    assert "--fresh" in error.fix
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
def test_something_else_in_its_place(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(content)
    assert "damaged" in failure(path).why


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(content=st.one_of(st.binary(max_size=80), st.binary(max_size=40).map(b"\x80\x02".__add__)))
@settings(max_examples=80, deadline=None)
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("random") / "last.pt"
    path.write_bytes(content)
    failure(path)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_code_in_a_state_is_never_run(tmp_path: Path, how: str) -> None:
    path, trace = tmp_path / "last.pt", tmp_path / "executed"
    content = {"format_version": 2, "data_fingerprint": CORPUS, "model": Bomb(trace)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    assert "damaged" in failure(path).why
    assert not trace.exists()


@pytest.mark.parametrize("content", [5, [1, 2], {"model": {}}, torch.zeros(3)], ids=str)
def test_harmless_object_that_is_no_state(tmp_path: Path, content: object) -> None:
    path = tmp_path / "last.pt"
    torch.save(content, path)
    assert "holds something else" in failure(path).why


@pytest.mark.parametrize("version", [0, 1, 3, None])
def test_other_format_version_names_both(state: Path, version: int | None) -> None:
    change(state, format_version=version)
    error = failure(state)
    assert f"version {version}" in error.why
    assert "reads version 2" in error.why


def test_other_training_text_is_refused(state: Path) -> None:
    error = failure(state, corpus="fedcba9876543210")
    assert "another corpus, or on its poems in another order" in error.why
    assert "--run" in error.fix


def test_other_shape(state: Path) -> None:
    assert "size mismatch" in failure(state, new_trainer(hidden_size=12)).why


@pytest.mark.parametrize(
    "part", ["model", "optimiser", "progress", "vocabulary", "lines", "random_states"]
)
def test_part_that_is_missing_or_wrong(state: Path, part: str) -> None:
    content = state.read_bytes()
    change(state, **{part: None})
    failure(state)
    state.write_bytes(content)
    change(state, **{part: {"unheard_of": 1}})
    failure(state)


def test_resumed_run_obeys_the_optimiser_settings_of_its_configuration(state: Path) -> None:
    """They may be changed by --set on a resume, and the program says that they win."""
    trainer = new_trainer(weight_decay=0.25, betas=[0.8, 0.95])
    load(state, trainer)
    matrices, vectors = trainer.optimiser.param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.25, 0.0)
    assert tuple(matrices["betas"]) == tuple(vectors["betas"]) == (0.8, 0.95)


def test_progress_keeps_the_best_epoch() -> None:
    progress = Progress(step=10, batch=5, epoch_nats=30.0, epoch_tokens=10)
    assert progress.train_nats_per_token == 3.0
    assert progress.finish_epoch(4.0)
    assert (progress.epoch, progress.batch, progress.epoch_tokens) == (1, 0, 0)
    assert progress.train_nats_per_token == 0.0
    assert not progress.finish_epoch(4.0)
    assert not progress.finish_epoch(5.0)
    assert (progress.best_epoch, progress.best_nats_per_token) == (1, 4.0)
    assert progress.epochs_since_best == 2
    assert progress.finish_epoch(3.5)
    assert (progress.best_epoch, progress.epochs_since_best, progress.step) == (4, 0, 10)


def test_perfect_validation_counts_as_the_best() -> None:
    progress = Progress()
    assert progress.finish_epoch(0.0)
    assert not progress.finish_epoch(0.1)
    assert progress.best_nats_per_token == 0.0


def test_validation_that_is_no_number_is_not_the_best() -> None:
    progress = Progress()
    assert not progress.finish_epoch(float("nan"))
    assert progress.finish_epoch(4.0)
    assert not progress.finish_epoch(float("nan"))
    assert progress.best_nats_per_token == 4.0

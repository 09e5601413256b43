"""The training state: exact resumes, migration, and refused files."""

import pickle
import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem
from poetgen.data.vocab import BOS, EOS
from poetgen.errors import ModelFileError, OutputError
from poetgen.training import checkpoint
from poetgen.training.checkpoint import read_training_state, restore, save_training_state
from poetgen.training.loop import train_steps
from poetgen.training.state import Trainer
from poetgen.training.state_format import tensor_checksums, tensors_in
from tests.damage import damage
from tests.refusal import Bomb
from tests.training.trainers import VOCAB, new_trainer, take, write_version_2, write_version_3

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
    """Update `entries` in a state, and its checksums; entries of None are removed."""
    content = torch.load(path, weights_only=True)
    before = content.get("checksums")
    content.update(entries)
    content = {key: value for key, value in content.items() if value is not None}
    if before is not None and content.get("checksums") == before:
        parts = content.keys() - {"format_version", "checksums"}
        content["checksums"] = tensor_checksums({key: content[key] for key in parts})
    torch.save(content, path)


def write_version(path: Path, version: int) -> None:
    """Rewrite a state in the layout of an older format version."""
    if version == 2:
        write_version_2(path)
    elif version == 3:
        write_version_3(path)


@contextmanager
def files_no_larger_than(num_bytes: int) -> Iterator[None]:
    """Simulate a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("version", [4, 3, 2])
@pytest.mark.parametrize("stop_at", [1, 5, 9])
def test_resume_equals_straight_training(tmp_path: Path, stop_at: int, version: int) -> None:
    straight = dropout_trainer(ema_decay=0.9)
    expected = take(straight, 10)
    assert straight.progress.epoch == 1, "the ten steps should cross the end of an epoch"
    assert len({report.nats for report in expected}) == 10

    first = dropout_trainer(ema_decay=0.9)
    reports = take(first, stop_at)
    save_training_state(tmp_path / "last.pt", first)
    write_version(tmp_path / "last.pt", version)
    second = load(tmp_path / "last.pt", dropout_trainer(seed=99, ema_decay=0.9))
    assert second.progress == first.progress
    assert learning_rates(second) == learning_rates(first)
    reports += take(second, 10 - stop_at)

    assert reports == expected
    assert second.progress == straight.progress
    for name, weight in weights(straight).items():
        assert torch.equal(weight, weights(second)[name]), name
    for name, average in straight.ema.weights.items():
        assert torch.equal(average, second.ema.weights[name]), name


def test_state_keeps_the_vocabulary_in_order(state: Path) -> None:
    assert read_training_state(state).parts.vocabulary == VOCAB


def learning_rates(trainer: Trainer) -> list[float]:
    return [group["lr"] for group in trainer.optimizer.param_groups]


@pytest.mark.parametrize("version", [4, 3, 2])
def test_state_keeps_the_training_lines(state: Path, version: int) -> None:
    write_version(state, version)
    (lines,) = read_training_state(state).parts.training_lines
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


@pytest.mark.parametrize("version", [0, 1, 5, True, "4", None])
def test_read_refuses_other_versions(state: Path, version: int | None) -> None:
    change(state, format_version=version)
    error = load_error(state)
    assert f"version {version!r}" in error.why
    assert "reads versions 2 to 4" in error.why


def test_restore_refuses_another_dataset(state: Path) -> None:
    error = load_error(state, dropout_trainer(fingerprint="fedcba9876543210"))
    assert "another corpus, or on its poems in another order" in error.why
    assert "--run" in error.fix


def test_restore_refuses_another_architecture(state: Path) -> None:
    error = load_error(state, dropout_trainer(hidden_size=12))
    assert (
        "does not fit this run: network.layers.0.weight_ih_l0 is F32 [64, 8], not F32 [48, 8]"
        in error.why
    )
    assert "settings of the run" in error.fix


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


# --- Damage ----------------------------------------------------------------------------------------


def content_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def test_read_refuses_a_flipped_bit_of_a_tensor_by_name(state: Path) -> None:
    content = content_of(state)
    before = state.read_bytes()
    tensors = dict(tensors_in({key: content[key] for key in content if key != "checksums"}))
    for name in ("network.embedding", "optimizer.state.3.exp_avg_sq", "training_lines.0.0"):
        value = tensors[name].reshape(-1).view(torch.uint8)
        value[-1] ^= 1
        torch.save(content, state)
        value[-1] ^= 1
        assert f"the values of {name} do not match their checksum" in load_error(state).why
    torch.save(content, state)
    assert read_training_state(state)
    state.write_bytes(before)


@pytest.mark.parametrize("part", ["progress", "vocabulary", "optimizer", "training_lines"])
def test_read_refuses_a_changed_value_by_part(state: Path, part: str) -> None:
    content = content_of(state)
    if part == "progress":
        content[part]["step"] += 1
    elif part == "vocabulary":
        content[part][-1] = "星"
    elif part == "optimizer":
        content[part]["param_groups"][0]["lr"] = 1.0
    else:
        bits, num_hashes, num_lines = content[part][0]
        content[part][0] = (bits, num_hashes, num_lines + 1)
    torch.save(content, state)
    assert f"the values of {part} do not match their checksum" in load_error(state).why


def test_read_refuses_a_state_without_its_checksums(state: Path) -> None:
    change(state, checksums=None)
    assert "it has no checksums" in load_error(state).why
    write_version_3(state)
    change(state, checksums={})
    assert "does not match its content" in load_error(state).why


@pytest.mark.parametrize("version", [2, 3])
def test_old_state_loads_with_a_warning(
    state: Path, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    read_training_state(state)
    assert caplog.messages == []
    write_version(state, version)
    read_training_state(state)
    (message,) = caplog.messages
    assert message.startswith(f"{state} is of an older poetgen and has no checksum")
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 4
    state.write_bytes(content)
    assert "does not match its checksum" in load_error(state).why, "that of the archive"


def set_in(content: Any, name: str, value: object) -> None:
    """Set a value in nested dicts and lists by its dotted name."""
    *path, last = (int(key) if key.isdecimal() else key for key in name.split("."))
    for key in path:
        content = content[key]
    content[last] = value


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("progress.step", "x", "progress.step is str, not int"),
        ("progress.step", True, "progress.step is bool, not int"),
        ("progress.batch", -1, "progress.batch cannot be -1"),
        ("progress.epoch_nats", float("nan"), "progress.epoch_nats cannot be nan"),
        ("progress.best_epoch", 7, "progress.best_epoch cannot be 7"),
        ("progress.unheard_of", 7, "unheard_of"),
        (
            "network.output_bias",
            torch.zeros(16, dtype=torch.float64),
            "torch.float64 [16]",
        ),
        ("network.output_bias", torch.full((16,), float("nan")), "not a finite number"),
        ("network.output_bias", torch.zeros(1).expand(16), "network.output_bias is not an array"),
        ("network.output_bias", torch.zeros(15), "network.output_bias is F32 [15], not F32 [16]"),
        ("network.output_bias", [0.0], "network.output_bias is list, not F32"),
        ("network.extra", torch.zeros(1), "network.extra is F32 [1], not nothing"),
        ("ema", 5, "ema is int, not dict"),
        ("optimizer", 5, "optimizer is int, not dict"),
        ("optimizer.state", None, "optimizer.state is NoneType, not dict"),
        ("optimizer.state.0.exp_avg", torch.zeros(3), "optimizer.exp_avg.0 is F32 [3]"),
        ("optimizer.state.0.extra", torch.zeros(3), "optimizer.state.0 is not a state of AdamW"),
        ("optimizer.state.0.step", torch.tensor(-1.0), "optimizer.state.0.step cannot be -1.0"),
        ("vocabulary.5", "山", "not a list of distinct symbols"),
        ("vocabulary.5", 5, "not a list of distinct symbols"),
        ("training_lines.0", (torch.zeros(0, dtype=torch.uint8), 3, 2), "not a row of bytes"),
        ("training_lines.0", (torch.zeros(8, dtype=torch.uint8), 0, 2), "has 0 hashes"),
        ("training_lines.0", (torch.zeros(8, dtype=torch.uint8), "3", 2), "0.1 is str, not int"),
        ("training_lines.0", (torch.zeros(8), 3, 2), "training_lines.0.0 is F32 [8], not U8"),
        ("training_lines.0", 3, "training_lines.0 is int, not tuple"),
        ("dataset_fingerprint", 5, "dataset_fingerprint is int, not str"),
        ("random_states.cpu", torch.zeros(3, dtype=torch.uint8), "no state of a random generator"),
        ("random_states", {}, "no state of a random generator"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("version", [4, 3])
def test_load_refuses_a_wrong_value(
    state: Path, name: str, value: object, why: str, version: int
) -> None:
    content = content_of(state)
    set_in(content, name, value)
    change(state, **content)
    write_version(state, version)
    trainer = dropout_trainer()
    before = weights(trainer)
    assert why in load_error(state, trainer).why
    for key, weight in weights(trainer).items():
        assert torch.equal(weight, before[key]), "nothing is restored"


def test_read_refuses_compressed_records(state: Path) -> None:
    """A compressed record can be a thousand times as large in memory as in the file."""
    with zipfile.ZipFile(state) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(state, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, record in records.items():
            archive.writestr(name, record)
    assert "its records are not those of a training state" in load_error(state).why


def test_random_damage_is_never_accepted(state: Path) -> None:
    """Bits flipped, bytes overwritten, ends cut off: refused, or the content is still the same."""
    content, random = state.read_bytes(), Random(1)
    sums = content_of(state)["checksums"]
    num_refused = 0
    for number in range(240):
        damaged = damage(content, number, random)
        state.write_bytes(damaged)
        try:
            read_training_state(state)
        except ModelFileError:
            num_refused += 1
        else:  # the padding between records, or a date
            parts = content_of(state)
            assert parts.pop("format_version") == 4
            assert parts.pop("checksums") == sums == tensor_checksums(parts)
    assert num_refused > 120


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from([torch.zeros(2), torch.zeros(0), torch.ones(2, 2).t(), torch.tensor(1j)]),
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner, inner),
        st.dictionaries(st.one_of(st.integers(), st.text(max_size=3)), inner, max_size=3),
    ),
    max_leaves=6,
)
NAMES = (
    "network",
    "network.output_bias",
    "ema",
    "ema.output_bias",
    "optimizer",
    "optimizer.state",
    "optimizer.state.0",
    "optimizer.state.0.step",
    "progress",
    "progress.epoch",
    "progress.best_nats_per_token",
    "vocabulary",
    "vocabulary.0",
    "training_lines",
    "training_lines.0",
    "dataset_fingerprint",
    "random_states",
    "random_states.cpu",
)


@given(name=st.sampled_from(NAMES), value=VALUES)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_load_accepts_valid_values_only(state: Path, name: str, value: object) -> None:
    path = state.with_name("changed.pt")
    path.write_bytes(state.read_bytes())
    content = content_of(path)
    set_in(content, name, value)
    change(path, **content)
    trainer = dropout_trainer()
    with suppress(ModelFileError):
        load(path, trainer)
        assert isinstance(trainer.progress.step, int)


def test_state_that_claims_more_than_its_file_is_refused(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_check_archive", lambda _: 100)
    assert "its tensors are larger than the file" in load_error(state).why

"""Saving and loading a model: everything is kept, and defective files are refused."""

import json
import pickle
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from poetgen.config import build_config
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.engine.network import NetworkWeights
from poetgen.engine.softmax import Logits
from poetgen.errors import ModelFileError, OutputError, PoetgenError, UsageError
from poetgen.model.file import ModelBundle, load_model, save_model
from poetgen.model.format import text_checksum
from poetgen.model.network import PoemRNN, network_arrays
from poetgen.prosody.marks import MARKS
from tests.model.rewrite import downgrade, read, rewrite
from tests.refusal import Bomb

LINES = "training_lines.0"
VOCAB = Vocabulary((*SPECIALS, *MARKS, *"山水云月𠀋"))


def make_bundle(fingerprint: str = "0123456789abcdef", **shape: Any) -> ModelBundle:
    torch.manual_seed(3)
    config = build_config({"model": {"embedding_size": 6, "hidden_size": 8, **shape}})
    metrics = {"epoch": 3.0, "valid_nats_per_token": 5.25}
    weights = network_arrays(PoemRNN(len(VOCAB), config.model))
    return ModelBundle(weights, VOCAB, config, fingerprint, metrics)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.safetensors"
    save_model(path, make_bundle())
    return path


def failure(path: Path) -> PoetgenError:
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    error = caught.value
    assert error.exit_code == 1
    assert str(path) in error.why
    for line in (error.why, error.fix):
        assert line
        assert "\n" not in line
    return error


@contextmanager
def files_no_larger_than(num_bytes: int) -> Iterator[None]:
    """Simulate a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_save_and_load_round_trip(tmp_path: Path, cell: str, tied: bool) -> None:
    before = make_bundle(
        cell=cell,
        tie_embeddings=tied,
        num_layers=3,
        input_dropout=0.25,
        layer_dropout=0.25,
        output_dropout=0.25,
    )
    path = tmp_path / "model.safetensors"
    save_model(path, before)
    after = load_model(path)
    assert after.vocab == VOCAB
    assert after.config == before.config
    assert after.corpus_fingerprint == "0123456789abcdef"
    assert after.metrics == {"epoch": 3.0, "valid_nats_per_token": 5.25}
    assert after.path == path
    assert set(after.weights) == set(before.weights)
    for name, weight in after.weights.items():
        assert weight.dtype == np.float32
        assert np.array_equal(weight, before.weights[name]), name
    ours, theirs = (torch.from_numpy(exact_logits(bundle)) for bundle in (after, before))
    assert torch.equal(ours, theirs)
    tokens = torch.tensor([[1, 8, 9, 4, 10, 11]])
    with torch.no_grad():
        # Not bit for bit: rounding depends on the alignment of the weights.
        ours, theirs = after.network(tokens)[0], before.network(tokens)[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def exact_logits(bundle: ModelBundle) -> Logits:
    """The logits of the engine after three symbols, (1, V)."""
    engine = bundle.engine
    state = engine.zero_state(1)
    for symbol in (1, 8, 9):
        features, state = engine.step(np.array([symbol]), state)
    return engine.logits(features)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_save_int8_leaves_every_result_as_it_is(tmp_path: Path, cell: str, tied: bool) -> None:
    whole = make_bundle(cell=cell, tie_embeddings=tied)
    save_model(tmp_path / "small.safetensors", whole, int8=True)
    small = load_model(tmp_path / "small.safetensors")
    assert small.weights["embedding"].dtype == np.int8
    assert np.array_equal(exact_logits(small), exact_logits(whole))
    save_model(tmp_path / "whole.safetensors", small)
    again = load_model(tmp_path / "whole.safetensors")
    assert again.weights["embedding"].dtype == np.float32
    assert np.array_equal(exact_logits(again), exact_logits(whole))


def test_bundle_on_a_device_has_the_same_results(good: Path) -> None:
    plain = load_model(good)
    # Another name of the CPU: its products are torch's.
    other = replace(plain, device="cpu:0")
    assert np.array_equal(exact_logits(other), exact_logits(plain))
    assert {parameter.device.type for parameter in other.network.parameters()} == {"cpu"}


def test_bundle_with_another_engine_keeps_its_own(good: Path) -> None:
    bundle, other = load_model(good), make_bundle(cell="gru").engine
    own = bundle.engine
    changed = bundle.with_engine(other)
    assert (changed.engine, bundle.engine) == (other, own)
    assert (changed.vocab, changed.weights, changed.path) == (VOCAB, bundle.weights, good)


def test_load_is_in_evaluation_mode_on_a_device(good: Path) -> None:
    network = load_model(good).network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
    with pytest.raises(UsageError, match="there is no device"):
        load_model(good, "abacus")


def test_save_replaces_the_old_file(good: Path) -> None:
    save_model(good, make_bundle(num_layers=1))
    assert load_model(good).config.model.num_layers == 1
    assert [file.name for file in good.parent.iterdir()] == [good.name]


def test_save_converts_half_precision_to_fp32(tmp_path: Path) -> None:
    whole = make_bundle()
    half = whole.network.to(torch.bfloat16)
    save_model(tmp_path / "half.safetensors", replace(whole, weights=network_arrays(half)))
    weights = load_model(tmp_path / "half.safetensors").weights
    assert {weight.dtype for weight in weights.values()} == {np.dtype(np.float32)}
    assert torch.equal(torch.from_numpy(weights["embedding"]), half.embedding.float())


def test_load_header_of_any_length(tmp_path: Path) -> None:
    """The file begins with the length of its header, so its first byte can have any value."""
    path = tmp_path / "model.safetensors"
    first_bytes = set()
    for length in range(0, 256, 8):
        save_model(path, make_bundle("f" * length))
        first_bytes.add(path.read_bytes()[0])
        assert load_model(path).corpus_fingerprint == "f" * length
    assert first_bytes == set(range(0, 256, 8))


def test_load_missing_file(tmp_path: Path) -> None:
    error = failure(tmp_path / "none.safetensors")
    assert "there is no model file" in error.why
    assert "tang is the bundled one" in error.fix


def test_load_rejects_a_folder(tmp_path: Path) -> None:
    failure(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.99])
def test_load_rejects_a_truncated_file(good: Path, share: float) -> None:
    content = good.read_bytes()
    good.write_bytes(content[: int(len(content) * share)])
    assert "damaged" in failure(good).why


def test_load_rejects_a_missing_last_byte(good: Path) -> None:
    good.write_bytes(good.read_bytes()[:-1])
    assert "damaged" in failure(good).why


@given(content=st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_load_rejects_random_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("random") / "model.safetensors"
    path.write_bytes(content)
    failure(path)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_load_rejects_a_pickle_without_running_it(tmp_path: Path, how: str) -> None:
    path, trace = tmp_path / "model.pt", tmp_path / "executed"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Bomb(trace)))
    else:
        content = {"model": Bomb(trace), "weight": torch.zeros(2)}
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    error = failure(path)
    assert "pickle" in error.why
    assert "best.safetensors" in error.fix
    assert not trace.exists()


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_load_rejects_foreign_safetensors(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2, 2)}, path, metadata=metadata)
    assert "not one of poetgen's" in failure(path).why


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", '"x"', "[" * 100_000])
def test_load_rejects_a_header_that_is_no_object(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.safetensors"
    metadata = {"poetgen": text, "poetgen.crc32": text_checksum(text)}
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    failure(path)


@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_load_rejects_unknown_versions(good: Path, version: object) -> None:
    rewrite(good, lambda header: header.update(format_version=version))
    error = failure(good)
    assert f"version {version}" in error.why
    assert "reads versions 1 and 2" in error.why
    assert "Install" in error.fix


@pytest.mark.parametrize(
    "model",
    [
        {"hidden_size": 9},
        {"embedding_size": 7},
        {"num_layers": 3},
        {"num_layers": 1},
        {"cell": "gru"},
        {"tie_embeddings": False},
    ],
    ids=str,
)
def test_load_rejects_weights_of_another_shape(good: Path, model: dict[str, Any]) -> None:
    rewrite(good, lambda header: header["config"]["model"].update(model))
    assert "its configuration asks for" in failure(good).why


def test_load_shape_error_names_the_tensor(good: Path) -> None:
    rewrite(good, change_arrays=lambda w: w.update(output_bias=np.zeros(14, np.float32)))
    error = failure(good)
    assert "output_bias: the file has F32 [14], its configuration asks for F32 [13]" in error.why


def test_load_rejects_missing_and_extra_tensors(good: Path) -> None:
    content = good.read_bytes()
    rewrite(good, change_arrays=lambda weights: weights.pop("embedding"))
    assert "embedding: the file has nothing" in failure(good).why
    good.write_bytes(content)
    rewrite(good, change_arrays=lambda weights: weights.update(extra=np.zeros(1, np.float32)))
    assert "extra: the file has F32 [1], its configuration asks for nothing" in failure(good).why


@pytest.mark.parametrize(
    "bad",
    [
        {"model": {"hidden_sizes": 8}},
        {"model": {"hidden_size": "8"}},
        {"model": {"hidden_size": -8}},
        {"model": 5},
        [],
        5,
        None,
    ],
    ids=str,
)
def test_load_rejects_an_invalid_configuration(good: Path, bad: object) -> None:
    rewrite(good, lambda header: header.update(config=bad))
    assert "damaged" in failure(good).why


def test_load_names_the_unknown_key(good: Path) -> None:
    rewrite(good, lambda header: header["config"]["model"].update(hidden_sizes=8))
    assert "hidden_sizes" in failure(good).why


def test_load_rejects_an_absurd_size(good: Path) -> None:
    rewrite(good, lambda header: header["config"]["model"].update(hidden_size=10**18))
    assert "damaged" in failure(good).why


@pytest.mark.parametrize(
    "symbols",
    [
        list(VOCAB.symbols[:-1]),
        [*VOCAB.symbols, "风"],
    ],
    ids=["shorter", "longer"],
)
def test_load_rejects_a_vocabulary_of_other_size(good: Path, symbols: list[str]) -> None:
    rewrite(good, lambda header: header.update(vocabulary=symbols))
    assert "its configuration asks for" in failure(good).why


@pytest.mark.parametrize(
    "symbols",
    [
        None,
        "山水",
        [1, 2, 3],
        [*VOCAB.symbols[:-1], 7],
        [*VOCAB.symbols[:-1], "山"],
        [*VOCAB.symbols[1:], "风"],
    ],
    ids=["none", "string", "numbers", "one number", "twice the same", "without the specials"],
)
def test_load_rejects_an_invalid_vocabulary(good: Path, symbols: object) -> None:
    rewrite(good, lambda header: header.update(vocabulary=symbols))
    assert "vocabulary" in failure(good).why


@pytest.mark.parametrize("metrics", [None, 5, [1], "x", {"epoch": "3"}], ids=str)
def test_load_rejects_invalid_metrics(good: Path, metrics: object) -> None:
    rewrite(good, lambda header: header.update(metrics=metrics))
    failure(good)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_load_rejects_a_weight_not_finite(good: Path, value: float) -> None:
    rewrite(good, change_arrays=lambda weights: weights["embedding"][2, 1:2].fill(value))
    assert "embedding has a value that is not a finite number" in failure(good).why


def test_load_rejects_a_weight_of_absurd_size(good: Path) -> None:
    rewrite(good, change_arrays=lambda weights: weights["output_bias"][:1].fill(-1e6))
    assert "output_bias has a value above 1000" in failure(good).why


def test_engine_that_does_not_fit_names_its_need(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_model(good)

    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(NetworkWeights, "from_arrays", refuse)
    with pytest.raises(ModelFileError, match=r"needs \d+ MB of memory") as caught:
        _ = bundle.engine
    assert "smaller model" in caught.value.fix


def write_error(path: Path) -> OutputError:
    with pytest.raises(OutputError) as caught:
        save_model(path, make_bundle())
    assert str(path) in caught.value.why
    assert caught.value.fix
    assert caught.value.exit_code == 1
    return caught.value


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_save_on_a_full_disk_keeps_the_old_file(good: Path, share: float) -> None:
    before = good.read_bytes()
    with files_no_larger_than(int(len(before) * share)):
        write_error(good)
    assert good.read_bytes() == before
    assert [file.name for file in good.parent.iterdir()] == [good.name]


def test_save_rejects_an_impossible_path(tmp_path: Path, good: Path) -> None:
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    write_error(folder)
    assert folder.is_dir()
    write_error(good / "below-a-file.safetensors")
    assert load_model(good)


def test_save_int8_is_small_close_and_stable(tmp_path: Path) -> None:
    whole, small = tmp_path / "whole.safetensors", tmp_path / "small.safetensors"
    original = make_bundle(hidden_size=64, embedding_size=48)
    save_model(whole, original)
    save_model(small, original, int8=True)
    assert small.stat().st_size < whole.stat().st_size / 2
    loaded = load_model(small)
    near_weights = loaded.fp32_weights()
    assert set(near_weights) == set(original.weights)
    for name, weight in original.weights.items():
        near = near_weights[name]
        assert near.dtype == np.float32
        if weight.ndim < 2:
            assert np.array_equal(near, weight), name
        else:
            # Half of the step, which is a 127th of the largest weight of the row.
            limit = np.abs(weight).max(axis=1, keepdims=True) / 127 / 2
            assert (np.abs(near - weight) <= limit * 1.001).all(), name
    again = tmp_path / "again.safetensors"
    save_model(again, loaded, int8=True)
    copy = load_model(again).weights
    assert set(copy) == set(loaded.weights)
    for name, array in loaded.weights.items():
        assert copy[name].tobytes() == array.tobytes(), name


TWO_TEXTS = tuple(
    LineBloomFilter.from_poems([Poem(text)])
    for text in ("山水云月，云月山水。", "月月月月，山山山山。")
)


def test_save_keeps_training_lines(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, replace(make_bundle(), training_lines=TWO_TEXTS), int8=True)
    first, second = load_model(path).training_lines
    assert "山水云月" in first
    assert "月月月月" in second
    assert "月月月月" not in first
    assert (first.num_lines, second.num_lines) == (2, 2)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([{"num_hashes": 0}], "0 hashes"),
        ([{"num_hashes": 65}], "65 hashes"),
        ([{"num_hashes": float("inf")}], "infinity"),
        ([{"num_lines": "many"}], "many"),
        ([{"tensor": "absent"}], "absent: the file has nothing"),
        ([{"tensor": ["a list"]}], "unhashable"),
        (["three"], "indices"),
        (5, "iterable"),
        ([], "training_lines.0: the file has U8"),
    ],
    ids=str,
)
def test_load_rejects_bad_training_lines(tmp_path: Path, lines: Any, why: str) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, replace(make_bundle(), training_lines=TWO_TEXTS[:1]))
    good = {"tensor": "training_lines.0", "num_hashes": 10, "num_lines": 2}
    if isinstance(lines, list):
        lines = [good | entry if isinstance(entry, dict) else entry for entry in lines]
    rewrite(path, lambda header: header.update(training_lines=lines))
    assert why in failure(path).why


@pytest.mark.parametrize(
    "lines", [[{"hashes": 3}], ["three"], [{"hashes": 3, "lines": 1}] * 2], ids=str
)
def test_load_rejects_bad_training_lines_of_version_1(tmp_path: Path, lines: Any) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, replace(make_bundle(), training_lines=TWO_TEXTS[:1]))
    downgrade(path)
    header, arrays = read(path)
    text = json.dumps({**header, "training_lines": lines})
    save_file({k: torch.from_numpy(v) for k, v in arrays.items()}, path, metadata={"poetgen": text})
    assert "damaged" in failure(path).why


@pytest.mark.parametrize("version", [1, 2])
def test_load_rejects_empty_bits_of_training_lines(tmp_path: Path, version: int) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, replace(make_bundle(), training_lines=TWO_TEXTS[:1]))
    rewrite(path, change_arrays=lambda arrays: arrays.update({LINES: np.zeros(0, np.uint8)}))
    if version == 1:
        downgrade(path)
    assert "asks for U8 [1]" in failure(path).why


@pytest.mark.parametrize(
    "key",
    ["config", "vocabulary", "corpus_fingerprint", "metrics", "training_lines", "tensors"],
)
def test_load_rejects_a_missing_header_key(good: Path, key: str) -> None:
    rewrite(good, lambda header: header.pop(key))
    assert f"its header has no {key}" in failure(good).why

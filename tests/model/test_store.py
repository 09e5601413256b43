"""The model file: what goes in comes out, and nothing else is let in."""

import json
import pickle
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from poetgen.config import Config, build_config
from poetgen.data.lines import LineSet
from poetgen.data.poem import MARKS, Poem
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.errors import ModelFileError, OutputError, PoetgenError
from poetgen.model.store import StoredModel, load_model, new_model, save_model
from tests.refusal import Bomb

VOCAB = Vocabulary((*SPECIALS, *MARKS, *"山水云月𠀋"))


def config(**shape: Any) -> Config:
    return build_config({"model": {"embedding_size": 6, "hidden_size": 8, **shape}})


def stored(corpus: str = "0123456789abcdef", **shape: Any) -> StoredModel:
    torch.manual_seed(3)
    chosen = config(**shape)
    metrics = {"epoch": 3.0, "valid_nats_per_token": 5.25}
    return StoredModel(new_model(chosen, VOCAB), VOCAB, chosen, corpus, metrics)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.safetensors"
    save_model(path, stored())
    return path


def failure(path: Path, kind: type[PoetgenError] = ModelFileError) -> PoetgenError:
    with pytest.raises(kind) as caught:
        load_model(path)
    error = caught.value
    assert type(error) is kind
    assert error.exit_code == 1
    assert str(path) in error.why
    for line in (error.why, error.fix):
        assert line
        assert "\n" not in line
    return error


def rewrite(
    path: Path,
    change_header: Callable[[dict[str, Any]], object] = bool,
    change_weights: Callable[[dict[str, torch.Tensor]], object] = bool,
) -> None:
    """The model file `path` again, with something changed (`bool` changes nothing)."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["poetgen"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change_header(header)
    change_weights(weights)
    save_file(weights, path, metadata={"poetgen": json.dumps(header)})


@contextmanager
def files_no_larger_than(num_bytes: int) -> Iterator[None]:
    """What a full disk is like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_round_trip_gives_back_everything(tmp_path: Path, cell: str, tied: bool) -> None:
    before = stored(
        cell=cell,
        tied=tied,
        num_layers=3,
        input_dropout=0.25,
        layer_dropout=0.25,
        output_dropout=0.25,
    )
    path = tmp_path / "runs" / "new" / "model.safetensors"
    save_model(path, before)
    after = load_model(path)
    assert after.vocab == VOCAB
    assert after.config == before.config
    assert after.corpus == "0123456789abcdef"
    assert after.metrics == {"epoch": 3.0, "valid_nats_per_token": 5.25}
    assert after.path == path
    weights, expected = after.model.state_dict(), before.model.state_dict()
    assert list(weights) == list(expected)
    for name, weight in weights.items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, expected[name]), name
    tokens = torch.tensor([[1, 8, 9, 4, 10, 11]])
    with torch.no_grad():
        # Not to the last bit: how weights lie in memory can turn a rounding.
        ours, theirs = after.model(tokens)[0], before.model.eval()(tokens)[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_loaded_model_is_ready_to_use_and_not_to_train(good: Path) -> None:
    model = load_model(good).model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_saving_leaves_no_other_file_and_replaces_the_old_one(good: Path) -> None:
    save_model(good, stored(num_layers=1))
    assert load_model(good).config.model.num_layers == 1
    assert [file.name for file in good.parent.iterdir()] == [good.name]


def test_model_in_half_precision_is_saved_in_fp32(tmp_path: Path) -> None:
    half = stored()
    half.model.to(torch.bfloat16)
    save_model(tmp_path / "half.safetensors", half)
    weights = load_model(tmp_path / "half.safetensors").model.state_dict()
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert torch.equal(weights["embedding"], half.model.embedding.float())


def test_file_loads_whatever_the_length_of_its_header(tmp_path: Path) -> None:
    """The header's length is the first number in the file, so any byte may stand first in it."""
    path = tmp_path / "model.safetensors"
    first_bytes = set()
    for length in range(0, 256, 8):
        save_model(path, stored("f" * length))
        first_bytes.add(path.read_bytes()[0])
        assert load_model(path).corpus == "f" * length
    assert first_bytes == set(range(0, 256, 8))


def test_missing_file(tmp_path: Path) -> None:
    error = failure(tmp_path / "none.safetensors")
    assert "there is no model file" in error.why
    assert "tang is the one that ships" in error.fix
    assert "--checkpoint" not in error.fix


def test_folder_is_no_model_file(tmp_path: Path) -> None:
    failure(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.99])
def test_truncated_file(good: Path, share: float) -> None:
    content = good.read_bytes()
    good.write_bytes(content[: int(len(content) * share)])
    assert "damaged" in failure(good).why


def test_file_short_of_its_last_byte(good: Path) -> None:
    good.write_bytes(good.read_bytes()[:-1])
    assert "damaged" in failure(good).why


@given(content=st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("random") / "model.safetensors"
    path.write_bytes(content)
    failure(path)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_pickle_is_refused_and_none_of_its_code_runs(tmp_path: Path, how: str) -> None:
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
def test_foreign_safetensors_file(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2, 2)}, path, metadata=metadata)
    assert "not one of poetgen's" in failure(path).why


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", '"x"', "[" * 100_000])
def test_header_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={"poetgen": text})
    failure(path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_other_format_version_names_both(good: Path, version: object) -> None:
    rewrite(good, lambda header: header.update(format_version=version))
    error = failure(good)
    assert f"version {version}" in error.why
    assert "reads version 1" in error.why
    assert "Install" in error.fix


@pytest.mark.parametrize(
    "model",
    [
        {"hidden_size": 9},
        {"embedding_size": 7},
        {"num_layers": 3},
        {"num_layers": 1},
        {"cell": "gru"},
        {"tied": False},
    ],
    ids=str,
)
def test_weights_that_do_not_fit_the_configuration(good: Path, model: dict[str, Any]) -> None:
    rewrite(good, lambda header: header["config"]["model"].update(model))
    assert "configuration says" in failure(good).why


def test_shape_error_gives_name_found_and_expected(good: Path) -> None:
    rewrite(good, change_weights=lambda w: w.update(output_bias=torch.zeros(14)))
    error = failure(good)
    assert "output_bias is (14,), the configuration says (13,)" in error.why


def test_missing_and_superfluous_weights(good: Path) -> None:
    content = good.read_bytes()
    rewrite(good, change_weights=lambda weights: weights.pop("embedding"))
    assert "embedding is None" in failure(good).why
    good.write_bytes(content)
    rewrite(good, change_weights=lambda weights: weights.update(extra=torch.zeros(1)))
    assert "extra is (1,)" in failure(good).why


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
def test_configuration_that_is_none(good: Path, bad: object) -> None:
    rewrite(good, lambda header: header.update(config=bad))
    assert "damaged" in failure(good).why


def test_fault_in_the_configuration_is_named(good: Path) -> None:
    rewrite(good, lambda header: header["config"]["model"].update(hidden_sizes=8))
    assert "hidden_sizes" in failure(good).why


def test_absurd_size_in_the_configuration(good: Path) -> None:
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
def test_vocabulary_of_another_length(good: Path, symbols: list[str]) -> None:
    rewrite(good, lambda header: header.update(vocabulary=symbols))
    assert "configuration says" in failure(good).why


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
def test_vocabulary_that_is_none(good: Path, symbols: object) -> None:
    rewrite(good, lambda header: header.update(vocabulary=symbols))
    assert "vocabulary" in failure(good).why


@pytest.mark.parametrize("metrics", [None, 5, [1], "x"], ids=str)
def test_metrics_that_are_none(good: Path, metrics: object) -> None:
    rewrite(good, lambda header: header.update(metrics=metrics))
    failure(good)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weight_that_is_no_finite_number(good: Path, value: float) -> None:
    rewrite(good, change_weights=lambda weights: weights["embedding"][2, 1:2].fill_(value))
    assert "not a finite number" in failure(good).why


def unwritable(path: Path) -> OutputError:
    with pytest.raises(OutputError) as caught:
        save_model(path, stored())
    assert str(path) in caught.value.why
    assert caught.value.fix
    assert caught.value.exit_code == 1
    return caught.value


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_full_disk_leaves_the_old_file_unharmed(good: Path, share: float) -> None:
    before = good.read_bytes()
    with files_no_larger_than(int(len(before) * share)):
        unwritable(good)
    assert good.read_bytes() == before
    assert [file.name for file in good.parent.iterdir()] == [good.name]


def test_target_that_cannot_be_a_file(tmp_path: Path, good: Path) -> None:
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    unwritable(folder)
    assert folder.is_dir()
    unwritable(good / "below-a-file.safetensors")
    assert load_model(good)


def test_int8_is_small_close_and_the_same_each_time(tmp_path: Path) -> None:
    whole, small = tmp_path / "whole.safetensors", tmp_path / "small.safetensors"
    original = stored(hidden_size=64, embedding_size=48)
    save_model(whole, original)
    save_model(small, original, int8=True)
    assert small.stat().st_size < whole.stat().st_size / 2
    loaded = load_model(small)
    for (name, weight), near in zip(
        original.model.state_dict().items(), loaded.model.state_dict().values(), strict=True
    ):
        assert near.dtype == torch.float32
        if weight.ndim < 2:
            assert torch.equal(near, weight), name
        else:
            # Half a step of 127 steps to the row's largest weight.
            limit = weight.abs().amax(dim=1, keepdim=True) / 127 / 2
            assert bool(((near - weight).abs() <= limit * 1.001).all()), name
    again = tmp_path / "again.safetensors"
    save_model(again, loaded, int8=True)
    for name, weight in load_model(again).model.state_dict().items():
        torch.testing.assert_close(weight, loaded.model.state_dict()[name], rtol=1e-6, atol=0)


def test_training_lines_come_back(tmp_path: Path) -> None:
    sets = tuple(
        LineSet.of([Poem(text)]) for text in ("山水云月，云月山水。", "月月月月，山山山山。")
    )
    path = tmp_path / "model.safetensors"
    save_model(path, replace(stored(), lines=sets), int8=True)
    first, second = load_model(path).lines
    assert "山水云月" in first
    assert "月月月月" in second
    assert "月月月月" not in first
    assert (first.num_lines, second.num_lines) == (2, 2)


@pytest.mark.parametrize(
    "header",
    [[{"hashes": 0, "lines": 1}], [{"hashes": 3}], ["three"], [{"hashes": 3, "lines": 1}] * 2],
)
def test_sets_of_training_lines_that_are_none(tmp_path: Path, header: Any) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, replace(stored(), lines=(LineSet.of([Poem("山水云月，云月山水。")]),)))
    rewrite(path, lambda values: values.update(training_lines=header))
    assert "training lines" in failure(path).why

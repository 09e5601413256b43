"""The format of model files: checksums, dtypes, and the migration of version 1."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from poetgen.config import Cell, ModelConfig
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.errors import ModelFileError
from poetgen.model.file import ModelBundle, load_model, save_model
from poetgen.model.format import TensorSpec, open_model_file, read_header, weight_shapes
from poetgen.model.network import PoemRNN
from poetgen.prosody.marks import MARKS
from poetgen.runs import BUNDLED
from tests.model.rewrite import downgrade, flip_bit, header_size, read, set_dtype, tensor_positions
from tests.model.test_file import make_bundle

LINES = LineBloomFilter.from_poems([Poem("山水云月，云月山水。")])
TENSORS = [
    "embedding",
    "embedding.scale",
    *(
        f"layers.{layer}.{name}"
        for layer in (0, 1)
        for name in (
            "bias_hh_l0",
            "bias_ih_l0",
            "weight_hh_l0",
            "weight_hh_l0.scale",
            "weight_ih_l0",
            "weight_ih_l0.scale",
        )
    ),
    "output_bias",
    "projection.bias",
    "projection.weight",
    "projection.weight.scale",
    "training_lines.0",
]


@pytest.fixture
def int8_bundle() -> ModelBundle:
    return replace(make_bundle(), training_lines=(LINES,))


@pytest.fixture
def int8_file(int8_bundle: ModelBundle, tmp_path: Path) -> Path:
    path = tmp_path / "int8.safetensors"
    save_model(path, int8_bundle, int8=True)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    assert str(path) in caught.value.why
    return caught.value.why


def test_header_states_every_tensor(int8_file: Path) -> None:
    header, arrays = read(int8_file)
    assert sorted(arrays) == sorted(header["tensors"]) == sorted(TENSORS)
    assert header["format_version"] == 2
    assert header["tensors"]["training_lines.0"]["dtype"] == "U8"
    assert header["tensors"]["embedding"]["dtype"] == "I8"
    assert header["tensors"]["embedding"]["shape"] == list(arrays["embedding"].shape)
    assert header["training_lines"] == [
        {"tensor": "training_lines.0", "num_hashes": LINES.num_hashes, "num_lines": 2}
    ]
    assert "corpus" not in header["config"]["data"]


@pytest.mark.parametrize("name", TENSORS)
def test_load_rejects_a_flipped_bit_by_name(int8_file: Path, name: str) -> None:
    content = int8_file.read_bytes()
    start = tensor_positions(int8_file)[name]
    last = start + read(int8_file)[1][name].nbytes - 1
    for position, bit in ((start, 0), (start, 7), (last, 3)):
        flip_bit(int8_file, position, bit)
        assert f"the values of {name} do not match" in refusal(int8_file)
        int8_file.write_bytes(content)
    assert load_model(int8_file)


def test_load_rejects_a_flipped_bit_in_the_header(int8_file: Path) -> None:
    content = int8_file.read_bytes()
    for position in range(0, 8 + header_size(int8_file), 7):
        flip_bit(int8_file, position, position % 8)
        refusal(int8_file)
        int8_file.write_bytes(content)


def test_load_rejects_a_changed_header_text(int8_file: Path) -> None:
    content = int8_file.read_bytes()
    int8_file.write_bytes(content.replace(b"5.25", b"5.26"))
    assert "its header does not match its checksum" in refusal(int8_file)
    int8_file.write_bytes(content.replace(b"poetgen.crc32", b"poetgen.crc33"))
    assert "its header has no checksum" in refusal(int8_file)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("embedding", "U8"),
        ("embedding.scale", "I32"),
        ("layers.0.bias_hh_l0", "U32"),
        ("layers.1.weight_hh_l0", "U8"),
        ("projection.bias", "I32"),
        ("training_lines.0", "I8"),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_load_rejects_a_swapped_dtype_by_name(
    int8_file: Path, name: str, dtype: str, version: int
) -> None:
    if version == 1:
        downgrade(int8_file)
        name = name.replace("lines.", "lines")
    set_dtype(int8_file, name, dtype)
    assert f"{name}: the file has {dtype}" in refusal(int8_file)


def test_load_rejects_a_changed_shape_by_name(int8_file: Path) -> None:
    size = header_size(int8_file)
    content = int8_file.read_bytes()
    text = content[8 : 8 + size]
    assert text.count(b'"shape":[32,8]') >= 1
    int8_file.write_bytes(
        content[:8] + text.replace(b'"shape":[32,8]', b'"shape":[8,32]') + content[8 + size :]
    )
    assert "layers.0.weight_hh_l0: the file has I8 [8, 32]" in refusal(int8_file)


@pytest.mark.parametrize("int8", [False, True])
def test_version_1_loads_as_version_2(
    int8_bundle: ModelBundle, tmp_path: Path, int8: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, int8_bundle, int8=int8)
    expected = load_model(path)
    downgrade(path)
    with caplog.at_level(logging.INFO):
        migrated = load_model(path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no checksums" in caplog.text
    assert (migrated.vocab, migrated.config) == (expected.vocab, expected.config)
    assert migrated.corpus_fingerprint == expected.corpus_fingerprint
    assert migrated.metrics == expected.metrics
    assert np.array_equal(migrated.training_lines[0].bits, LINES.bits)
    for name, weight in migrated.network.state_dict().items():
        assert torch.equal(weight, expected.network.state_dict()[name]), name


def test_version_1_has_no_checksums() -> None:
    header = read_header(BUNDLED)
    assert {spec.checksum for spec in header.tensors.values()} == {""}
    assert header.config.train.token_class_loss_weight == 10
    assert header.training_lines[0].num_hashes == 10


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_weight_shapes_are_those_of_the_network(cell: Cell, tied: bool, num_layers: int) -> None:
    config = ModelConfig(
        cell=cell, embedding_size=6, hidden_size=8, num_layers=num_layers, tie_embeddings=tied
    )
    state = PoemRNN(11, config).state_dict()
    assert weight_shapes(11, config) == {name: tuple(w.shape) for name, w in state.items()}


def test_open_model_file_verifies_on_read(int8_file: Path) -> None:
    flip_bit(int8_file, tensor_positions(int8_file)["output_bias"])
    with open_model_file(int8_file) as file:
        assert file.array("embedding").dtype == np.int8
        with pytest.raises(ModelFileError, match="output_bias"):
            file.array("output_bias")


def test_tensor_spec_depends_on_dtype_shape_and_bytes() -> None:
    arrays: list[Any] = [
        np.zeros((2, 3), np.int8),
        np.zeros((3, 2), np.int8),
        np.zeros((2, 3), np.uint8),
        np.ones((2, 3), np.int8),
        np.zeros((0, 3), np.int8),
    ]
    checksums = {TensorSpec.of(array).checksum for array in arrays}
    assert len(checksums) == len(arrays)


def test_vocabulary_is_stored_in_order(int8_file: Path) -> None:
    vocab = read_header(int8_file).vocab
    assert vocab == Vocabulary((*SPECIALS, *MARKS, *"山水云月𠀋"))

"""Model files with a changed content and valid checksums, and with damaged bytes."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from poetgen.model.format import TensorSpec, text_checksum

Arrays = dict[str, NDArray[Any]]


def read(path: Path) -> tuple[dict[str, Any], Arrays]:
    """The header and the tensors of the model file `path`."""
    with safe_open(path, framework="np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return json.loads(file.metadata()["poetgen"]), arrays


def rewrite(
    path: Path,
    change_header: Callable[[dict[str, Any]], object] = bool,
    change_arrays: Callable[[Arrays], object] = bool,
) -> None:
    """Change the model file `path` and update its checksums (`bool` changes nothing)."""
    header, arrays = read(path)
    change_arrays(arrays)
    header["tensors"] = {name: TensorSpec.of(array)._asdict() for name, array in arrays.items()}
    change_header(header)
    text = json.dumps(header)
    save_file(arrays, path, metadata={"poetgen": text, "poetgen.crc32": text_checksum(text)})


def downgrade(path: Path) -> None:
    """Rewrite the model file `path` in format version 1."""
    header, arrays = read(path)
    renamed = {"tie_embeddings": "tied", "variational_dropout": "locked"}
    model = {renamed.get(key, key): value for key, value in header["config"]["model"].items()}
    old = {
        "format_version": 1,
        "config": {**header["config"], "model": model},
        "vocabulary": header["vocabulary"],
        "corpus": header["corpus_fingerprint"],
        "metrics": header["metrics"],
        "training_lines": [
            {"hashes": lines["num_hashes"], "lines": lines["num_lines"]}
            for lines in header["training_lines"]
        ],
    }
    arrays = {name.replace("lines.", "lines"): array for name, array in arrays.items()}
    save_file(arrays, path, metadata={"poetgen": json.dumps(old)})


def header_size(path: Path) -> int:
    """The length of the safetensors header of `path`, which follows eight bytes with that number."""
    with path.open("rb") as stream:
        (size,) = struct.unpack("<Q", stream.read(8))
    return int(size)


def tensor_positions(path: Path) -> dict[str, int]:
    """The offset in the file of the first byte of each tensor."""
    size = header_size(path)
    header = json.loads(path.read_bytes()[8 : 8 + size])
    return {
        name: 8 + size + entry["data_offsets"][0]
        for name, entry in header.items()
        if name != "__metadata__"
    }


def flip_bit(path: Path, position: int, bit: int = 0) -> None:
    """Flip one bit of the byte at `position`."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def set_dtype(path: Path, name: str, dtype: str) -> None:
    """State another dtype of equal size in the safetensors header, and leave all other bytes."""
    size = header_size(path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + size])
    header[name]["dtype"] = dtype
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])

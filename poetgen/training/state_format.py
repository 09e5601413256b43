"""The layout of a training state: its parts, their types, and their checksums.

`StateParts.parse` turns the untyped content of a file into typed values, so nothing else handles values
that were not checked.  This module knows neither files nor trainers: `checkpoint` reads, writes, restores.

Checksums are CRC-32, as in a model file: they detect damage, not tampering.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from poetgen.data.bloom import LineBloomFilter
from poetgen.data.vocab import Vocabulary
from poetgen.language import tr
from poetgen.model.format import check_symbols
from poetgen.training.state import Progress

_DTYPES = {torch.float32: "F32", torch.uint8: "U8"}
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""The values that AdamW keeps for each weight."""
_LARGEST_COUNT = 2**53


@dataclass(frozen=True)
class StateParts:
    """The parts of a training state; each tensor is on the CPU, contiguous and finite."""

    network: dict[str, Tensor]
    ema: dict[str, Tensor]
    """Empty: the run has none."""
    optimizer: dict[int, dict[str, Tensor]]
    """The moments of each weight, by its index; empty before the first step."""
    progress: Progress
    vocabulary: Vocabulary
    """The vocabulary of the run, which may extend that of a pretrained model."""
    training_lines: tuple[LineBloomFilter, ...]
    """The lines of all text that the network is trained on."""
    dataset_fingerprint: str
    random_states: dict[str, Tensor]

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "StateParts":
        """Return the parts in `content`.

        Raises:
            ValueError: A part is missing, or a value has another type or an impossible value.
        """
        for part in fields(cls):
            if part.name not in content:
                raise ValueError(tr("it has no {part}", part=part.name))
        return cls(
            network=_weights("network", content["network"]),
            ema=_weights("ema", content["ema"]),
            optimizer=_moments(content["optimizer"]),
            progress=_progress(content["progress"]),
            vocabulary=check_symbols(content["vocabulary"]),
            training_lines=_training_lines(content["training_lines"]),
            dataset_fingerprint=_typed("dataset_fingerprint", content["dataset_fingerprint"], str),
            random_states=_random_states(content["random_states"]),
        )


def tensor_checksums(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the CRC-32 of each part without its tensors, and of each tensor, by name.

    The checksum of a tensor covers its dtype and shape.

    >>> sorted(tensor_checksums({"progress": {"step": 3}, "network": {"bias": torch.zeros(2)}}))
    ['network', 'network.bias', 'progress']
    """
    sums = {
        name: f"{zlib.crc32(repr(_skeleton(part)).encode()):08x}" for name, part in content.items()
    }
    for name, tensor in tensors_in(content):
        start = zlib.crc32(describe(tensor).encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        sums[name] = f"{zlib.crc32(flat.numpy().data, start):08x}"
    return sums


def tensors_in(content: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested dicts, lists and tuples, with their keys joined by dots."""
    if isinstance(content, Tensor):
        yield name, content
        return
    items: Any = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list | tuple):
        items = enumerate(content)
    for key, value in items:
        yield from tensors_in(value, f"{name}.{key}" if name else str(key))


def describe(tensor: Tensor | None) -> str:
    """Return dtype and shape of a tensor in words.

    >>> describe(torch.zeros(2, 3))
    'F32 [2, 3]'
    """
    if tensor is None:
        return tr("nothing")
    return f"{_DTYPES.get(tensor.dtype, tensor.dtype)} {list(tensor.shape)}"


def check_layout(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless the values of `tensor` can be read as they are stored."""
    is_plain = tensor.layout is torch.strided and tensor.device.type == "cpu"
    # A tensor with overlapping elements could need any amount of memory to be read.
    if not is_plain or not tensor.is_contiguous() or tensor.dtype not in _DTYPES:
        raise ValueError(
            tr("{name} is not an array of F32 or U8: {found}", name=name, found=describe(tensor))
        )


def _skeleton(value: object) -> object:
    """Return a nested value with None in place of its tensors."""
    if isinstance(value, Tensor):
        return None
    if isinstance(value, dict):
        return {key: _skeleton(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_skeleton, value))
    return value


def _wrong(name: str, expected: str, value: object) -> ValueError:
    """Return the error to raise for a value of another type than the one `expected`."""
    found = describe(value) if isinstance(value, Tensor) else type(value).__name__
    return ValueError(
        tr("{name} is {found}, not {expected}", name=name, found=found, expected=expected)
    )


def _typed(name: str, value: Any, expected: type) -> Any:
    """Return `value` if it has exactly that type; else raise ValueError."""
    if type(value) is not expected:
        raise _wrong(name, expected.__name__, value)
    return value


def _mapping(name: str, value: object) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise _wrong(name, "dict", value)
    return value


def _array(name: str, value: object, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return `value`, a tensor of that dtype with finite values; else raise ValueError."""
    if not isinstance(value, Tensor) or value.dtype != dtype:
        raise _wrong(name, _DTYPES[dtype], value)
    check_layout(name, value)
    # Both extremes are NaN if a value is, and are found ten times as fast as by a test of each value.
    if value.numel() and not all(math.isfinite(one) for one in torch.aminmax(value)):
        raise ValueError(tr("{tensor} has a value that is not a finite number", tensor=name))
    return value


def _weights(part: str, value: object) -> dict[str, Tensor]:
    weights = _mapping(part, value)
    return {_typed(part, name, str): _array(f"{part}.{name}", one) for name, one in weights.items()}


def _moments(value: object) -> dict[int, dict[str, Tensor]]:
    """Return the moments in the state of an AdamW; the settings of its groups are not used."""
    states = _mapping("optimizer.state", _mapping("optimizer", value).get("state"))
    for index, moments in states.items():
        name = f"optimizer.state.{index}"
        _typed(name, index, int)
        if set(_mapping(name, moments)) != _MOMENTS:
            raise ValueError(tr("{name} is not a state of AdamW", name=name))
        for key, moment in moments.items():
            _array(f"{name}.{key}", moment)
            if key != "exp_avg" and moment.numel() and float(moment.min()) < 0:
                raise _impossible(f"{name}.{key}", float(moment.min()))
    return states


def _progress(value: object) -> Progress:
    values = _mapping("progress", value)
    for name in (one.name for one in fields(Progress)):
        if name not in values:
            raise ValueError(tr("it has no {part}", part=f"progress.{name}"))
        is_loss = name in ("epoch_nats", "best_nats_per_token")
        if values[name] is None and name == "best_nats_per_token":
            continue
        if type(values[name]) not in ((int, float) if is_loss else (int,)):
            raise _wrong(f"progress.{name}", "float" if is_loss else "int", values[name])
        if not 0 <= values[name] <= _LARGEST_COUNT:  # nor is NaN
            raise _impossible(f"progress.{name}", values[name])
    if values["best_epoch"] > values["epoch"]:
        raise _impossible("progress.best_epoch", values["best_epoch"])
    try:
        return Progress(**values)
    except TypeError as error:  # an unknown key
        raise ValueError(str(error)) from error


def _training_lines(value: object) -> tuple[LineBloomFilter, ...]:
    filters = []
    for index, lines in enumerate(_typed("training_lines", value, list)):
        name = f"training_lines.{index}"
        if len(_typed(name, lines, tuple)) != 3:
            raise _impossible(name, len(lines))
        bits = _array(f"{name}.0", lines[0], torch.uint8)
        for number, one in enumerate(lines[1:], start=1):
            if not 0 <= _typed(f"{name}.{number}", one, int) <= _LARGEST_COUNT:
                raise _impossible(f"{name}.{number}", one)
        filters.append(LineBloomFilter(bits.numpy(), lines[1], lines[2]))
    return tuple(filters)


def _random_states(value: object) -> dict[str, Tensor]:
    states = _mapping("random_states", value)
    for name, state in states.items():
        _array(f"random_states.{name}", state, torch.uint8)
    try:
        torch.Generator().set_state(states["cpu"])
    except (KeyError, RuntimeError) as error:
        name = "random_states.cpu"
        raise ValueError(tr("{name} is no state of a random generator", name=name)) from error
    return states


def _impossible(name: str, value: object) -> ValueError:
    """Return the error to raise for a value that has the right type, but cannot occur."""
    return ValueError(tr("{name} cannot be {value}", name=name, value=repr(value)[:40]))

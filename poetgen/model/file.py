"""Save and load a model: its network, and everything that sampling and scoring need with it.

Weights are stored in fp32, or matrices as int8 with a scale per row, a quarter of the size.  Loading
runs no code from the file and checks every shape, dtype and checksum before a value is used; the
format itself is in `poetgen.model.format`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file
from torch import Tensor

from poetgen.config import Config
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.vocab import Vocabulary
from poetgen.engine.quantize import SCALE, quantize_weights
from poetgen.files import atomic_write
from poetgen.language import tr
from poetgen.model.format import (
    FileHeader,
    LineFilterSpec,
    OpenModelFile,
    TensorSpec,
    damaged,
    open_model_file,
    weight_shapes,
)
from poetgen.model.network import PoemRNN, choose_device


@dataclass(frozen=True)
class ModelBundle:
    """A network with its vocabulary, configuration and origin.

    bundle = load_model(Path("best.safetensors"))
    logits, state = bundle.network.step(tokens, bundle.network.zero_state(1))
    """

    network: PoemRNN
    vocab: Vocabulary
    config: Config
    corpus_fingerprint: str
    """Fingerprint of the training corpus."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Measurements at the time of saving, such as valid_nats_per_token."""
    training_lines: tuple[LineBloomFilter, ...] = ()
    """Lines of the training text: one filter per training run that contributed to the weights."""
    path: Path | None = None


def save_model(path: Path, bundle: ModelBundle, *, int8: bool = False) -> None:
    """Write `bundle` to `path` atomically, in fp32, or with its matrices in `int8`.

    Raises:
        OutputError: the file cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, tensor in bundle.network.state_dict().items():
        arrays[name] = tensor.detach().float().cpu().contiguous().numpy()
        if int8 and tensor.ndim == 2:
            arrays[name], arrays[name + SCALE] = quantize_weights(arrays[name])
    training_lines = []
    for index, lines in enumerate(bundle.training_lines):
        name = f"training_lines.{index}"
        arrays[name] = lines.bits
        training_lines.append(LineFilterSpec(name, lines.num_hashes, lines.num_lines))
    header = FileHeader(
        bundle.config,
        bundle.vocab,
        bundle.corpus_fingerprint,
        bundle.metrics,
        tuple(training_lines),
        {name: TensorSpec.of(array) for name, array in arrays.items()},
    )
    atomic_write(path, lambda part: _save(arrays, part, header))


def _save(arrays: dict[str, NDArray[Any]], part: Path, header: FileHeader) -> None:
    try:
        save_file(arrays, part, metadata=header.to_metadata())
    except SafetensorError as error:  # how safetensors reports an I/O error
        raise OSError(str(error)) from error


def load_model(path: Path, device: str = "cpu") -> ModelBundle:
    """Return the model in `path` on `device` (see `choose_device`), in evaluation mode, in fp32.

    Raises:
        ModelFileError: missing, damaged, a pickle, of an unknown format version, or inconsistent.
    """
    with open_model_file(path) as file:
        header = file.header
        weights = {
            name: _weight(file, name)
            for name in weight_shapes(len(header.vocab.symbols), header.config.model)
        }
        training_lines = tuple(
            LineBloomFilter(file.array(lines.tensor), lines.num_hashes, lines.num_lines)
            for lines in header.training_lines
        )
        with torch.device("meta"):  # no memory, no random draws: the weights are assigned
            network = PoemRNN(len(header.vocab.symbols), header.config.model)
        network.load_state_dict(weights, assign=True)
    if device != "cpu":
        network.to(choose_device(device))
    return ModelBundle(
        network.eval().requires_grad_(False),
        header.vocab,
        header.config,
        header.corpus_fingerprint,
        header.metrics,
        training_lines,
        path,
    )


def _weight(file: OpenModelFile, name: str) -> Tensor:
    # Copied to torch's own memory: rounding depends on the alignment of the operands.
    weight = torch.tensor(file.array(name), dtype=torch.float32)
    if name + SCALE in file.header.tensors:
        weight *= torch.tensor(file.array(name + SCALE))
    if not bool(weight.isfinite().all()):
        why = tr("{tensor} has a value that is not a finite number", tensor=name)
        raise damaged(file.path, why)
    return weight

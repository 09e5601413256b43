"""A model and its file: the weights, and everything that sampling and scoring need with them.

Weights are arrays: in fp32, or matrices as int8 with a scale per row, a quarter of the size.  A bundle
makes the network of `poetgen.engine` from them, which generates and scores, and the network of torch,
which trains and has gradients, each when it is first asked for.  Loading runs no code from the file and
checks every shape, dtype and checksum before a value is used; the format itself is in
`poetgen.model.format`.  Does not import torch.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from poetgen.config import Config
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.vocab import Vocabulary
from poetgen.engine.network import Network, NetworkWeights
from poetgen.engine.quantize import SCALE, quantize_weights
from poetgen.errors import ModelFileError
from poetgen.files import atomic_write, warn_of_no_checksums
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

_PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the bundled model, which is verified when the package is installed."""
_LARGEST = 1000.0
"""Limit of a weight, a bias or a scale."""

if TYPE_CHECKING:
    from poetgen.model.network import PoemRNN


@dataclass(frozen=True)
class ModelBundle:
    """The weights of a network with its vocabulary, configuration and origin.

    bundle = load_model(Path("best.safetensors"))
    features, state = bundle.engine.step(tokens_B, bundle.engine.zero_state(1))
    """

    weights: Mapping[str, NDArray[Any]]
    """The arrays of a model file: fp32, or int8 with the scale of each row."""
    vocab: Vocabulary
    config: Config
    corpus_fingerprint: str
    """Fingerprint of the training corpus."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Measurements at the time of saving, such as valid_nats_per_token."""
    training_lines: tuple[LineBloomFilter, ...] = ()
    """Lines of the training text: one filter per training run that contributed to the weights."""
    path: Path | None = None
    device: str = "cpu"
    """The device to compute on."""

    @cached_property
    def engine(self) -> Network:
        """The network in exact arithmetic."""
        with _memory_errors_explained(self.path, self.weights):
            weights = NetworkWeights.from_arrays(self.weights, self.config.model)
            network = Network(weights, self.config.model)
        if self.device != "cpu":
            from poetgen.engine.torch_products import TorchProducts

            network.use(TorchProducts(self.device))
        return network

    def with_engine(self, engine: Network) -> "ModelBundle":
        """Return a bundle that computes with another network, such as one with a clamped gate."""
        bundle = replace(self)
        bundle.__dict__["engine"] = engine  # in place of the one that would be made
        return bundle

    @cached_property
    def network(self) -> "PoemRNN":
        """The network of torch, in evaluation mode, in fp32."""
        from poetgen.model.network import network_from_arrays

        return network_from_arrays(self.fp32_weights(), self.config.model, self.device)

    def fp32_weights(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights in fp32, by the names of torch."""
        return {
            name: self.weights[name] * self.weights[name + SCALE]
            if name + SCALE in self.weights
            else self.weights[name]
            for name in weight_shapes(len(self.vocab), self.config.model)
        }


def save_model(path: Path, bundle: ModelBundle, *, int8: bool = False) -> None:
    """Write `bundle` to `path` atomically, in fp32, or with its matrices in `int8`.

    Raises:
        OutputError: the file cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, weight in bundle.fp32_weights().items():
        if not int8 or weight.ndim < 2:
            arrays[name] = weight
        elif name + SCALE in bundle.weights:
            arrays |= {one: bundle.weights[one] for one in (name, name + SCALE)}
        else:
            arrays[name], arrays[name + SCALE] = quantize_weights(weight)
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
    """Return the model in `path`, to be computed on `device` (see `choose_device`).

    Raises:
        ModelFileError: missing, damaged, a pickle, of an unknown format version, or inconsistent.
    """
    if device != "cpu":
        from poetgen.model.network import choose_device

        device = str(choose_device(device))
    with open_model_file(path) as file:
        header = file.header
        is_verified = all(spec.checksum for spec in header.tensors.values())
        if not is_verified and not path.resolve().is_relative_to(_PACKAGE):
            warn_of_no_checksums(path)
        training_lines = tuple(
            LineBloomFilter(file.array(lines.tensor), lines.num_hashes, lines.num_lines)
            for lines in header.training_lines
        )
        filters = {lines.tensor for lines in header.training_lines}
        weights = {name: _weight(file, name) for name in header.tensors if name not in filters}
    return ModelBundle(
        weights,
        header.vocab,
        header.config,
        header.corpus_fingerprint,
        header.metrics,
        training_lines,
        path,
        device,
    )


def _weight(file: OpenModelFile, name: str) -> NDArray[Any]:
    weight = file.array(name)
    if not np.isfinite(weight).all():
        why = tr("{tensor} has a value that is not a finite number", tensor=name)
        raise damaged(file.path, why)
    if weight.dtype != np.int8 and np.abs(weight).max(initial=0) > _LARGEST:
        # The conversion of such sums to whole numbers differs between machines.
        raise damaged(
            file.path, tr("{tensor} has a value above {limit}", tensor=name, limit=_LARGEST)
        )
    return weight


@contextmanager
def _memory_errors_explained(
    path: Path | None, weights: Mapping[str, NDArray[Any]]
) -> Iterator[None]:
    """Raise a `ModelFileError` that names the need where memory runs out."""
    try:
        yield
    except MemoryError as error:
        # The engine has each value as int8, and as fp32 for numpy's products.
        num_bytes = sum(weight.nbytes + 5 * weight.size for weight in weights.values())
        raise ModelFileError(
            tr("{path} needs {size:,} MB of memory", path=path, size=num_bytes // 10**6 + 1),
            tr("Close other programs, or choose a smaller model."),
        ) from error

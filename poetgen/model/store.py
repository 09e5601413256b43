"""The model file: one `.safetensors` that holds all that sampling and scoring need.

Weights are the tensors, and beside them the set of training lines; format version, configuration,
vocabulary in order, corpus fingerprint and metrics are a JSON text in the header.  Matrices may be
stored as int8 with a scale per row, a quarter of the size.  Loading executes nothing from the file
and checks every shape against the configuration before a number is used.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from poetgen.config import Config, build_config
from poetgen.data.conditions import TITLE, known_authors, known_forms
from poetgen.data.lines import LineSet
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.errors import ConfigError, ModelFileError
from poetgen.files import write_whole
from poetgen.model.lstm import PoemLSTM

FORMAT_VERSION = 1
_HEADER_KEY = "poetgen"
_LINES = "training_lines"
_SCALE = ".scale"
_PLACES = {"data": {"corpus", "extra"}, "train": {"init"}}
_FIX = "Name another model (tang is the one that ships), or train one: poetgen train"


@dataclass(frozen=True)
class StoredModel:
    """A model and what belongs to it."""

    model: PoemLSTM
    vocab: Vocabulary
    config: Config
    corpus: str
    """Fingerprint of the corpus it was trained on."""
    metrics: dict[str, float] = field(default_factory=dict)
    """What was measured when it was saved, such as valid_nats_per_token."""
    lines: tuple[LineSet, ...] = ()
    """The lines of its training text: a set for each training that went into it."""
    path: Path | None = None


def new_model(config: Config, vocab: Vocabulary) -> PoemLSTM:
    """A network of the configured shape with fresh weights (from torch's global generator)."""
    return PoemLSTM(len(vocab), **config.model.model_dump(exclude={"embedding_init"}))


def save_model(path: Path, stored: StoredModel, *, int8: bool = False) -> None:
    """Write `stored` whole, in fp32, or its matrices in `int8`.

    Raises:
        OutputError: it cannot be written.
    """
    header = {
        "format_version": FORMAT_VERSION,
        # Where the corpus lay is its owner's business, and no use elsewhere.
        "config": stored.config.model_dump(exclude=_PLACES),
        "vocabulary": list(stored.vocab.symbols),
        "corpus": stored.corpus,
        "metrics": stored.metrics,
        _LINES: [{"hashes": s.num_hashes, "lines": s.num_lines} for s in stored.lines],
    }
    tensors = {
        name: tensor.detach().float().cpu().contiguous()
        for name, tensor in stored.model.state_dict().items()
    }
    if int8:
        tensors = _to_int8(tensors)
    tensors |= {_LINES + str(i): torch.from_numpy(s.bits) for i, s in enumerate(stored.lines)}
    text = json.dumps(header, ensure_ascii=False)
    write_whole(path, lambda part: _save(tensors, part, text))


def _to_int8(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each matrix as whole numbers from −127 to 127 and, per row, what 1 of them stands for."""
    small = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2:
            small[name] = tensor
            continue
        scale = tensor.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
        small[name] = (tensor / scale).round().to(torch.int8)
        small[name + _SCALE] = scale
    return small


def _save(tensors: dict[str, torch.Tensor], part: Path, header: str) -> None:
    try:
        save_file(tensors, part, metadata={_HEADER_KEY: header})
    except SafetensorError as error:  # its way of reporting an I/O error
        raise OSError(str(error)) from error


def load_model(path: Path) -> StoredModel:
    """The model in `path`, on the CPU, in evaluation mode, in fp32.

    Raises:
        ModelFileError: missing, damaged, a pickle, of another format version, or inconsistent.
    """
    _refuse_strangers(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = _read_header(path, (file.metadata() or {}).get(_HEADER_KEY))
            config, vocab = _read_config(path, header), _read_vocabulary(path, header)
            metrics = header.get("metrics", {})
            if not isinstance(metrics, dict):
                raise _damaged(path, "its metrics are not an object")
            with torch.device("meta"):
                model = new_model(config, vocab)
            expected = {name: tuple(t.shape) for name, t in model.state_dict().items()}
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            lines = _read_lines(path, header, file)
            shapes = {name: s for name, s in shapes.items() if not name.startswith(_LINES)}
            scales = {name + _SCALE: (s[0], 1) for name, s in expected.items() if s}
            expected |= {name: shape for name, shape in scales.items() if name in shapes}
            if shapes != expected:
                name = min(n for n in shapes | expected if shapes.get(n) != expected.get(n))
                found, wanted = shapes.get(name), expected.get(name)
                raise _damaged(path, f"{name} is {found}, the configuration says {wanted}")
            # Cloned: tensors come as views into the file, and unaligned ones round differently.
            tensors = {name: file.get_tensor(name).float().clone() for name in expected}
            weights = {
                name: tensor * tensors[name + _SCALE] if name + _SCALE in tensors else tensor
                for name, tensor in tensors.items()
                if not name.endswith(_SCALE)
            }
    except (SafetensorError, OSError, RuntimeError, OverflowError) as error:
        raise _damaged(path, str(error)) from error
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise _damaged(path, "a weight is not a finite number")
    model.load_state_dict(weights, assign=True)
    return StoredModel(
        model.eval().requires_grad_(False),
        vocab,
        config,
        str(header.get("corpus", "")),
        metrics,
        lines,
        path,
    )


def describe(stored: StoredModel) -> dict[str, Any]:
    """What there is to know of a model, as JSON values: the card in its own file."""
    config = stored.config.model_dump(exclude=_PLACES)
    return {
        "file": str(stored.path),
        "bytes": stored.path.stat().st_size if stored.path else None,
        "weights": sum(parameter.numel() for parameter in stored.model.parameters()),
        "symbols": len(stored.vocab),
        "hanzi": stored.vocab.num_hanzi,
        "trained_on": stored.corpus,
        "training_lines": sum(lines.num_lines for lines in stored.lines),
        "can_be_told": {
            "form": known_forms(stored.vocab),
            "title": TITLE in stored.vocab.ids,
            "author": known_authors(stored.vocab),
        },
        "metrics": stored.metrics,
        **config,
    }


def _refuse_strangers(path: Path) -> None:
    if not path.is_file():
        raise ModelFileError(f"there is no model file {path}", _FIX)
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}", _FIX) from error
    # A safetensors file begins with eight bytes of length and a brace.
    if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise ModelFileError(
            f"{path} is a pickle, not a .safetensors model file; pickles can run code, so none is read",
            "Use the run's best.safetensors, or name another model (tang is the one that ships).",
        )


def _read_header(path: Path, text: str | None) -> dict[str, Any]:
    if text is None:
        raise ModelFileError(f"{path} is a safetensors file, but not one of poetgen's", _FIX)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not JSON: {error}") from error
    version = header.get("format_version") if isinstance(header, dict) else None
    if version != FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version}; this poetgen reads version {FORMAT_VERSION}",
            "Install the poetgen that wrote it, or name another model (tang is the one that ships).",
        )
    return dict(header)


def _read_config(path: Path, header: dict[str, Any]) -> Config:
    try:
        return build_config(header.get("config", {}), origin=f"the configuration in {path}")
    except (ConfigError, TypeError, AttributeError) as error:
        why = error.why if isinstance(error, ConfigError) else str(error)
        raise _damaged(path, " ".join(why.split())) from error


def _read_vocabulary(path: Path, header: dict[str, Any]) -> Vocabulary:
    symbols = header.get("vocabulary")
    if (
        not isinstance(symbols, list)
        or not all(isinstance(symbol, str) for symbol in symbols)
        or tuple(symbols[: len(SPECIALS)]) != SPECIALS
        or len(set(symbols)) != len(symbols)
    ):
        raise _damaged(path, "its vocabulary is not a list of distinct symbols")
    return Vocabulary(tuple(symbols))


def _read_lines(path: Path, header: dict[str, Any], file: Any) -> tuple[LineSet, ...]:
    sets = []
    try:
        for number, counts in enumerate(header.get(_LINES, [])):
            bits, num_hashes = file.get_tensor(f"{_LINES}{number}"), int(counts["hashes"])
            if bits.dtype != torch.uint8 or bits.ndim != 1 or not 1 <= num_hashes <= 64:
                raise ValueError(f"set {number} is none")
            sets.append(LineSet(bits.numpy(), num_hashes, int(counts["lines"])))
    except (TypeError, KeyError, ValueError, SafetensorError) as error:
        raise _damaged(path, f"its sets of training lines: {error}") from error
    return tuple(sets)


def _damaged(path: Path, why: str) -> ModelFileError:
    return ModelFileError(f"{path} is damaged or not a model file: {why}", _FIX)

"""The training state `last.pt`: everything that an exact resume needs.

Format version 4 has the keys format_version, network, ema, optimizer, progress, vocabulary,
training_lines, dataset_fingerprint, random_states and checksums.  Version 3 has no checksums, version 2
has other names; both are read.  `state_format` has the types of all parts.
"""

import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from poetgen.errors import ModelFileError
from poetgen.files import atomic_write, warn_of_no_checksums
from poetgen.language import tr
from poetgen.training.optim import learning_rate_at
from poetgen.training.state import Trainer
from poetgen.training.state_format import (
    StateParts,
    check_layout,
    describe,
    tensor_checksums,
    tensors_in,
)

FORMAT_VERSION = 4
_CHECKSUMS = "checksums"
_RENAMED_KEYS = {
    "model": "network",
    "averages": "ema",
    "optimiser": "optimizer",
    "lines": "training_lines",
    "data_fingerprint": "dataset_fingerprint",
}
"""The keys of format version 2 and their names today."""


@dataclass(frozen=True)
class TrainingState:
    """The content of a `last.pt`, verified but not restored yet."""

    path: Path
    parts: StateParts


def save_training_state(path: Path, trainer: Trainer) -> None:
    """Write the state of `trainer` atomically: a kill leaves the previous state or this one.

    Raises:
        OutputError: The file cannot be written.
    """
    state: dict[str, Any] = {
        "network": trainer.network.state_dict(),
        "ema": trainer.ema.weights,
        "optimizer": trainer.optimizer.state_dict(),
        "progress": asdict(trainer.progress),
        "vocabulary": list(trainer.vocab.symbols),
        "training_lines": [
            (torch.from_numpy(lines.bits), lines.num_hashes, lines.num_lines)
            for lines in trainer.training_lines
        ],
        "dataset_fingerprint": trainer.dataset.fingerprint,
        "random_states": {"cpu": torch.get_rng_state()},
    }
    device = trainer.network.device
    if device.type == "cuda":
        state["random_states"]["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["random_states"]["mps"] = torch.mps.get_rng_state()
    versioned = {"format_version": FORMAT_VERSION, **state, _CHECKSUMS: tensor_checksums(state)}
    atomic_write(path, lambda part: _save(versioned, part))


def _save(state: dict[str, Any], part: Path) -> None:
    try:
        torch.save(state, part)
    except RuntimeError as error:  # torch's error for a full disk
        raise OSError(str(error)) from error


def read_training_state(path: Path) -> TrainingState:
    """Read and verify the state in `path` without restoring it.

    Raises:
        ModelFileError: The file is missing, damaged or of an unsupported version.
    """
    content = _read(path)
    try:
        parts = StateParts.parse(content)
    except (ValueError, OverflowError, RuntimeError) as error:
        raise _damaged(path, str(error)) from error
    return TrainingState(path, parts)


def restore(state: TrainingState, trainer: Trainer) -> None:
    """Restore the weights, EMA, optimizer and progress of `trainer`, and the random generators.

    The optimizer's settings, such as weight decay, stay those of the trainer's configuration.

    Raises:
        ModelFileError: The state is of another architecture or dataset; nothing was restored.
    """
    path, parts = state.path, state.parts
    network, optimizer = trainer.network, trainer.optimizer
    if parts.dataset_fingerprint != trainer.dataset.fingerprint:
        raise ModelFileError(
            tr("{path} was trained on another corpus, or on its poems in another order", path=path),
            tr("Resume with the corpus of the run, or start a new run with --run NAME."),
        )
    _check_shapes(path, "network", parts.network, network.state_dict())
    if trainer.ema.weights:
        _check_shapes(path, "ema", parts.ema, trainer.ema.weights)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if parts.optimizer:
        for moment in ("exp_avg", "exp_avg_sq"):
            found = {str(index): moments[moment] for index, moments in parts.optimizer.items()}
            wanted = {str(index): weight for index, weight in enumerate(weights)}
            _check_shapes(path, f"optimizer.{moment}", found, wanted)
    network.load_state_dict(parts.network)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": parts.optimizer, "param_groups": groups})
    for name, average in trainer.ema.weights.items():
        average.copy_(parts.ema[name])
    # A run resumed on another type of device continues with other dropout masks.
    random_states = parts.random_states
    torch.set_rng_state(random_states["cpu"])
    try:
        if network.device.type == "cuda" and "cuda" in random_states:
            torch.cuda.set_rng_state(random_states["cuda"], network.device)
        elif network.device.type == "mps" and "mps" in random_states:
            torch.mps.set_rng_state(random_states["mps"])
    except RuntimeError as error:
        raise _damaged(path, str(error)) from error
    trainer.progress = parts.progress
    if parts.progress.step:
        # That of the last step: a run with no step left saves it again.
        last_step = parts.progress.step - 1
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(last_step, trainer.total_steps, trainer.config.train)


def migrate(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `content` of a version 2 state with the keys of today."""
    return {_RENAMED_KEYS.get(key, key): value for key, value in content.items()}


def _check_shapes(
    path: Path, part: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    """Raise a ModelFileError for the first tensor that is missing, unknown or of another shape."""
    for name in dict.fromkeys([*wanted, *found]):
        has, needs = found.get(name), wanted.get(name)
        if has is None or needs is None or has.shape != needs.shape:
            raise ModelFileError(
                tr(
                    "{path} does not fit this run: {tensor} is {found}, not {wanted}",
                    path=path,
                    tensor=f"{part}.{name}",
                    found=describe(has),
                    wanted=describe(needs),
                ),
                tr("Resume with the settings of the run, or start a new run with --run NAME."),
            )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelFileError(
            tr("there is no training state {path}", path=path),
            tr("Restart the run with --overwrite."),
        )
    try:
        num_bytes = _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about files that it did not write
            content = torch.load(path, map_location="cpu", weights_only=True)
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    except Exception as error:  # torch.load documents no exceptions: garbage raises several types
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    fingerprints = {"dataset_fingerprint", "data_fingerprint"}  # since version 3, before
    if not isinstance(content, dict) or not fingerprints & content.keys():
        raise _damaged(path, tr("it contains something else"))
    version = content.get("format_version")
    if type(version) is not int or version not in (2, 3, FORMAT_VERSION):
        raise ModelFileError(
            tr(
                "{path} has format version {version}; this poetgen reads versions 2 to {newest}",
                path=path,
                version=repr(version)[:40],
                newest=FORMAT_VERSION,
            ),
            tr(
                "Resume with the poetgen version that wrote it, or restart the run with --overwrite."
            ),
        )
    try:
        _check_content(path, content, num_bytes)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    return migrate(content) if version == 2 else content


def _check_archive(path: Path) -> int:
    """Return the number of bytes in the records of the archive `path`, which are verified.

    torch reads them without a test of size or checksum, and inflates compressed ones to any size.

    Raises:
        ValueError: A record is damaged, compressed or shared.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            num_bytes = sum(record.file_size for record in records)
            is_stored = all(record.compress_type == zipfile.ZIP_STORED for record in records)
            is_distinct = len(set(archive.namelist())) == len(records)
            if not (is_stored and is_distinct) or num_bytes > path.stat().st_size:
                raise ValueError(tr("its records are not those of a training state"))
            name = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(str(error)) from error
    if name is not None:
        raise ValueError(tr("the record {name} does not match its checksum", name=name))
    return num_bytes


def _check_content(path: Path, content: dict[str, Any], num_bytes: int) -> None:
    """Raise ValueError if a checksum differs; log a warning if the version has none.

    `num_bytes` is the size of the archive, which a tensor cannot exceed.
    """
    sizes = {}
    for name, tensor in tensors_in(content):
        check_layout(name, tensor)
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
    if sum(sizes.values()) > num_bytes:
        raise ValueError(tr("its tensors are larger than the file"))
    stated = content.get(_CHECKSUMS)
    if content["format_version"] != FORMAT_VERSION:
        if stated is not None:
            raise ValueError(tr("its format version does not match its content"))
        warn_of_no_checksums(path)
        return
    parts = {key: one for key, one in content.items() if key not in ("format_version", _CHECKSUMS)}
    found = tensor_checksums(parts)
    if not isinstance(stated, dict):
        raise ValueError(tr("it has no {part}", part=_CHECKSUMS))
    for name in dict.fromkeys([*found, *stated]):
        if name not in found:
            raise ValueError(tr("it has no {part}", part=name))
        if found[name] != stated.get(name):
            raise ValueError(tr("the values of {tensor} do not match their checksum", tensor=name))


def _damaged(path: Path, why: str) -> ModelFileError:
    why = " ".join(why.split())[:200]
    return ModelFileError(
        tr("{path} is damaged or not a training state: {why}", path=path, why=why),
        tr(
            "Restart the run with --overwrite; `poetgen sample` can still use its best.safetensors."
        ),
    )

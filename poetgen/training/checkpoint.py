"""The training state `last.pt`: everything that an exact resume needs.

Format version 3 has the keys format_version, network, ema, optimizer, progress, vocabulary,
training_lines, dataset_fingerprint and random_states.  Version 2 is migrated when read.
"""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from poetgen.data.bloom import LineBloomFilter
from poetgen.data.vocab import Vocabulary
from poetgen.errors import ModelFileError
from poetgen.files import atomic_write
from poetgen.language import tr
from poetgen.training.state import Progress, Trainer

FORMAT_VERSION = 3
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
    """The content of a `last.pt`, read but not restored yet."""

    path: Path
    content: dict[str, Any]
    vocab: Vocabulary
    """The vocabulary of the run, which may extend that of a pretrained model."""
    training_lines: tuple[LineBloomFilter, ...]
    """The lines of all text that the network is trained on."""


def save_training_state(path: Path, trainer: Trainer) -> None:
    """Write the state of `trainer` atomically: a kill leaves the previous state or this one.

    Raises:
        OutputError: The file cannot be written.
    """
    state: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
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
    atomic_write(path, lambda part: _save(state, part))


def _save(state: dict[str, Any], part: Path) -> None:
    try:
        torch.save(state, part)
    except RuntimeError as error:  # torch's error for a full disk
        raise OSError(str(error)) from error


def read_training_state(path: Path) -> TrainingState:
    """Read the state in `path` without restoring it.

    Raises:
        ModelFileError: The file is missing, damaged or of an unsupported version.
    """
    content = _read(path)
    try:
        if not isinstance(content["vocabulary"], list):
            raise TypeError("the vocabulary is not a list")
        vocab = Vocabulary(tuple(content["vocabulary"]))
        training_lines = tuple(
            LineBloomFilter(bits.numpy(), num_hashes, num_lines)
            for bits, num_hashes, num_lines in content["training_lines"]
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = tr("its vocabulary or training lines: {reason}", reason=error)
        raise _damaged(path, why) from error
    return TrainingState(path, content, vocab, training_lines)


def restore(state: TrainingState, trainer: Trainer) -> None:
    """Restore the weights, EMA, optimizer and progress of `trainer`, and the random generators.

    The optimizer's settings, such as weight decay, stay those of the trainer's configuration.

    Raises:
        ModelFileError: The state is damaged, or it is of another architecture or dataset.
    """
    path, content = state.path, state.content
    network, optimizer = trainer.network, trainer.optimizer
    if content["dataset_fingerprint"] != trainer.dataset.fingerprint:
        raise ModelFileError(
            tr("{path} was trained on another corpus, or on its poems in another order", path=path),
            tr("Resume with the corpus of the run, or start a new run with --run NAME."),
        )
    try:
        network.load_state_dict(content["network"])
        # Loading would undo what the command line changed for this resume.
        settings = [_settings(group) for group in optimizer.param_groups]
        optimizer.load_state_dict(content["optimizer"])
        for group, setting in zip(optimizer.param_groups, settings, strict=True):
            group.update(setting)
        progress = Progress(**content["progress"])
        for name, average in trainer.ema.weights.items():
            average.copy_(content["ema"][name])
        # A run resumed on another type of device continues with other dropout masks.
        random_states = content["random_states"]
        torch.set_rng_state(random_states["cpu"])
        if network.device.type == "cuda" and "cuda" in random_states:
            torch.cuda.set_rng_state(random_states["cuda"], network.device)
        elif network.device.type == "mps" and "mps" in random_states:
            torch.mps.set_rng_state(random_states["mps"])
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(path, " ".join(str(error).split())[:200]) from error
    trainer.progress = progress


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def migrate(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `content` of a version 2 state as one of version 3."""
    migrated = {_RENAMED_KEYS.get(key, key): value for key, value in content.items()}
    return migrated | {"format_version": FORMAT_VERSION}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelFileError(
            tr("there is no training state {path}", path=path),
            tr("Restart the run with --overwrite."),
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about files that it did not write
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load documents no exceptions: garbage raises several types
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise _damaged(path, reason[:200]) from error
    fingerprints = {"dataset_fingerprint", "data_fingerprint"}  # since version 3, before
    if not isinstance(content, dict) or not fingerprints & content.keys():
        raise _damaged(path, tr("it contains something else"))
    version = content.get("format_version")
    if version == 2:
        content = migrate(content)
    elif version != FORMAT_VERSION:
        raise ModelFileError(
            tr(
                "{path} has format version {version}; this poetgen reads versions 2 and {newest}",
                path=path,
                version=version,
                newest=FORMAT_VERSION,
            ),
            tr(
                "Resume with the poetgen version that wrote it, or restart the run with --overwrite."
            ),
        )
    return dict(content)


def _damaged(path: Path, why: str) -> ModelFileError:
    return ModelFileError(
        tr("{path} is damaged or not a training state: {why}", path=path, why=why),
        tr(
            "Restart the run with --overwrite; `poetgen sample` can still use its best.safetensors."
        ),
    )

"""The training state `last.pt`: everything an exact resume needs."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from poetgen.data.lines import LineSet
from poetgen.data.vocab import Vocabulary
from poetgen.errors import ModelFileError
from poetgen.files import write_whole
from poetgen.model.lstm import PoemLSTM

FORMAT_VERSION = 2


@dataclass
class Progress:
    """Where a training stands.  `epoch` and `batch` count what is done, so both name what is next."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    epoch_nats: float = 0.0
    """Summed since the epoch began."""
    epoch_tokens: int = 0
    best_nats_per_token: float | None = None
    best_epoch: int = 0

    @property
    def train_nats_per_token(self) -> float:
        """The mean over the epoch so far, with dropout."""
        return self.epoch_nats / max(1, self.epoch_tokens)

    def finish_epoch(self, valid_nats_per_token: float) -> bool:
        """Move to the next epoch; whether this one's validation is the best so far."""
        self.epoch += 1
        self.batch = 0
        self.epoch_nats, self.epoch_tokens = 0.0, 0
        best = self.best_nats_per_token
        better = math.isfinite(valid_nats_per_token) and (
            best is None or valid_nats_per_token < best
        )
        if better:
            self.best_nats_per_token, self.best_epoch = valid_nats_per_token, self.epoch
        return better

    @property
    def epochs_since_best(self) -> int:
        return self.epoch - self.best_epoch


def save_training_state(
    path: Path,
    model: PoemLSTM,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    vocab: Vocabulary,
    lines: Sequence[LineSet],
    data_fingerprint: str,
    averages: dict[str, Tensor],
) -> None:
    """Write the state whole; a kill at any instant leaves the one before or this one.

    Raises:
        OutputError: it cannot be written.
    """
    state: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "model": model.state_dict(),
        "averages": averages,
        "optimiser": optimiser.state_dict(),
        "progress": asdict(progress),
        "vocabulary": list(vocab.symbols),
        "lines": [(torch.from_numpy(s.bits), s.num_hashes, s.num_lines) for s in lines],
        "data_fingerprint": data_fingerprint,
        "random_states": {"cpu": torch.get_rng_state()},
    }
    device = model.device
    if device.type == "cuda":
        state["random_states"]["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["random_states"]["mps"] = torch.mps.get_rng_state()
    write_whole(path, lambda part: _save(state, part))


def _save(state: dict[str, Any], part: Path) -> None:
    try:
        torch.save(state, part)
    except RuntimeError as error:  # what torch makes of a full disk
        raise OSError(str(error)) from error


@dataclass(frozen=True)
class TrainingState:
    """What `last.pt` holds, read but not yet put in place."""

    path: Path
    content: dict[str, Any]
    vocab: Vocabulary
    """That of the run, which may have begun with another model's."""
    lines: tuple[LineSet, ...]
    """Of all the text that went into the model."""


def read_training_state(path: Path) -> TrainingState:
    """The state in `path`.

    Raises:
        ModelFileError: missing, damaged or of another version.
    """
    content = _read(path)
    try:
        if not isinstance(content["vocabulary"], list):
            raise TypeError("no list")
        vocab = Vocabulary(tuple(content["vocabulary"]))
        lines = tuple(
            LineSet(bits.numpy(), num_hashes, num_lines)
            for bits, num_hashes, num_lines in content["lines"]
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"its vocabulary or lines: {error}") from error
    return TrainingState(path, content, vocab, lines)


def restore(
    state: TrainingState,
    model: PoemLSTM,
    optimiser: torch.optim.Optimizer,
    data_fingerprint: str,
    averages: dict[str, Tensor],
) -> Progress:
    """Put `state` into `model`, `optimiser`, `averages` and the random generators.

    Raises:
        ModelFileError: damaged, of another shape or another corpus.
    """
    path, content = state.path, state.content
    if content["data_fingerprint"] != data_fingerprint:
        raise ModelFileError(
            f"{path} was trained on another corpus, or on its poems in another order",
            "Resume with the corpus of the run, or begin a new run with --run NAME.",
        )
    try:
        model.load_state_dict(content["model"])
        # The state's own settings would undo what the command line changed for this resume.
        settings = [_settings(group) for group in optimiser.param_groups]
        optimiser.load_state_dict(content["optimiser"])
        for group, setting in zip(optimiser.param_groups, settings, strict=True):
            group.update(setting)
        progress = Progress(**content["progress"])
        for name, average in averages.items():
            average.copy_(content["averages"][name])
        # A state of another kind of device is of no use here: dropout then goes on another way.
        random_states = content["random_states"]
        torch.set_rng_state(random_states["cpu"])
        if model.device.type == "cuda" and "cuda" in random_states:
            torch.cuda.set_rng_state(random_states["cuda"], model.device)
        elif model.device.type == "mps" and "mps" in random_states:
            torch.mps.set_rng_state(random_states["mps"])
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(path, " ".join(str(error).split())[:200]) from error
    return progress


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelFileError(
            f"there is no training state {path}", "Begin the run anew with --fresh."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch wonders aloud about files that are not its own
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load promises no kind: garbage gives half a dozen
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise _damaged(path, reason[:200]) from error
    if not isinstance(state, dict) or "data_fingerprint" not in state:
        raise _damaged(path, "it holds something else")
    if state.get("format_version") != FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {state.get('format_version')}; "
            f"this poetgen reads version {FORMAT_VERSION}",
            "Resume with the poetgen that wrote it, or begin the run anew with --fresh.",
        )
    return state


def _damaged(path: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{path} is damaged or not a training state: {why}",
        "Begin the run anew with --fresh; the run's best.safetensors can still be sampled from.",
    )

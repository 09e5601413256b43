"""The subjects of the campaigns: a tiny run on the starter verses, its model, and a job of prompts.

Everything is made once, by undisturbed commands, and their results are what every disturbed command must
come to in the end.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from torture.cases import Size
from torture.commands import Command, Ended
from torture.moments import Moments

CONFIGURATION = """\
data: {corpus: [starter], min_count: 2, max_tokens: 64}
model: {embedding_size: 16, hidden_size: 24, num_layers: 1}
train:
  epochs: 2
  batch_tokens: 4096
  warmup_steps: 2
  precision: fp32
  ema_decay: 0.9
  save_interval_seconds: 1.0e-9
"""
"""Saves after every step."""
RUN = "spring"
LIMIT_SECONDS = 60.0
"""Time limit of the undisturbed commands."""
_TIMES = ("seconds", "tokens_per_second")


@dataclass
class Workshop:
    """The folder in which everything happens, and the subjects in it."""

    folder: Path
    size: Size = field(default_factory=Size)
    _num_folders: int = 0

    def new_folder(self) -> Path:
        """Return a new, empty folder."""
        self._num_folders += 1
        folder = self.folder / str(self._num_folders)
        folder.mkdir()
        return folder

    @cached_property
    def configuration(self) -> Path:
        path = self.folder / "small.yaml"
        path.write_text(CONFIGURATION, encoding="utf-8")
        return path

    @property
    def train(self) -> list[str]:
        """The command that trains the run from its start."""
        return ["train", "--config", str(self.configuration), "--run", RUN, "--device", "cpu"]

    @property
    def resume(self) -> list[str]:
        """The command that resumes the run."""
        return ["train", "--run", RUN, "--resume", "--device", "cpu"]

    @cached_property
    def training(self) -> "Reference":
        """The undisturbed training."""
        return self.reference(self.train, run_content)

    @cached_property
    def model(self) -> Path:
        """The model of the undisturbed training."""
        path = self.folder / "small.safetensors"
        shutil.copy(self.training.folder / "checkpoints" / RUN / "best.safetensors", path)
        return path

    @cached_property
    def prompts(self) -> Path:
        path = self.folder / "prompts.txt"
        path.write_text("\n".join("春江花月夜山水云风雪") + "\n", encoding="utf-8")
        return path

    def sample(self, *arguments: str) -> list[str]:
        """Return a command that generates short poems with the model."""
        model = ("--model", str(self.model), "--form", "五绝", "--seed", "7")
        return ["sample", *model, "--batch-size", "2", *arguments]

    def job(self, output: str = "poems.jsonl") -> list[str]:
        """Return the command of a job that can be resumed."""
        return self.sample("--prompts", str(self.prompts), "--output", output)

    @cached_property
    def poems(self) -> "Reference":
        """The undisturbed job."""
        return self.reference(self.job(), lambda folder: file_content(folder / "poems.jsonl"))

    def reference(
        self, arguments: Sequence[str], content: "Callable[[Path], Content]"
    ) -> "Reference":
        """Run a command undisturbed."""
        folder, moments = self.new_folder(), Moments()
        ended = Command(arguments, folder, partial(moments.watch)).wait(LIMIT_SECONDS * 10)
        if ended.code:
            raise RuntimeError(f"poetgen {' '.join(arguments)} failed:\n{ended.errors}")
        return Reference(folder, content(folder), moments.num, ended)


Content = Mapping[str, object]
"""The parts of a result by their names, to be compared."""


@dataclass(frozen=True)
class Reference:
    """An undisturbed command: its folder, its result, and how many moments of saves it had."""

    folder: Path
    content: Content
    num_moments: int
    ended: Ended

    @property
    def limit_seconds(self) -> float:
        """The time within which a disturbed command must end on this machine."""
        return 20 + 20 * self.ended.seconds


def differences(found: Content, expected: Content) -> str:
    """Return the names of the parts that differ; "": none.

    >>> differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    'b, c'
    """
    names = [n for n in sorted({*found, *expected}) if found.get(n) != expected.get(n)]
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def file_content(path: Path) -> Content:
    """Return the digest of a file, or nothing if there is none."""
    return {path.name: digest(path.read_bytes())} if path.is_file() else {}


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def run_content(folder: Path) -> Content:
    """Return all that a training in `folder` came to: weights, training state, and log without times.

    Tensors are compared one by one: the bytes of the files depend on the order of a dictionary.
    """
    run = folder / "checkpoints" / RUN
    return {**_weights(run / "best.safetensors"), **_state(run / "last.pt"), **_metrics(run)}


def _weights(path: Path) -> dict[str, object]:
    from safetensors import safe_open

    if not path.is_file():
        return {}
    with safe_open(path, framework="np") as file:
        names = list(file.keys())
        metadata = file.metadata() or {}
        values = {f"best.{name}": _array(file.get_tensor(name)) for name in names}
    return {**values, "best.metadata": metadata.get("poetgen")}


def _state(path: Path) -> dict[str, object]:
    import torch

    if not path.is_file():
        return {}
    content = torch.load(path, map_location="cpu", weights_only=True)
    return dict(_leaves("last", content))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, object]]:
    """Yield the tensors and numbers of a nested value with their names."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _leaves(f"{name}.{key}", one)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from _leaves(f"{name}.{index}", one)
    else:
        yield name, _array(value.numpy()) if hasattr(value, "numpy") else value


def _array(array: Any) -> str:
    return f"{array.dtype} {array.shape} {digest(array.tobytes())}"


def _metrics(run: Path) -> dict[str, object]:
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    entries = [{k: v for k, v in json.loads(line).items() if k not in _TIMES} for line in lines]
    return {f"metrics.{index}": entry for index, entry in enumerate(entries)}

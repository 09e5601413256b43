"""Runs on disk, and the choice of a model file.  Does not import torch.

A run is a folder checkpoints/<name>/ with its configuration, metrics, best model and training state;
checkpoints/latest contains the name of the newest run.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from poetgen.errors import ModelFileError, UsageError
from poetgen.files import lock as lock_descriptor
from poetgen.files import remove_partial_files, write_error, write_text

if TYPE_CHECKING:
    from poetgen.config import Config

RUNS = Path("checkpoints")
"""The folder of all runs, relative to the working directory."""
LATEST = "latest"
"""The file in `RUNS` that contains the name of the newest run."""
BEST = "best.safetensors"
"""The model file in a run folder."""
CONFIG = "config.yaml"
"""The configuration in a run folder, written when the run is created."""
VARIABLE = "POETGEN_CHECKPOINT"
MAX_NAME_BYTES = 200
"""Length limit of the name of a run; file systems admit 255 bytes."""
BUNDLED = Path(__file__).parent / "resources" / "tang.safetensors"
"""The bundled model; its name is its stem."""
_FIX = f"Name a model file, a run folder or a run, or {BUNDLED.stem}, the bundled model."


@dataclass(frozen=True)
class Run:
    """The folder of a run and the paths of its files, which may not exist yet.

    >>> run = Run(RUNS / "spring")
    >>> run.name, run.best.name
    ('spring', 'best.safetensors')
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / CONFIG

    @property
    def metrics(self) -> Path:
        """The log of steps and validations, as JSON Lines."""
        return self.path / "metrics.jsonl"

    @property
    def best(self) -> Path:
        """The model file with the best validation so far."""
        return self.path / BEST

    @property
    def last(self) -> Path:
        """The training state to resume from."""
        return self.path / "last.pt"

    @classmethod
    def reserve(cls, name: str, *, overwrite: bool = False) -> "Run":
        """Return the run to create as `name`.  Nothing is written yet.

        Raises:
            UsageError: The name is not a plain name, or the run exists and `overwrite` is false.
        """
        run = cls(_run_path(name))
        if run.path.exists() and not overwrite:
            raise run._exists()
        return run

    @classmethod
    def open(cls, name: str | None = None) -> "Run":
        """Return the run to resume: `name`, or by default the newest.

        Raises:
            UsageError: There is no such run, or it has no training state.
        """
        name = latest_run() if name is None else name
        if name is None:
            raise UsageError(
                f"there is no run to resume in {RUNS}", "Start one: poetgen train --config base"
            )
        run = cls(_run_path(name))
        if not run.last.is_file():
            raise UsageError(
                f"the run {name} cannot be resumed: there is no {run.last}",
                "Start it again with --overwrite, or name another run with --run.",
            )
        return run

    def create(self, config: "Config", *, overwrite: bool = False) -> None:
        """Create the folder, save `config` in it and make this the newest run.

        With `overwrite`, delete an existing run of that name first.

        Raises:
            UsageError: The run exists (another process may have created it since `reserve`), or
                another process is training it.
            OutputError: The folder cannot be written.
        """
        try:
            if overwrite and self.path.exists():
                with self.lock():
                    shutil.rmtree(self.path)  # fails on a plain file or a link
            self.path.mkdir(parents=True)
        except FileExistsError as error:
            raise self._exists() from error
        except OSError as error:
            raise write_error(self.path, error) from error
        self._save_config(config)

    def resume(self, config: "Config") -> None:
        """Clean up after a killed process, save the changed `config` and make this the newest run.

        Raises:
            UsageError: Another process is training the run.
            OutputError: The folder cannot be written.
        """
        with self.lock():
            remove_partial_files(self.path)
        self._save_config(config)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training the run.

        Raises:
            UsageError: Another process is training it.
            OutputError: The folder cannot be opened.
        """
        if sys.platform == "win32":  # cannot open folders
            yield
            return
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise write_error(self.path, error) from error
        try:
            if not lock_descriptor(descriptor):
                raise UsageError(
                    f"another process is training the run {self.name}",
                    "Wait for it or stop it, or choose another --run.",
                )
            yield
        finally:
            os.close(descriptor)

    def _save_config(self, config: "Config") -> None:
        write_text(self.config, config.to_yaml())
        write_text(RUNS / LATEST, self.name + "\n")

    def _exists(self) -> UsageError:
        return UsageError(
            f"the run {self.name} already exists ({self.path})",
            "Continue it with --resume, replace it with --overwrite, or choose another --run.",
        )


@dataclass(frozen=True)
class ModelChoice:
    """A model file and why it was chosen."""

    path: Path
    why: str


def default_run_name(config_source: str, now: datetime | None = None) -> str:
    """Return <config>-<UTC time>.

    >>> default_run_name("configs/base.yaml", datetime(2025, 1, 31, 12))
    'base-20250131-120000'
    """
    return f"{Path(config_source).stem}-{now or datetime.now(UTC):%Y%m%d-%H%M%S}"


def find_model(name: str | None = None) -> ModelChoice:
    """Return the model file to use.

    The first of these: `name`, $POETGEN_CHECKPOINT, the newest run, the bundled model.  `name` and the
    variable may be a file, a run folder, the name of a run, or the name of the bundled model.

    Raises:
        ModelFileError: The named model does not exist.
    """
    if name:
        return ModelChoice(_resolve(name), "as given")
    if from_environment := os.environ.get(VARIABLE):
        try:
            return ModelChoice(_resolve(from_environment), f"from ${VARIABLE}")
        except ModelFileError as error:
            raise ModelFileError(f"${VARIABLE}: {error.why}", error.fix) from error
    newest = latest_run()
    if newest is None:
        return ModelChoice(BUNDLED, "the bundled model")
    run = Run(RUNS / newest)
    if os.path.isfile(run.best):  # noqa: PTH113 (see _resolve)
        return ModelChoice(run.best, "the newest run")
    exists = os.path.isdir(run.path)  # noqa: PTH112
    state = "has not finished an epoch yet" if exists else "does not exist"
    return ModelChoice(BUNDLED, f"the bundled model: {newest}, the newest run, {state}")


def model_name(file: Path | None) -> str:
    """Return the name of the run that `file` is the best model of, else the file's stem.

    A model that is in no file is just "model".

    >>> model_name(Path("checkpoints/spring/best.safetensors")), model_name(Path("mine.safetensors"))
    ('spring', 'mine')
    """
    if file is None:
        return "model"
    return file.resolve().parent.name if file.name == BEST else file.stem


def latest_run() -> str | None:
    """Return the name in checkpoints/latest, or None if there is no such file."""
    latest = RUNS / LATEST
    if not latest.is_file():
        return None
    return latest.read_text(encoding="utf-8", errors="replace").strip() or None


def _run_path(name: str) -> Path:
    is_plain = name.isprintable() and name == name.strip()  # it must survive in checkpoints/latest
    is_plain = is_plain and len(os.fsencode(name)) <= MAX_NAME_BYTES
    if not name or name in (".", "..", LATEST) or set("/\\") & set(name) or not is_plain:
        raise UsageError(
            f"{name!r} is not a valid name for a run",
            f"Use a plain name such as my-run; it becomes a folder in {RUNS}.",
        )
    return RUNS / name


def _resolve(name: str) -> Path:
    """Return the model file of `name`: the file itself, the best model of a run, or the bundled model.

    Uses os.path because Path raises for a name that is too long or contains a NUL.
    """
    candidates = (Path(name), RUNS / name)
    for candidate in candidates:
        for file in (candidate, candidate / BEST):
            if os.path.isfile(file):  # noqa: PTH113
                return file
    if name == BUNDLED.stem:
        return BUNDLED
    folders = [candidate for candidate in candidates if os.path.isdir(candidate)]  # noqa: PTH112
    for folder in folders:
        if (folder / CONFIG).is_file():
            others = sorted(RUNS.glob(f"*/{BEST}"), key=lambda file: file.stat().st_mtime)
            other = others[-1].parent.name if others else BUNDLED.stem
            raise ModelFileError(
                f"the run {folder} has no {BEST} yet: it is written after the first epoch",
                f"Let it finish an epoch (`poetgen train --resume`), or name another model: {other}",
            )
    if folders:
        raise ModelFileError(f"the folder {folders[0]} contains no {BEST}", _FIX)
    raise ModelFileError(
        f"there is no model {name}: neither a file, a run folder, nor a run in {RUNS}", _FIX
    )

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

from poetgen.errors import ModelFileError, PoetgenError, UsageError, shorten
from poetgen.files import lock as lock_descriptor
from poetgen.files import read_input, read_reason, remove_partial_files, write_error, write_text
from poetgen.language import tr

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
METRICS = "metrics.jsonl"
"""The log of steps and validations in a run folder, as JSON Lines."""
_MAX_LATEST_BYTES = 2**14
VARIABLE = "POETGEN_CHECKPOINT"
MAX_NAME_BYTES = 200
"""Length limit of the name of a run; file systems admit 255 bytes."""
BUNDLED = Path(__file__).parent / "resources" / "tang.safetensors"
"""The bundled model; its name is its stem."""


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
        return self.path / METRICS

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
                tr("there is no run to resume in {folder}", folder=RUNS),
                tr("Start one: poetgen train --config base"),
            )
        run = cls(_run_path(name))
        if not run.last.is_file():
            raise UsageError(
                tr("run {run} cannot be resumed: there is no {file}", run=name, file=run.last),
                tr("Restart it with --overwrite, or name another run with --run."),
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
                    tr("another process is training run {run}", run=self.name),
                    tr("Wait for it or stop it, or choose another --run."),
                )
            yield
        finally:
            os.close(descriptor)

    def _save_config(self, config: "Config") -> None:
        write_text(self.config, config.to_yaml())
        write_text(RUNS / LATEST, self.name + "\n")

    def _exists(self) -> UsageError:
        return UsageError(
            tr("run {run} already exists ({folder})", run=self.name, folder=self.path),
            tr("Continue it with --resume, replace it with --overwrite, or choose another --run."),
        )


@dataclass(frozen=True)
class ModelChoice:
    """A model file and why it was chosen, as a noun phrase in the current language."""

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
        return ModelChoice(_resolve(name), tr("given"))
    if from_environment := os.environ.get(VARIABLE):
        try:
            path = _resolve(from_environment)
        except ModelFileError as error:
            raise ModelFileError(f"${VARIABLE}: {error.why}", error.fix) from error
        return ModelChoice(path, tr("from {variable}", variable=f"${VARIABLE}"))
    newest = latest_run()
    if newest is None:
        return ModelChoice(BUNDLED, tr("bundled model"))
    run = Run(RUNS / newest)
    if os.path.isfile(run.best):  # noqa: PTH113 (see _resolve)
        return ModelChoice(run.best, tr("newest run"))
    if os.path.isdir(run.path):  # noqa: PTH112
        why = tr("bundled model; newest run {run} has no finished epoch", run=newest)
    else:
        why = tr("bundled model; newest run {run} is missing", run=newest)
    return ModelChoice(BUNDLED, why)


def find_metrics(name: str | None = None) -> Path:
    """Return the metrics file of a run.

    `name` may be a file, a run folder or the name of a run; the default is the newest run.

    Raises:
        UsageError: There is no such run.
        PoetgenError: The run has no metrics yet.
    """
    name = name or latest_run()
    if name is None:
        raise UsageError(
            tr("there is no run in {folder}", folder=RUNS),
            tr("Start one: poetgen train --config base"),
        )
    folders = []
    # A name that is too long or contains a NUL is no file to os.path and an error to Path.
    for candidate in (Path(name), RUNS / name):
        for file in (candidate, candidate / METRICS):
            if os.path.isfile(file):  # noqa: PTH113
                return file
        if os.path.isfile(candidate / CONFIG):  # noqa: PTH113
            folders.append(candidate)
    if folders:
        raise PoetgenError(
            tr("run {run} has no {file} yet", run=folders[0], file=METRICS),
            tr("Wait until it has trained for some steps, or name another run."),
        )
    raise UsageError(
        tr(
            "there is no run {run}: no file, no run folder, no run in {folder}",
            run=name,
            folder=RUNS,
        ),
        tr("Runs here: {names}", names=", ".join(_run_names()[:10]) or tr("none")),
    )


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
    """Return the name in checkpoints/latest, or None if there is no such file.

    Raises:
        PoetgenError: The file cannot be read.
    """
    latest = RUNS / LATEST
    if not latest.is_file():
        return None
    try:
        content = read_input(latest, _MAX_LATEST_BYTES)
    except OSError as error:
        raise PoetgenError(
            tr("{path} cannot be read: {reason}", path=latest, reason=read_reason(error)),
            tr("Delete the file, or name a run or a model."),
        ) from error
    return content.decode("utf-8", "replace").strip() or None


def _run_names() -> list[str]:
    """Return the names of all runs that have metrics, the newest first."""
    files = sorted(RUNS.glob(f"*/{METRICS}"), key=lambda file: file.stat().st_mtime, reverse=True)
    return [file.parent.name for file in files]


def _run_path(name: str) -> Path:
    is_plain = name.isprintable() and name == name.strip()  # it must survive in checkpoints/latest
    is_plain = is_plain and len(os.fsencode(name)) <= MAX_NAME_BYTES
    if not name or name in (".", "..", LATEST) or set("/\\") & set(name) or not is_plain:
        raise UsageError(
            tr("{name!r} is not a valid name for a run", name=shorten(name)),
            tr(
                "Use a plain name such as my-run, of at most {limit} bytes; it becomes a folder in "
                "{folder}.",
                limit=MAX_NAME_BYTES,
                folder=RUNS,
            ),
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
                tr("run {run} has no {file} yet: no epoch is finished", run=folder, file=BEST),
                tr(
                    "Let it finish an epoch (`poetgen train --resume`), or name another model: {model}",
                    model=other,
                ),
            )
    if folders:
        why = tr("the folder {folder} contains no {file}", folder=folders[0], file=BEST)
    else:
        why = tr(
            "there is no model {name}: no file, no run folder, no run in {folder}",
            name=name,
            folder=RUNS,
        )
    raise ModelFileError(
        why,
        tr(
            "Name a model file, a run folder, a run, or {bundled}, the bundled model.",
            bundled=BUNDLED.stem,
        ),
    )

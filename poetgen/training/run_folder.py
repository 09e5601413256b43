"""The run folder `checkpoints/<run>/`: what lies in it, and which run is the newest."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from poetgen.config import Config
from poetgen.errors import UsageError
from poetgen.files import lock, remove_scraps, unwritable, write_text
from poetgen.model.locate import BEST, CONFIG, LATEST, RUNS, latest_run


@dataclass(frozen=True)
class RunFolder:
    """The files of a run, whether or not they are there yet."""

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
        """A JSON object per line: steps and validations."""
        return self.path / "metrics.jsonl"

    @property
    def best(self) -> Path:
        """The model file of the best validation so far."""
        return self.path / BEST

    @property
    def last(self) -> Path:
        """The training state to resume from."""
        return self.path / "last.pt"


def default_name(
    config_source: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> str:
    """<config>-<UTC time>, e.g. base-20250131-120000."""
    return f"{Path(config_source).stem}-{now():%Y%m%d-%H%M%S}"


def new_run(name: str, *, fresh: bool) -> RunFolder:
    """The folder of a run that is to begin; with `fresh` there may be an older one of that name.

    Raises:
        UsageError: the name is no plain name, or the run exists and `fresh` is not set.
    """
    folder = _folder(name)
    if folder.path.exists() and not fresh:
        raise _exists(folder)
    return folder


def old_run(name: str | None) -> RunFolder:
    """The folder of a run that is to go on; without a name the newest.

    Raises:
        UsageError: there is no such run.
    """
    name = latest_run() if name is None else name
    if name is None:
        raise UsageError(
            f"there is no run to resume in {RUNS}", "Begin one: poetgen train --config base"
        )
    folder = _folder(name)
    if not folder.last.is_file():
        raise UsageError(
            f"the run {name} cannot be resumed: there is no {folder.last}",
            "Begin it anew with --fresh, or name another run with --run.",
        )
    return folder


def begin(folder: RunFolder, config: Config, *, resume: bool, fresh: bool = False) -> None:
    """Make the folder, save the configuration and name the run the newest.

    With `fresh` what an older run left there goes: only now, when all else is known to be in order.

    Raises:
        UsageError: another process is training it, or has begun a run of that name meanwhile.
        OutputError: it cannot be written.
    """
    try:
        if folder.path.is_dir():
            with held(folder):
                remove_scraps(folder.path)
        if fresh and folder.path.exists():
            shutil.rmtree(folder.path)  # fails on a plain file or a link
        folder.path.mkdir(parents=True, exist_ok=resume)
    except FileExistsError as error:
        raise _exists(folder) from error
    except OSError as error:
        raise unwritable(folder.path, error) from error
    write_text(folder.config, config.to_yaml())
    write_text(RUNS / LATEST, folder.name + "\n")


@contextmanager
def held(folder: RunFolder) -> Iterator[None]:
    """Keep other processes from training the run meanwhile.

    Raises:
        UsageError: one does.
    """
    if sys.platform == "win32":  # which opens no folders
        yield
        return
    descriptor = os.open(folder.path, os.O_RDONLY)
    try:
        if not lock(descriptor):
            raise UsageError(
                f"another process is training the run {folder.name}",
                "Wait for it or stop it, or choose another --run.",
            )
        yield
    finally:
        os.close(descriptor)


def _exists(folder: RunFolder) -> UsageError:
    return UsageError(
        f"the run {folder.name} exists already ({folder.path})",
        "Continue it with --resume, begin it anew with --fresh, or choose another --run.",
    )


def _folder(name: str) -> RunFolder:
    is_one_line = name.isprintable() and name == name.strip()  # as checkpoints/latest keeps it
    if not name or name in (".", "..", LATEST) or set("/\\") & set(name) or not is_one_line:
        raise UsageError(
            f"{name!r} is not a name for a run",
            f"Use a plain name such as my-run; it becomes a folder in {RUNS}.",
        )
    return RunFolder(RUNS / name)

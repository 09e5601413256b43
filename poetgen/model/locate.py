"""Which model: the one named, the environment's, the newest run, or the one that ships."""

import os
from dataclasses import dataclass
from pathlib import Path

from poetgen.errors import ModelFileError

RUNS = Path("checkpoints")
"""Where runs are kept, below the folder one works in."""
LATEST = "latest"
"""The one-line file in `RUNS` that names the newest run."""
BEST = "best.safetensors"
"""The model file in a run folder."""
CONFIG = "config.yaml"
"""The file in a run folder that is there from the run's beginning."""
VARIABLE = "POETGEN_CHECKPOINT"
SHIPPED = Path(__file__).parent.parent / "resources" / "tang.safetensors"
"""The model that comes with the program; its name is its stem."""
_FIX = f"Name a model file, a run folder or a run, or {SHIPPED.stem}, the model that ships."


@dataclass(frozen=True)
class ModelChoice:
    """A model file and how it came to be chosen."""

    path: Path
    why: str


def find_model(given: str | None = None) -> ModelChoice:
    """The model file to use: `given`, else $POETGEN_CHECKPOINT, checkpoints/latest, the shipped one.

    `given` and the variable may name a file, a run folder, a run, or the shipped model.

    Raises:
        ModelFileError: nothing is there.
    """
    if given:
        return ModelChoice(_model_in(given), "as asked")
    if from_environment := os.environ.get(VARIABLE):
        try:
            return ModelChoice(_model_in(from_environment), f"from ${VARIABLE}")
        except ModelFileError as error:
            raise ModelFileError(f"${VARIABLE}: {error.why}", error.fix) from error
    newest = latest_run()
    if newest is None:
        return ModelChoice(SHIPPED, "the one that ships")
    folder = RUNS / newest
    if os.path.isfile(folder / BEST):  # noqa: PTH113 (see _model_in)
        return ModelChoice(folder / BEST, "the newest run")
    is_begun = os.path.isdir(folder)  # noqa: PTH112
    state = "has finished no epoch yet" if is_begun else "is gone"
    return ModelChoice(SHIPPED, f"the one that ships: {newest}, the newest run, {state}")


def model_name(file: Path) -> str:
    """The name of the run that a model file is the best of, or that of a file that stands alone."""
    return file.resolve().parent.name if file.name == BEST else file.stem


def latest_run() -> str | None:
    """The name in checkpoints/latest, or None where there is none."""
    latest = RUNS / LATEST
    if not latest.is_file():
        return None
    return latest.read_text(encoding="utf-8", errors="replace").strip() or None


def _model_in(name: str) -> Path:
    """The model file that `name` means: itself, the best of a run folder or a run, or the shipped one.

    os.path, not Path: it answers "no" to a name that is too long or holds a NUL.
    """
    places = (Path(name), RUNS / name)
    for place in places:
        for file in (place, place / BEST):
            if os.path.isfile(file):  # noqa: PTH113
                return file
    if name == SHIPPED.stem:
        return SHIPPED
    folders = [place for place in places if os.path.isdir(place)]  # noqa: PTH112
    for folder in folders:
        if (folder / CONFIG).is_file():
            others = sorted(RUNS.glob(f"*/{BEST}"), key=lambda file: file.stat().st_mtime)
            other = others[-1].parent.name if others else SHIPPED.stem
            raise ModelFileError(
                f"the run {folder} has no {BEST} yet: it is written after the first epoch",
                f"Let it finish an epoch (`poetgen train --resume`), or name another model: {other}",
            )
    if folders:
        raise ModelFileError(f"the folder {folders[0]} holds no {BEST}", _FIX)
    raise ModelFileError(
        f"there is no model {name}: neither a file, a run folder, nor a run in {RUNS}", _FIX
    )

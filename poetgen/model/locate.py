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
VARIABLE = "POETGEN_CHECKPOINT"
SHIPPED = Path(__file__).parent.parent / "resources" / "tang.safetensors"
"""The model that comes with the program; its name is its stem."""


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
        return ModelChoice(_model_in(from_environment), f"from ${VARIABLE}")
    newest = latest_run()
    if newest is not None:
        return ModelChoice(_model_in(str(RUNS / newest)), "the newest run")
    return ModelChoice(SHIPPED, "the one that ships")


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
    for place in places:
        if os.path.isdir(place):  # noqa: PTH112
            others = sorted(RUNS.glob(f"*/{BEST}"), key=lambda file: file.stat().st_mtime)
            other = f": --checkpoint {others[-1].parent.name}" if others else ""
            raise ModelFileError(
                f"the run {place} has no {BEST} yet: it is written after the first epoch",
                f"Let it finish an epoch (`poetgen train --resume`), or name another model{other}",
            )
    if name == SHIPPED.stem:
        return SHIPPED
    raise ModelFileError(
        f"there is no model {name}: neither a file, a run folder, nor a run in {RUNS}",
        f"Name one of these, or {SHIPPED.stem}, the model that ships.",
    )

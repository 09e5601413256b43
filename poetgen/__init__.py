"""poetgen: a stacked-LSTM character language model that generates Tang poems.

import poetgen
poet = poetgen.load()
print(poet.sample("床前", temperature=0.8, seed=1)[0])
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poetgen.api import Poet

__version__ = "0.2.0"
__all__ = ["__version__", "load"]


def load(path: "str | Path | None" = None, *, device: str = "cpu") -> "Poet":
    """Return the model at `path`: a file, a run folder, or the name of a run.

    None is the newest run's model, or the bundled one.  `device` is auto, cpu, cuda or mps.

    Raises:
        poetgen.errors.ModelFileError: there is none, or it is damaged.
    """
    from poetgen.api import load  # torch takes a second to import: not for `import poetgen`

    return load(path, device=device)

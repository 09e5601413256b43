"""poetgen: a stacked-LSTM character language model of the Tang poems, and the poems it writes.

import poetgen
model = poetgen.load()
print(model.sample("床前", temperature=0.8, seed=1)[0])
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poetgen.api import PoetModel

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(path: "str | Path | None" = None) -> "PoetModel":
    """The model at `path`: a file, a run folder, a run's name; None: the newest run's, or the shipped one.

    Raises:
        poetgen.errors.ModelFileError: there is none, or it is damaged.
    """
    from poetgen.api import load  # torch takes a second to import: not for `import poetgen`

    return load(path)

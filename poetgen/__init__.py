"""poetgen: a stacked-LSTM character language model that generates Tang poems.

    import poetgen
    poet = poetgen.load()
    for poem in poet.sample("床前", form="七绝", num=3, seed=1):
        print(poem.formatted())
    print(poet.score("山月随人归，江风吹酒醒。").perplexity)

`load` returns a `Poet`; its methods take the options of `Options` as keywords and return `Poem`,
`Sample` and `Likelihood`.  Every error that a caller can cause is a `PoetgenError`.

Classes are imported when they are first used: torch takes a second, and `import poetgen` does not load it.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poetgen.api import Poet
    from poetgen.data.poem import Poem
    from poetgen.engine.scoring import Likelihood
    from poetgen.errors import (
        ConfigError,
        ConstraintError,
        CorpusError,
        ModelFileError,
        OutputError,
        PoetgenError,
        UsageError,
    )
    from poetgen.sampling.generator import Failure, Sample
    from poetgen.sampling.options import Options
    from poetgen.sampling.request import Request

__version__ = "0.2.0"
__all__ = [
    "ConfigError",
    "ConstraintError",
    "CorpusError",
    "Failure",
    "Likelihood",
    "ModelFileError",
    "Options",
    "OutputError",
    "Poem",
    "Poet",
    "PoetgenError",
    "Request",
    "Sample",
    "UsageError",
    "__version__",
    "load",
]

_MODULES = {
    "poetgen.api": ["Poet"],
    "poetgen.data.poem": ["Poem"],
    "poetgen.engine.scoring": ["Likelihood"],
    "poetgen.sampling.generator": ["Failure", "Sample"],
    "poetgen.sampling.options": ["Options"],
    "poetgen.sampling.request": ["Request"],
}


def load(path: "str | Path | None" = None, *, device: str = "cpu") -> "Poet":
    """Return the model at `path`: a file, a run folder, or the name of a run.

    None is the newest run's model, or the bundled one.  `device` is auto, cpu, cuda or mps.

    Raises:
        ModelFileError: there is none, or it is damaged.
    """
    from poetgen.api import load

    return load(path, device=device)


if not TYPE_CHECKING:  # a type checker would take any name to exist

    def __getattr__(name):
        """Import a class of `__all__` from its module."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        modules = (module for module, names in _MODULES.items() if name in names)
        value = getattr(import_module(next(modules, "poetgen.errors")), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})

"""Whole processes: how long they take to start, and how much memory they need at most.

Every measurement starts a fresh process in an empty folder.  Its files are in the page cache of the system:
they were read in the unrecorded round.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.lines import ROOT, Bar, Comparison, Group, Line, Settings

_SAMPLE = ("-m", "poetgen", "sample", "床前", "--seed", "1")
_BATCH_SIZE = 256
_LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Prints the peak memory of a command.  A small process: on Linux a child inherits its parent's peak."""


def startup(settings: Settings) -> Group:
    """Return the time of one short command, compared with the time to import torch."""
    folder = _empty_folder(settings)
    comparison = Comparison("import torch", Bar(0.4, is_upper=True))
    lines = [
        Line("sample 床前", "s", _seconds(_SAMPLE, folder, ROOT), (comparison,)),
        Line("import torch", "s", _seconds(("-c", "import torch"), folder, ROOT)),
        Line("import numpy", "s", _seconds(("-c", "import numpy"), folder, ROOT)),
    ]
    if settings.against is not None:
        earlier = _seconds(_SAMPLE, folder, settings.against.resolve())
        lines.append(Line("earlier: sample 床前", "s", earlier))
    return Group("startup", "Start-up: fresh processes, files in the page cache", tuple(lines))


def memory(settings: Settings) -> Group:
    """Return the peak memory of commands, the largest resident set; no lines on Windows."""
    title = "Peak memory, each measured once"
    if sys.platform == "win32":
        return Group("memory", title, ())
    folder = _empty_folder(settings)
    lines = [Line("sample 床前", "MiB", _peak(_SAMPLE, folder), is_repeated=False)]
    for num in (32,) if settings.quick else (1000, 20_000):
        output = folder / f"{num}.txt"
        options = ("--num", str(num), "--batch-size", str(_BATCH_SIZE), "--overwrite")
        command = ("-m", "poetgen", "sample", *options, "--output", str(output), "--seed", "1")
        name = f"{num:,} poems to a file, batches of {_BATCH_SIZE}"
        lines.append(Line(name, "MiB", _peak(command, folder), is_repeated=False))
    return Group("memory", title, tuple(lines))


def _empty_folder(settings: Settings) -> Path:
    return Path(settings.resources.enter_context(tempfile.TemporaryDirectory()))


def _environment(checkout: Path) -> dict[str, str]:
    """Return an environment that imports poetgen from `checkout` and samples from its bundled model."""
    own = {name: value for name, value in os.environ.items() if name != "POETGEN_CHECKPOINT"}
    return {**own, "PYTHONPATH": str(checkout)}


def _seconds(arguments: Sequence[str], folder: Path, checkout: Path) -> Callable[[], float]:
    """Return a measurement of the seconds from the start to the end of a process."""
    command, environment = [sys.executable, *arguments], _environment(checkout)

    def measure() -> float:
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        return time.perf_counter() - start

    return measure


def _peak(arguments: Sequence[str], folder: Path) -> Callable[[], float]:
    """Return a measurement of the largest resident set of a process in MiB."""
    command = [sys.executable, "-c", _LAUNCHER, sys.executable, *arguments]

    def measure() -> float:
        done = subprocess.run(
            command, cwd=folder, env=_environment(ROOT), check=True, stdout=subprocess.PIPE
        )
        return int(done.stdout) / (2**20 if sys.platform == "darwin" else 2**10)

    return measure

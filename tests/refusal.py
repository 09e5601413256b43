"""The form of a refusal, and an object that must never be unpickled."""

import re
from pathlib import Path
from typing import Any

from typer.testing import Result


def is_refused(result: Result, code: int) -> bool:
    """Nothing on stdout; on stderr one line why, below it at most a list of faults, and one line
    what to do.
    """
    lines = result.stderr.splitlines()
    why = next((i for i, line in enumerate(lines) if re.fullmatch("poetgen: .+", line)), None)
    if why is None or (result.exit_code, result.stdout) != (code, ""):
        return False
    *faults, fix = lines[why + 1 :]
    return (
        all(re.fullmatch(r"  \w.*", fault) for fault in faults)
        and re.fullmatch("  → .+", fix) is not None
        and "Traceback" not in result.stderr
    )


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)

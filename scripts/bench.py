"""The benchmark: python scripts/bench.py.

Measures what this machine can do at most, and how near training, generation, scoring and start-up come to
it.  All lines are measured in turn, round after round; the table shows medians, the least and the greatest
value, ratios, and the bars that the project has set.  docs/performance.md describes the groups and --json.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.lines import (
    ROOT,
    Group,
    Line,
    Result,
    Settings,
    measure_all,
    num_measurements,
    to_json,
)
from benchmarks.table import results_table
from rich.console import Console
from tqdm import tqdm

ROUNDS = 5


GROUPS = {
    "limits": "limits",
    "training": "training",
    "generation": "generation",
    "scoring": "scoring",
    "startup": "processes",
    "memory": "processes",
}
"""The module of each group, with a function of its name; some import torch, which others do without."""


def make_group(name: str, settings: Settings) -> Group:
    """Return the lines of a group."""
    group: Group = getattr(import_module(f"benchmarks.{GROUPS[name]}"), name)(settings)
    return group


def machine() -> dict[str, Any]:
    """Return what a reader needs to know of this machine to compare its values with others."""
    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "torch": _version("torch"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def read_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test on small sizes")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", nargs="+", choices=GROUPS, metavar="GROUP", default=list(GROUPS))
    parser.add_argument("--rounds", type=int, default=None, help=f"{ROUNDS}; 2 with --quick")
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="a checkout of an earlier commit"
    )
    parsed = parser.parse_args(arguments)
    parsed.rounds = parsed.rounds or (2 if parsed.quick else ROUNDS)
    if parsed.against is not None and not (parsed.against / "poetgen" / "__init__.py").is_file():
        parser.error(f"{parsed.against} is not a checkout of poetgen")
    return parsed


def measure_groups(
    names: Sequence[str], settings: Settings, rounds: int
) -> tuple[list[Group], list[Result]]:
    """Set up the groups, measure them in turn, and show the progress on standard error."""
    groups = [make_group(name, settings) for name in GROUPS if name in names]
    num = num_measurements(groups, rounds)
    with tqdm(total=num, desc="measuring", leave=False, disable=None) as progress:

        def advance(line: Line) -> None:
            progress.set_postfix_str(line.name)
            progress.update()

        return groups, measure_all(groups, rounds, advance=advance)


def main() -> None:
    arguments = read_arguments()
    sys.path.insert(0, str(ROOT))  # measure this checkout, whichever is installed
    about = machine()
    with ExitStack() as resources:
        settings = Settings(arguments.quick, arguments.device, arguments.against, resources)
        groups, results = measure_groups(arguments.only, settings, arguments.rounds)
    if arguments.json:
        document = to_json(results, settings, arguments.rounds, about)
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    for group in groups:
        console.print(f"\n{group.title}")
        console.print(results_table(group, results))


if __name__ == "__main__":
    main()

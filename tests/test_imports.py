"""Imports point down only, and what need not import torch does not."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import poetgen

PACKAGE = Path(poetgen.__file__).parent

# Lowest first; parts on one floor do not import each other, except that files may name errors.
FLOORS = [
    {"errors"},
    {"files"},
    {"config", "prosody"},
    {"data"},
    {"model"},
    {"training", "sampling"},
    {"evaluation", "inspection"},
    {"api"},
    {"poetgen"},  # __init__.py: the version, and the way to api
    {"cli"},
    {"__main__"},
]
FLOOR_OF = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}


def module_names(package: Path) -> dict[str, Path]:
    """{dotted name: file} of every module below `package`."""
    names = {}
    for file in package.rglob("*.py"):
        parts = file.relative_to(package.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


def imported(file: Path, module: str, known: set[str]) -> Iterator[str]:
    """The modules of the package that `file` imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "poetgen")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            origin = node.module or ""
            if origin.split(".")[0] != "poetgen":
                continue
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield inner if inner in known else origin


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def upward_imports(package: Path) -> list[str]:
    modules = module_names(package)
    return [
        f"{module} imports {target}"
        for module, file in modules.items()
        for target in imported(file, module, set(modules))
        if part(target) != part(module) and FLOOR_OF[part(target)] >= FLOOR_OF[part(module)]
    ]


def test_imports_point_down_only() -> None:
    assert len(module_names(PACKAGE)) > 20
    assert upward_imports(PACKAGE) == []


def test_every_part_has_a_floor() -> None:
    assert {part(module) for module in module_names(PACKAGE)} <= set(FLOOR_OF)


@pytest.mark.parametrize(
    ("where", "statement", "fault"),
    [
        (
            "data/read.py",
            "from poetgen.model import lstm",
            "poetgen.data.read imports poetgen.model",
        ),
        ("data/read.py", "import poetgen.cli", "poetgen.data.read imports poetgen.cli"),
        (
            "training/run.py",
            "def f():\n    from poetgen.sampling.decode import x",
            "poetgen.training.run imports poetgen.sampling.decode",
        ),
        ("config.py", "from poetgen import __version__", "poetgen.config imports poetgen"),
        ("model/a.py", "from poetgen import api", "poetgen.model.a imports poetgen.api"),
        ("cli/main.py", "import poetgen", None),
        ("files.py", "from poetgen.errors import OutputError", None),
    ],
)
def test_an_upward_import_is_found(
    tmp_path: Path, where: str, statement: str, fault: str | None
) -> None:
    package = tmp_path / "poetgen"
    for name in ("__init__.py", "api.py", "errors.py", where):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).touch()
    (package / where).write_text(statement)
    assert upward_imports(package) == ([] if fault is None else [fault])


NEED_TORCH = {"poetgen.data.batches"}


def modules_without_torch() -> list[str]:
    light = {"errors", "files", "config", "prosody", "data"}
    below = [m for m in module_names(PACKAGE) if part(m) in light and m not in NEED_TORCH]
    said = [f"poetgen.sampling.{m}" for m in ("prompt", "request", "options", "jobs", "continued")]
    return sorted({"poetgen", "poetgen.cli.main", "poetgen.training.plan", *below, *said})


def test_the_lower_floors_and_the_command_line_do_not_import_torch() -> None:
    modules = modules_without_torch()
    assert len(modules) > 15
    script = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules:\n"
        "        sys.exit(f'{name} imports torch')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")

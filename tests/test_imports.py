"""Imports point down, form no cycles, and load torch only where it is needed."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import poetgen

PACKAGE = Path(poetgen.__file__).parent

# Lowest first.  Parts on the same floor do not import each other.
FLOORS = [
    {"errors", "language", "terminal"},
    {"files"},
    {"config", "progress", "prosody"},
    {"data"},
    {"engine"},
    {"model"},
    {"runs"},
    {"sampling"},
    {"training", "batch", "evaluation", "inspection"},
    {"views"},
    {"api"},
    {"poetgen"},  # __init__.py: the version and `load`
    {"cli"},
    {"__main__"},
]
FLOOR_OF = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}

TORCH_MODULES = {
    "poetgen.data.batches",
    "poetgen.engine.torch_products",
    "poetgen.evaluation.reader.judges",
    "poetgen.evaluation.reader.trial",
    "poetgen.inspection.gradients",
    "poetgen.model.cell",
    "poetgen.model.dropout",
    "poetgen.model.network",
    "poetgen.model.scoring",
    "poetgen.training.checkpoint",
    "poetgen.training.cooccurrence_init",
    "poetgen.training.ema",
    "poetgen.training.init",
    "poetgen.training.log",
    "poetgen.training.loop",
    "poetgen.training.loss",
    "poetgen.training.optim",
    "poetgen.training.state",
    "poetgen.training.state_format",
}
"""Modules that import torch; no other one does."""


def module_names(package: Path) -> dict[str, Path]:
    """Return {dotted name: file} of every module below `package`."""
    names = {}
    for file in package.rglob("*.py"):
        parts = file.relative_to(package.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


def imported(file: Path, module: str, known: set[str]) -> Iterator[str]:
    """Yield the project's modules that `file` imports, in functions and TYPE_CHECKING blocks too."""
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


def import_graph(package: Path) -> dict[str, set[str]]:
    """Return {module: modules that it imports}, its own package's `__init__` excluded."""
    modules = module_names(package)
    return {
        module: {
            target
            for target in imported(file, module, set(modules))
            if not module.startswith(f"{target}.") or target == "poetgen"
        }
        for module, file in modules.items()
    }


def part(module: str) -> str:
    """Return the top-level part of a module: its package or file below `poetgen`."""
    return module.split(".")[1] if "." in module else module


def upward_imports(package: Path) -> list[str]:
    return [
        f"{module} imports {target}"
        for module, targets in import_graph(package).items()
        for target in targets
        if part(target) != part(module) and FLOOR_OF[part(target)] >= FLOOR_OF[part(module)]
    ]


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components with more than one module (Tarjan 1972)."""
    index_of: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index_of[module] = low[module] = len(index_of)
        stack.append(module)
        for target in sorted(graph.get(module, set())):
            if target not in index_of:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index_of[target])
        if low[module] == index_of[module]:
            component = stack[stack.index(module) :]
            del stack[-len(component) :]
            if len(component) > 1:
                found.append(sorted(component))

    for module in sorted(graph):
        if module not in index_of:
            visit(module)
    return found


def first_import_of(library: str, modules: list[str]) -> str:
    """Return the first of `modules` that loads `library`, or an empty string; imported in order."""
    script = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        f"    if {library!r} in sys.modules:\n"
        "        print(name, end='')\n"
        "        break\n"
    )
    completed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert (completed.returncode, completed.stderr) == (0, "")
    return completed.stdout


def test_imports_point_down() -> None:
    assert len(module_names(PACKAGE)) > 20
    assert upward_imports(PACKAGE) == []


def test_imports_have_no_cycles() -> None:
    assert cycles(import_graph(PACKAGE)) == []


def test_every_part_has_a_floor() -> None:
    assert {part(module) for module in module_names(PACKAGE)} <= set(FLOOR_OF)


def test_light_modules_do_not_import_torch() -> None:
    modules = set(module_names(PACKAGE))
    assert modules > TORCH_MODULES
    assert first_import_of("torch", sorted(modules - TORCH_MODULES)) == ""


def test_torch_modules_need_torch() -> None:
    script = (
        "import importlib, sys\n"
        "sys.modules['torch'] = None\n"  # an import of it fails
        f"for name in {sorted(TORCH_MODULES)!r}:\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "        print(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        assert error.name.startswith('torch'), error\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "", "remove them from TORCH_MODULES"


@pytest.mark.parametrize(
    "arguments",
    [["床前"], ["--form", "七绝", "--rhyme", "--tones"], ["山", "--num", "2", "--best-of", "2"]],
    ids=["plain", "constrained", "several"],
)
def test_sample_does_not_import_torch(tmp_path: Path, arguments: list[str]) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-X", "importtime", "-m", "poetgen"),
            *("sample", *arguments, "--seed", "1"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "，" in done.stdout
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"numpy", "poetgen.engine.network", "poetgen.model.file"} <= names
    assert not {name for name in names if name.split(".")[0] == "torch"}


def test_import_of_torch_is_found() -> None:
    modules = ["poetgen.errors", "poetgen.model.cell"]
    assert first_import_of("torch", modules) == "poetgen.model.cell"


@pytest.mark.parametrize(
    ("where", "statement", "fault"),
    [
        (
            "data/read.py",
            "from poetgen.model import network",
            "poetgen.data.read imports poetgen.model",
        ),
        ("data/read.py", "import poetgen.cli", "poetgen.data.read imports poetgen.cli"),
        (
            "training/run.py",
            "def f():\n    from poetgen.evaluation.report import x",
            "poetgen.training.run imports poetgen.evaluation.report",
        ),
        ("config.py", "from poetgen import __version__", "poetgen.config imports poetgen"),
        ("model/a.py", "from poetgen import api", "poetgen.model.a imports poetgen.api"),
        ("files.py", "import poetgen.config", "poetgen.files imports poetgen.config"),
        ("cli/main.py", "import poetgen", None),
        ("training/run.py", "from poetgen.sampling.decode import x", None),
        ("files.py", "from poetgen.errors import OutputError", None),
    ],
)
def test_upward_import_is_found(
    tmp_path: Path, where: str, statement: str, fault: str | None
) -> None:
    package = make_package(tmp_path, {where: statement})
    assert upward_imports(package) == ([] if fault is None else [fault])


@pytest.mark.parametrize(
    "statement",
    [
        "import poetgen.data.a",
        "def f():\n    from poetgen.data.a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from poetgen.data import a",
    ],
)
def test_cycle_is_found(tmp_path: Path, statement: str) -> None:
    files = {
        "data/a.py": "from poetgen.data.b import x",
        "data/b.py": "from poetgen.data.c import x",
        "data/c.py": statement,
        "data/d.py": "from poetgen.data.a import x",
    }
    loop = ["poetgen.data.a", "poetgen.data.b", "poetgen.data.c"]
    assert cycles(import_graph(make_package(tmp_path, files))) == [loop]
    files["data/c.py"] = ""
    assert cycles(import_graph(make_package(tmp_path, files))) == []


def make_package(folder: Path, files: Mapping[str, str]) -> Path:
    """Return a package `poetgen` in `folder` with these files and a few empty ones."""
    package = folder / "poetgen"
    empty = dict.fromkeys(
        ("__init__.py", "api.py", "errors.py", "config.py", "data/__init__.py"), ""
    )
    for name, content in (empty | dict(files)).items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(content)
    return package


def test_program_starts_without_slow_libraries() -> None:
    for library in ("pydantic", "yaml", "numpy", "tshet_uinh"):
        assert first_import_of(library, ["poetgen.cli.main"]) == "", library

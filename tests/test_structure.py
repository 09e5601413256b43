"""Limits on the size of functions, on untyped results, and on the call path of `poetgen sample`."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import poetgen

PACKAGE = Path(poetgen.__file__).parent
MAX_LINES = 60
MAX_PARAMETERS = 7
MAX_CALLED_FUNCTIONS = 84
"""Besides those of the engine, which compute what a library computed before."""
MAX_CALLED_FILES = 22

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    """A module of a package: its path relative to the package, and its syntax tree."""

    name: str
    tree: ast.Module


def sources(package: Path) -> list[Source]:
    return [
        Source(file.relative_to(package).as_posix(), ast.parse(file.read_text(encoding="utf-8")))
        for file in sorted(package.rglob("*.py"))
    ]


def functions(source: Source) -> Iterator[Function]:
    """Yield every function and method of a module, nested ones included."""
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            yield node


def is_command(function: Function) -> bool:
    """Return whether a function declares options of the command line: typer reads them from it."""
    arguments = [*function.args.args, *function.args.kwonlyargs]
    texts = [ast.unparse(one.annotation) for one in arguments if one.annotation is not None]
    return any("typer.Option" in text or text.endswith("Option") for text in texts)


def num_parameters(function: Function) -> int:
    """Return the number of parameters without self and cls; *args and **kwargs count as one each."""
    arguments = function.args
    named = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    if named and named[0] in ("self", "cls"):
        del named[0]
    return len(named) + (arguments.vararg is not None) + (arguments.kwarg is not None)


def num_lines(function: Function) -> int:
    """Return the number of lines from `def` to the end, the docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def oversized_functions(package: Path) -> list[str]:
    faults = []
    for source in sources(package):
        for function in functions(source):
            if source.name.startswith("cli/") and is_command(function):
                continue
            where = f"{source.name}: {function.name}"
            if (lines := num_lines(function)) > MAX_LINES:
                faults.append(f"{where} has {lines} lines")
            if (num := num_parameters(function)) > MAX_PARAMETERS:
                faults.append(f"{where} has {num} parameters")
    return faults


def untyped_results(package: Path) -> list[str]:
    """Return the functions and fields below `package` whose annotation has a `dict[str, Any]`."""
    faults = []
    for source in sources(package):
        for node in ast.walk(source.tree):
            annotations: Iterable[tuple[str, ast.expr | None]] = ()
            if isinstance(node, Function):
                annotations = [(node.name, node.returns)]
            elif isinstance(node, ast.ClassDef):
                fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
                annotations = [(ast.unparse(one.target), one.annotation) for one in fields]
            for name, annotation in annotations:
                if annotation is not None and "dict[str, Any]" in ast.unparse(annotation):
                    faults.append(f"{source.name}: {name}")
    return sorted(faults)


def modules_without_docstring(package: Path) -> list[str]:
    """Return public modules without a docstring."""
    return [
        source.name
        for source in sources(package)
        if not ast.get_docstring(source.tree)
        and not (Path(source.name).stem.startswith("_") and source.name[-11:] != "__init__.py")
    ]


COUNTER = """
import inspect, json, os, sys
package, result, *arguments = sys.argv[1:]
called = set()

def count(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(package + os.sep):
        # Module code and class bodies have no fast locals; comprehensions and lambdas have "<" names.
        if code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<"):
            called.add((code.co_filename[len(package) + 1 :], code.co_firstlineno, code.co_qualname))

sys.argv = ["poetgen", *arguments]
sys.path.insert(0, os.path.dirname(package))
sys.setprofile(count)
try:
    from poetgen.cli.main import main
    main()
except SystemExit as exit:
    status = exit.code
finally:
    sys.setprofile(None)
with open(result, "w") as file:
    json.dump({"status": status or 0, "called": sorted(called)}, file)
"""


class Call(NamedTuple):
    """The distinct project functions that a command called, as (file, line, qualified name)."""

    functions: list[tuple[str, int, str]]
    output: str

    @property
    def files(self) -> set[str]:
        return {file for file, _, _ in self.functions}

    def __str__(self) -> str:
        names = [f"{file}:{line} {name}" for file, line, name in self.functions]
        return "\n".join([f"{len(names)} functions in {len(self.files)} files", *names])


def called_functions(package: Path, folder: Path, *arguments: str, terminal: bool) -> Call:
    """Run a command of `package` in `folder` with stdout a pipe or a pseudo-terminal."""
    result = folder / "called.json"
    command = [sys.executable, "-c", COUNTER, str(package), str(result), *arguments]
    environment = {**os.environ, "TERM": "xterm", "PYTHONWARNINGS": "ignore"}
    if terminal:
        output = run_in_terminal(command, folder, environment)
    else:
        completed = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )
        output = completed.stdout
    answer = json.loads(result.read_text())
    assert answer["status"] == 0, output
    return Call([(file, line, name) for file, line, name in answer["called"]], output)


def run_in_terminal(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Return what a command prints to a pseudo-terminal."""
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 4096):
                parts.append(part)
        except OSError:  # Linux reports the closed end as an error
            pass
        finally:
            os.close(ours)
        process.wait(timeout=120)
    return b"".join(parts).decode()


def test_functions_are_short() -> None:
    assert oversized_functions(PACKAGE) == []


def test_evaluation_results_are_typed() -> None:
    assert untyped_results(PACKAGE / "evaluation") == []


def test_modules_have_docstrings() -> None:
    assert modules_without_docstring(PACKAGE) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_sample_calls_few_functions(tmp_path: Path, terminal: bool) -> None:
    call = called_functions(PACKAGE, tmp_path, "sample", "床前", "--seed", "1", terminal=terminal)
    assert "床前" in call.output
    besides_engine = [one for one in call.functions if not one[0].startswith("engine/")]
    assert len(besides_engine) <= MAX_CALLED_FUNCTIONS, str(call)
    assert len({one[0] for one in besides_engine}) <= MAX_CALLED_FILES, str(call)


def write_package(folder: Path, files: dict[str, str]) -> Path:
    package = folder / "poetgen"
    for name, content in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(content)
    return package


def test_long_function_is_found(tmp_path: Path) -> None:
    body = "    x = 1\n"
    short, long = f"def short():\n{body * 59}", f"class A:\n  def long(self):\n{body * 60}"
    package = write_package(tmp_path, {"a.py": short, "data/b.py": long})
    assert oversized_functions(package) == ["data/b.py: long has 61 lines"]


def test_many_parameters_are_found(tmp_path: Path) -> None:
    method = "class A:\n  def f(self, a, b, c, d, e, /, f, *, g): pass\n"
    many = "def g(a, b, c, d, e, f, *args, **kwargs): pass\n"
    package = write_package(tmp_path, {"a.py": method + many})
    assert oversized_functions(package) == ["a.py: g has 8 parameters"]


def test_commands_may_be_long(tmp_path: Path) -> None:
    options = ", ".join(f"{name}: Annotated[int, typer.Option()] = 0" for name in "abcdefgh")
    command = f"def f({options}):\n" + "    x = 1\n" * 80
    package = write_package(tmp_path, {"cli/a.py": command, "api.py": command})
    assert oversized_functions(package) == [
        "api.py: f has 81 lines",
        "api.py: f has 8 parameters",
    ]


def test_untyped_result_is_found(tmp_path: Path) -> None:
    code = (
        "class A:\n    x: list[dict[str, Any]]\n    y: dict[str, int]\n"
        "def f() -> dict[str, Any] | None: ...\n"
        "def g(a: dict[str, Any]) -> int: ...\n"
    )
    assert untyped_results(write_package(tmp_path, {"a.py": code})) == ["a.py: f", "a.py: x"]


def test_missing_docstring_is_found(tmp_path: Path) -> None:
    files = {"__init__.py": "", "a.py": '"""A."""', "b.py": "x = 1", "_private.py": ""}
    assert modules_without_docstring(write_package(tmp_path, files)) == ["__init__.py", "b.py"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_called_functions_are_counted(tmp_path: Path, terminal: bool) -> None:
    main = (
        "import sys\n"
        "from poetgen import other\n"
        "class A:\n"
        "    x = [i for i in (lambda: [1])()]\n"
        "    def method(self): return list(i for i in self.x)\n"
        "def unused(): pass\n"
        "def main():\n"
        "    def inner(): pass\n"
        "    inner(), inner(), A().method(), A().method()\n"
        "    print('terminal' if sys.stdout.isatty() else 'pipe', *sys.argv[1:])\n"
        "    sys.exit(other.f())\n"
    )
    other = "def f():\n    return 0\n"
    files = {"__init__.py": "", "cli/__init__.py": "", "cli/main.py": main, "other.py": other}
    package = write_package(tmp_path, files)
    call = called_functions(package, tmp_path, "a", "b", terminal=terminal)
    assert [name for _, _, name in call.functions] == [
        "A.method",
        "main",
        "main.<locals>.inner",
        "f",
    ]
    assert call.files == {"cli/main.py", "other.py"}
    assert call.output.split() == ["terminal" if terminal else "pipe", "a", "b"]

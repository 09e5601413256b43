"""Test the tests: change the program in one place at a time, and see whether a test notices.

    python scripts/mutation_test.py                         300 mutants, seed 1
    python scripts/mutation_test.py --list                  print the survivors of the last run
    python scripts/mutation_test.py --num 20 --only sampling

A mutant is a copy of the package in which one expression or statement of one module differs (`MUTATIONS`).
It is caught if one of its related tests fails, or does not end in time.  Mutants are drawn at random from
all places of the modules in `TARGETS`; a seed draws the same ones again.  Results are appended to a file of
JSON lines as they come, and a run that was interrupted continues.  300 mutants take about an hour on two
cores.
"""

import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from tqdm import tqdm

from poetgen.evaluation.intervals import wilson_share

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {
    "poetgen/sampling": ["tests/sampling"],
    "poetgen/prosody": ["tests/prosody"],
    "poetgen/engine": ["tests/engine", "tests/sampling/test_generator.py"],
    "poetgen/data/clean.py": ["tests/data/test_clean.py", "tests/data/test_corpus.py"],
    "poetgen/data/split.py": ["tests/data/test_split.py", "tests/data/test_corpus.py"],
    "poetgen/data/encode.py": ["tests/data/test_encode.py"],
    "poetgen/training/loop.py": ["tests/training/test_loop.py", "tests/training/test_train.py"],
    "poetgen/training/checkpoint.py": ["tests/training/test_checkpoint.py"],
    "poetgen/files.py": ["tests/test_files.py"],
}
"""Files and folders to change, and the tests that should notice; one named like the module goes first."""
RESULTS = ROOT / "build" / "mutants.jsonl"
TIMEOUT_SECONDS = 300

Mutate = Callable[[ast.AST], Iterator[ast.AST]]


def _comparison(node: ast.AST) -> Iterator[ast.AST]:
    """Replace an operator by its neighbor: < by <=, == by !=, in by not in."""
    others: dict[type[ast.cmpop], type[ast.cmpop]] = {
        ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
        ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    }  # fmt: skip
    if isinstance(node, ast.Compare):
        changed = copy.deepcopy(node)
        changed.ops[0] = others[type(node.ops[0])]()
        yield changed


def _arithmetic(node: ast.AST) -> Iterator[ast.AST]:
    """Replace + by −, * by /, // by %, & by |, << by >>, and back."""
    others: dict[type[ast.operator], type[ast.operator]] = {
        ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
        ast.FloorDiv: ast.Mod, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
        ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    }  # fmt: skip
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in others:
        changed = copy.deepcopy(node)
        changed.op = others[type(node.op)]()
        yield changed


def _logic(node: ast.AST) -> Iterator[ast.AST]:
    """Replace `and` by `or`; drop an operand; drop a `not`."""
    if isinstance(node, ast.BoolOp):
        swapped = copy.deepcopy(node)
        swapped.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        yield swapped
        yield copy.deepcopy(node.values[0])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield copy.deepcopy(node.operand)


def _constant(node: ast.AST) -> Iterator[ast.AST]:
    """Change a number by one, and True to False."""
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)


def _condition(node: ast.AST) -> Iterator[ast.AST]:
    """Negate the condition of an `if`, or of a conditional expression."""
    if isinstance(node, ast.If | ast.IfExp):
        changed = copy.deepcopy(node)
        changed.test = ast.UnaryOp(ast.Not(), node.test)
        yield changed


def _statement(node: ast.AST) -> Iterator[ast.AST]:
    """Delete a call, an assignment to an attribute or an item, or an augmented assignment."""
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    is_stored = isinstance(node, ast.Assign) and not isinstance(
        node.targets[0], ast.Name | ast.Tuple
    )
    if is_call or is_stored or isinstance(node, ast.AugAssign):
        yield ast.Pass()


def _jump(node: ast.AST) -> Iterator[ast.AST]:
    """Replace `break` by `continue`, `continue` by `break`, and a returned value by None."""
    if isinstance(node, ast.Break):
        yield ast.Continue()
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Return) and ast.unparse(node) not in ("return", "return None"):
        yield ast.Return(ast.Constant(None))


def _extreme(node: ast.AST) -> Iterator[ast.AST]:
    """Replace min by max, any by all, and back."""
    others = {"min": "max", "max": "min", "any": "all", "all": "any"}
    if isinstance(node, ast.Call):
        changed = copy.deepcopy(node)
        if isinstance(node.func, ast.Name) and node.func.id in others:
            assert isinstance(changed.func, ast.Name)
            changed.func.id = others[node.func.id]
            yield changed
        elif isinstance(node.func, ast.Attribute) and node.func.attr in others:
            assert isinstance(changed.func, ast.Attribute)
            changed.func.attr = others[node.func.attr]
            yield changed


MUTATIONS: dict[str, Mutate] = {
    "comparison": _comparison,
    "arithmetic": _arithmetic,
    "logic": _logic,
    "constant": _constant,
    "condition": _condition,
    "statement": _statement,
    "jump": _jump,
    "extreme": _extreme,
}


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    file: str
    line: int
    mutation: str
    before: str
    after: str
    number: int
    """Which of the places and changes of the file it is; `source_of` finds it again."""


def main() -> None:
    """Draw mutants, run the related tests of each, and print the score."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="part of a path: change only such files")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="print the results so far")
    arguments = parser.parse_args()
    mutants = draw(arguments.num, arguments.seed, arguments.only)
    if not arguments.list:
        run(mutants, arguments.processes)
    show(mutants)


def draw(num: int, seed: int, only: str = "") -> list[Mutant]:
    """Return `num` mutants, drawn from all places of all targets alike."""
    files = [file for target in TARGETS for file in files_of(target) if only in file]
    every = [mutant for file in files for mutant, _ in mutants_of(file)]
    return random.Random(seed).sample(every, min(num, len(every)))


def files_of(target: str) -> list[str]:
    """Return the modules of a target, relative to the repository."""
    path = ROOT / target
    files = sorted(path.glob("*.py")) if path.is_dir() else [path]
    return [str(file.relative_to(ROOT)) for file in files]


def mutants_of(file: str) -> Iterator[tuple[Mutant, ast.Module]]:
    """Yield every mutant of a module, and its tree."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    number = 0
    for parent, field, index, node in places(tree):
        for name, mutate in MUTATIONS.items():
            for changed in mutate(node):
                _put(parent, field, index, ast.copy_location(changed, node))
                before, after = ast.unparse(node), ast.unparse(changed)
                line = getattr(node, "lineno", 0)
                yield Mutant(file, line, name, _short(before), _short(after), number), tree
                _put(parent, field, index, node)
                number += 1


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Yield each node that may change, with its parent and its place there.

    Left out are annotations, docstrings, decorators, assertions, and what only makes messages.
    """
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        nodes = value if isinstance(value, list) else [value]
        for index, node in enumerate(nodes):
            if not isinstance(node, ast.AST) or _is_left_out(node):
                continue
            yield tree, field, index if isinstance(value, list) else None, node
            yield from places(node)


def _is_left_out(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert | ast.Raise | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__debug__"):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    call = node.value if isinstance(node, ast.Expr) else node
    if not isinstance(call, ast.Call):
        return False
    called = ast.unparse(call.func)
    return called in ("tr", "tr_plural", "tr_noop") or called.startswith(("logger.", "doc"))


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _short(text: str) -> str:
    first = text.splitlines()[0]
    return first if len(first) <= 90 else first[:89] + "…"


def source_of(mutant: Mutant) -> str:
    """Return the source of a mutant's module."""
    for other, tree in mutants_of(mutant.file):
        if other.number == mutant.number:
            return ast.unparse(ast.fix_missing_locations(tree))
    raise ValueError(f"{mutant.file} has changed")


def tests_of(file: str) -> list[str]:
    """Return the tests related to a module, those named like it first."""
    target = next(one for one in TARGETS if file == one or file.startswith(f"{one}/"))
    own = ROOT / "tests" / Path(file).relative_to("poetgen").with_name(f"test_{Path(file).name}")
    first = [str(own.relative_to(ROOT))] if own.exists() else []
    return list(dict.fromkeys([*first, *TARGETS[target]]))


def run(mutants: list[Mutant], num_processes: int) -> None:
    """Test the mutants that have no result yet; append each result."""
    RESULTS.parent.mkdir(exist_ok=True)
    waiting = [mutant for mutant in mutants if mutant not in results()]
    lock = Lock()
    with tempfile.TemporaryDirectory() as folder:
        copies = [_copy(Path(folder) / str(number)) for number in range(num_processes)]
        for path in copies:
            _check_unchanged(path, sorted({mutant.file for mutant in waiting}))
        free = list(copies)

        def test(mutant: Mutant) -> None:
            with lock:
                path = free.pop()
            outcome = _test(path, mutant)
            with lock:
                free.append(path)
                with RESULTS.open("a", encoding="utf-8") as stream:
                    record = asdict(mutant) | {"outcome": outcome}
                    stream.write(json.dumps(record, ensure_ascii=False) + "\n")

        with ThreadPoolExecutor(num_processes) as pool:
            done = pool.map(test, waiting)
            for _ in tqdm(done, "mutants", len(waiting), disable=None):
                pass


def _copy(folder: Path) -> Path:
    """Copy what the tests need to a folder."""
    for name in ("poetgen", "tests", "configs", "scripts", "pyproject.toml", "docs", "data"):
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "*.json.gz", "song*", "tang*")
        if source.is_dir():
            keep = None if name == "poetgen" else ignore
            shutil.copytree(source, folder / name, ignore=keep)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


def _check_unchanged(folder: Path, files: list[str]) -> None:
    """Fail if the related tests fail without any change."""
    tests = dict.fromkeys(test for file in files for test in tests_of(file))
    if files and _pytest(folder, list(tests), timeout=1800) != 0:
        sys.exit("the tests fail without a mutant")


def _test(folder: Path, mutant: Mutant) -> str:
    """Return caught, timeout or survived."""
    path = folder / mutant.file
    original = path.read_text(encoding="utf-8")
    path.write_text(source_of(mutant), encoding="utf-8")
    try:
        code = _pytest(folder, tests_of(mutant.file), timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return "timeout"
    finally:
        path.write_text(original, encoding="utf-8")
    return "survived" if code == 0 else "caught"


def _pytest(folder: Path, tests: list[str], timeout: float) -> int:
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_DATABASE_FILE": ""}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        timeout=timeout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode


def results() -> dict[Mutant, str]:
    """Return the outcomes so far."""
    if not RESULTS.exists():
        return {}
    found = {}
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        outcome = record.pop("outcome")
        found[Mutant(**record)] = outcome
    return found


def show(mutants: list[Mutant]) -> None:
    """Print the score by folder, and the survivors."""
    known = results()
    tested = [(mutant, known[mutant]) for mutant in mutants if mutant in known]
    caught = sum(outcome != "survived" for _, outcome in tested)
    share = wilson_share(caught, max(1, len(tested)))
    print(
        f"{caught} of {len(tested)} mutants caught: "
        f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"
    )
    for mutant, outcome in sorted(tested, key=lambda pair: (pair[0].file, pair[0].line)):
        if outcome == "survived":
            print(f"{mutant.file}:{mutant.line} ({mutant.mutation})")
            print(f"    - {mutant.before}\n    + {mutant.after}")


if __name__ == "__main__":
    main()

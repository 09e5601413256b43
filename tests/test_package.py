"""The package that users install: the wheel, its use without the repository, and the public names."""

import os
import pydoc
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mypy import api as mypy

import poetgen

ROOT = Path(__file__).parent.parent
RESOURCES = (
    *("corpus-manifest.json", "messages.zh.json", "starter.txt"),
    *("tang.safetensors", "tone-counts.json"),
)
TEMPLATES = sorted(path.name for path in (ROOT / "poetgen" / "views" / "templates").glob("*.html"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def wheel_names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_every_configuration(wheel_names: set[str]) -> None:
    names = {f"poetgen/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    assert len(names) >= 5
    assert names <= wheel_names


def test_the_wheel_holds_resources_templates_and_type_marker(wheel_names: set[str]) -> None:
    assert {f"poetgen/resources/{name}" for name in RESOURCES} <= wheel_names
    assert len(TEMPLATES) >= 2
    assert {f"poetgen/views/templates/{name}" for name in TEMPLATES} <= wheel_names
    assert "poetgen/py.typed" in wheel_names


def test_the_wheel_holds_no_tests_and_no_corpus(wheel_names: set[str]) -> None:
    folders = {name.split("/")[0] for name in wheel_names}
    assert all(folder == "poetgen" or folder.endswith(".dist-info") for folder in folders)


Run = Callable[..., str]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Install the wheel into an empty environment; return a function that runs its programs.

    The dependencies are those of this environment, so nothing is downloaded.  The working directory is
    empty, and nothing of the repository is on the path.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("POETGEN_", "PYTHON", "COVERAGE_"))
    }
    environment = {**inherited, "POETGEN_LANGUAGE": "en", "PYTHONUTF8": "1"}
    venv = folder / "venv"
    programs = venv / ("Scripts" if os.name == "nt" else "bin")
    work = folder / "work"
    work.mkdir()

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(programs / program), *arguments],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install"]
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, *options, str(wheel)], check=True)
    ours = Path(torch.__file__).parent.parent
    (Path(site) / "dependencies.pth").write_text(f"{ours}\n", encoding="utf-8")
    return run


@pytest.mark.slow
def test_the_wheel_works_without_the_repository(installed: Run, tmp_path: Path) -> None:
    where = Path(installed("python", "-c", "import poetgen; print(poetgen.__file__)").strip())
    assert "venv" in where.parts
    assert ROOT not in where.parents

    poem = installed("poetgen", "sample", "床前", "--seed", "1", "--form", "wujue")
    assert re.fullmatch(
        r"床前\w{3}[，。？！]\w{5}[，。？！]\n\w{5}[，。？！]\w{5}[，。？！]\n", poem
    )

    train = ("--config", "tiny", "--corpus", "starter", "--run", "first", "--device", "cpu")
    trained = installed("poetgen", "train", *train, "--set", "train.epochs=1")
    assert trained.splitlines()[-1] == str(Path("checkpoints", "first", "best.safetensors"))

    verses = where.parent / "resources" / "starter.txt"
    lines = [line for line in verses.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    (tmp_path / "poems.txt").write_text("\n".join(lines[:8]), encoding="utf-8")
    poems = ("--poems", str(tmp_path / "poems.txt"), "--samples-per-form", "0", "--json")
    assert '"poems": 8,' in installed("poetgen", "eval", *poems)


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert extras.keys() >= {"plot", "docs", "dev"}
    wanted = project["dependencies"] + [one for extra in extras.values() for one in extra]
    names = {re.split("[><=]", requirement)[0].lower() for requirement in wanted}
    pinned = {
        line.split("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    }
    assert names <= pinned


def test_public_names_are_their_classes() -> None:
    assert set(poetgen.__all__) <= set(dir(poetgen))
    assert poetgen.Poet.__module__ == "poetgen.api"
    assert issubclass(poetgen.ConfigError, poetgen.UsageError)
    for name in set(poetgen.__all__) - {"__version__", "load"}:
        assert getattr(poetgen, name).__name__ == name
    with pytest.raises(AttributeError, match="'poetgen' has no attribute 'Pote'"):
        poetgen.Pote  # type: ignore[attr-defined]  # noqa: B018


def test_public_names_include_every_error() -> None:
    def children(error: type[Exception]) -> list[type[Exception]]:
        return [error, *(one for child in error.__subclasses__() for one in children(child))]

    classes = children(poetgen.PoetgenError)
    errors = {one.__name__ for one in classes if one.__module__ == "poetgen.errors"}
    assert errors <= set(poetgen.__all__)


def test_public_names_are_imported_late() -> None:
    script = (
        "import sys, poetgen; dir(poetgen); assert 'numpy' not in sys.modules;"
        "poetgen.Poem; poetgen.Options; poetgen.UsageError; assert 'numpy' not in sys.modules;"
        "poetgen.Poet; assert 'numpy' in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_help_shows_the_public_classes() -> None:
    text = pydoc.plain(pydoc.render_doc(poetgen))
    for name in ("Poet", "Poem", "Options", "Sample", "Failure", "Likelihood", "PoetgenError"):
        assert f"    class {name}(" in text, name
    assert "sample(self, prompt: str | None = None, *, temperature: float = 0.8" in text


SNIPPET = """\
import poetgen
poet = poetgen.load()
poem: poetgen.Poem = poet.sample("床前", form="七绝", rhyme=True, num=2)[0]
pieces: list[str] = list(poet.stream("床前", temperature=1))
poetgen.Options("床前", seed=1)
poet.sample(frm="七绝")
poet.sample("床前", temperature="warm")
poet.stream(5)
poetgen.Options(frm="七绝")
poetgen.Pote
"""


@pytest.mark.slow
def test_keywords_are_checked_by_mypy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    script = tmp_path / "script.py"
    script.write_text(SNIPPET, encoding="utf-8")
    options = ["--strict", "--no-error-summary", "--cache-dir", str(ROOT / ".mypy_cache")]
    output, problems, _ = mypy.run([*options, str(script)])
    errors = [line.split(":", 1)[1] for line in output.splitlines() if ": error:" in line]
    found = [(int(line.split(":")[0]), line.rsplit("[", 1)[1][:-1]) for line in errors]
    assert problems == ""
    assert found == [
        (6, "call-arg"),
        (7, "arg-type"),
        (8, "arg-type"),
        (9, "call-arg"),
        (10, "attr-defined"),
    ]

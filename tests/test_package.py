"""The package that users install: the content of the wheel, and the public names."""

import pydoc
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from mypy import api as mypy

import poetgen

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_every_configuration(wheel_names: set[str]) -> None:
    names = {f"poetgen/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    assert len(names) >= 5
    assert names <= wheel_names


def test_the_wheel_holds_the_resources_and_the_type_marker(wheel_names: set[str]) -> None:
    assert {
        "poetgen/resources/starter.txt",
        "poetgen/resources/corpus-manifest.json",
        "poetgen/py.typed",
    } <= wheel_names


def test_the_wheel_holds_no_tests_and_no_corpus(wheel_names: set[str]) -> None:
    folders = {name.split("/")[0] for name in wheel_names}
    assert all(folder == "poetgen" or folder.endswith(".dist-info") for folder in folders)


def test_constraints_pin_every_dependency() -> None:
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
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

    errors = {one.__name__ for one in children(poetgen.PoetgenError)}
    assert errors <= set(poetgen.__all__)


def test_public_names_are_imported_late() -> None:
    script = (
        "import sys, poetgen; dir(poetgen); assert 'torch' not in sys.modules;"
        "poetgen.Poem; poetgen.Options; poetgen.UsageError; assert 'torch' not in sys.modules;"
        "poetgen.Poet; assert 'torch' in sys.modules"
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

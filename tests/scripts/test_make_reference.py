"""The generated pages of docs/reference: they follow from the code, and drift is reported."""

import importlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import poetgen
from poetgen.cli.main import make_app
from poetgen.sampling.options import declared_options

app = make_app()

ROOT = Path(__file__).parent.parent.parent
PACKAGE = Path(poetgen.__file__).parent


@pytest.fixture
def make_reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("make_reference")


@pytest.fixture
def pages(make_reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the pages to a folder of the test."""
    shutil.copy(make_reference.FOLDER / "json.md", tmp_path)
    monkeypatch.setattr(make_reference, "FOLDER", tmp_path)
    assert make_reference.main([]) == 0
    return tmp_path


def test_reference_is_up_to_date(make_reference: ModuleType) -> None:
    assert make_reference.main(["--check"]) == 0, "run: make reference"


def test_check_accepts_fresh_pages(
    make_reference: ModuleType, pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {page.name for page in pages.iterdir()} == make_reference.PAGES.keys()
    assert make_reference.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["commands.md", "configuration.md", "api.md"])
def test_check_reports_drift(
    make_reference: ModuleType, pages: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = pages / name
    old = page.read_text(encoding="utf-8").replace("\n", "\nWritten by hand.\n", 1)
    page.write_text(old, encoding="utf-8")
    assert make_reference.main(["--check"]) == 1
    assert "-Written by hand." in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == old


def test_check_reports_missing_page(make_reference: ModuleType, pages: Path) -> None:
    (pages / "api.md").unlink()
    assert make_reference.main(["--check"]) == 1


def test_check_reports_drift_of_docstring_in_json_page(
    make_reference: ModuleType, pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = pages / "json.md"
    text = page.read_text(encoding="utf-8")
    start = "<!-- from poetgen.views.scansion.to_json -->\n"
    assert f"{start}\n`title`" in text
    page.write_text("By hand.\n" + text.replace(start, f"{start}Forged.\n"), encoding="utf-8")
    assert make_reference.main(["--check"]) == 1
    assert capsys.readouterr().err.count("\n-") == 1
    assert make_reference.main([]) == 0
    assert page.read_text(encoding="utf-8") == "By hand.\n" + text


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def test_commands_page_lists_every_option(pages: Path) -> None:
    text = (pages / "commands.md").read_text(encoding="utf-8")
    for escaped, shown in (("<code>", "`"), ("</code>", "`"), ("&#124;", "|"), ("\\|", "|")):
        text = text.replace(escaped, shown)
    sections = {part.split("\n")[0]: part for part in text.split("\n## poetgen ")[1:]}
    found = dict(commands(typer.main.get_command(app)))
    assert sections.keys() == found.keys()
    assert {"sample", "corpus fetch"} <= sections.keys()
    for name, command in found.items():
        assert "```sh\npoetgen " in sections[name], f"{name} has no example"
        for parameter in command.params:
            assert " ".join(parameter.help.split()) in sections[name], (name, parameter.name)
            for flag in [*parameter.opts, *parameter.secondary_opts]:
                is_flag = parameter.param_type_name == "option"
                assert f"`{flag}" in sections[name] or not is_flag, (name, flag)


def test_api_page_has_public_names_and_options(pages: Path) -> None:
    text = (pages / "api.md").read_text(encoding="utf-8")
    for name in ("poetgen.load", "Poet.sample", "Poet.stream", "Poet.score", "Options"):
        assert re.search(rf"^##+ .*\b{name}$", text, re.MULTILINE), name
    for option in declared_options():
        assert f"| `{option}` |" in text
    assert "| `ConstraintError` | `PoetgenError` | 3 |" in text


def test_no_page_has_memory_addresses(pages: Path) -> None:
    for page in pages.iterdir():
        assert " at 0x" not in page.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Tree:
    """A tree of a garden.

    tree = Tree("pine")
    print(tree.name)

    It grows.

    Raises:
        ValueError: the name is
            empty.
    """

    name: str
    """The name that it is known
    by."""
    height: float | None = None

    @property
    def is_tall(self) -> bool:
        """Whether it gives shade."""
        return True

    def grow(self, *, meters: "float" = 1.0) -> "Tree":
        """Return a taller tree."""
        return Tree(self.name, meters)

    def _age(self) -> int:
        return 1


def test_docstring_becomes_markdown(make_reference: ModuleType) -> None:
    assert make_reference._docstring(Tree) == (
        "A tree of a garden.\n\n"
        '```python\ntree = Tree("pine")\nprint(tree.name)\n```\n\n'
        "It grows.\n\n"
        "Raises:\n\n- `ValueError`: the name is empty."
    )


def test_class_parts_list_attributes_and_methods(make_reference: ModuleType) -> None:
    text = "\n\n".join(make_reference._class_parts("Tree", Tree))
    assert "| `name` | `str` |  | The name that it is known by. |" in text
    assert "| `height` | <code>float &#124; None</code> | `None` |  |" in text
    assert "| `is_tall` | `bool` |  | Whether it gives shade. |" in text
    assert (
        "### Tree.grow\n\n```python\nTree.grow(self, *, meters: float = 1.0) -> Tree\n```" in text
    )
    assert "_age" not in text


def test_environment_page_lists_every_variable() -> None:
    names = {
        name
        for file in PACKAGE.rglob("*.py")
        for name in re.findall(r"\bPOETGEN_[A-Z_]+\b", file.read_text(encoding="utf-8"))
    }
    page = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    assert len(names) >= 4
    assert set(re.findall(r"^\| `(POETGEN_[A-Z_]+)`", page, re.MULTILINE)) == names

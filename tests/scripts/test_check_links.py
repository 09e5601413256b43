"""The check of links in Markdown files."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"


@pytest.fixture
def check_links(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("check_links")


def test_links_of_the_repository_are_whole(check_links: ModuleType) -> None:
    assert len(check_links.markdown_files(check_links.ROOT)) > 15
    assert check_links.main() == 0


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("[a](docs/page.md)", ""),
        ("[a](docs/page.md#two-words)", ""),
        ("[a](docs/page.md#two-words-1)", ""),
        ("[a](#中文简介)", ""),
        ('[a](docs/page.md "a title")', ""),
        ("![a](docs/picture.svg)", ""),
        ("[a](docs)", ""),
        ("[a](https://example.org/b#c)", ""),
        ("`[a](nowhere.md)`", ""),
        ("```\n[a](nowhere.md)\n```", ""),
        ("[a](docs/nowhere.md)", "docs/nowhere.md: there is no such file"),
        ("[a\nb](docs/nowhere.md)", "docs/nowhere.md: there is no such file"),
        ("![a](picture.svg)", "picture.svg: there is no such file"),
        ("[a](docs/page.md#three)", "docs/page.md#three: there is no such heading"),
        ("[a](docs/page.md#in-code)", "docs/page.md#in-code: there is no such heading"),
        ("[a](#two-words)", "#two-words: there is no such heading"),
        ("[a](htps://example.org)", "htps://example.org: not a valid address"),
    ],
)
def test_broken_link_is_reported(
    check_links: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    link: str,
    fault: str,
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "README.md").touch()
    (tmp_path / "docs" / "picture.svg").touch()
    page = "# `Two` words\n\n```sh\n# in code\n```\n\n## Two words\n"
    (tmp_path / "docs" / "page.md").write_text(page, encoding="utf-8")
    (tmp_path / "README.md").write_text(f"## 中文，简介\n\n{link}\n", encoding="utf-8")
    assert check_links.main(tmp_path) == int(bool(fault))
    assert capsys.readouterr().err == (f"README.md: {fault}\n" if fault else "")

"""The document site, and the files that describe the project to other programs."""

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import poetgen

ROOT = Path(__file__).parent.parent.parent


def load_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_site_requests_nothing_from_other_hosts(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?([^\"'\s>]+)", text)
        loaded += [
            address
            for tag in re.findall(r"<link\b[^>]*>", text)
            if 'rel="canonical"' not in tag
            for address in re.findall(r"\bhref=[\"']?([^\"'\s>]+)", tag)
        ]
        assert loaded, page
        assert [address for address in loaded if re.match(r"(?:https?:)?//", address)] == []


def test_site_has_pages_of_the_repository(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    for name in ("corpus.html", "contributing.html", "install.html"):
        assert f'href="{name}"' in page
        assert (site / name).is_file()
    own_poems = (site / "how-to" / "own-poems.html").read_text(encoding="utf-8")
    assert 'href="../corpus.html#your-own-poems"' in own_poems


def test_hook_turns_other_files_into_text(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(ROOT / "scripts")
    hooks: ModuleType = importlib.import_module("mkdocs_hooks")

    class Page:
        class file:  # noqa: N801 (as mkdocs has it)
            src_uri = "how-to/page.md"

    text = "[a](../../data/README.md#b) [c](../guide.md) [d](../../configs/base.yaml) [e](#f)\n"
    code = "```\n[a](../../data/README.md)\n```\n"
    shown = hooks.on_page_markdown(text + code + text, page=Page, config=None, files=None)
    changed = "[a](../corpus.md#b) [c](../guide.md) d [e](#f)\n"
    assert shown == changed + code + changed
    Page.file.src_uri = "contributing.md"
    link = hooks.on_page_markdown("[a](docs/design.md) [b](data/README.md)", page=Page)
    assert link == "[a](design.md) [b](corpus.md)"


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == poetgen.__version__ == load_yaml("CITATION.cff")["version"]


def test_citation_has_the_required_keys() -> None:
    citation = load_yaml("CITATION.cff")
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}


def test_workflow_runs_all_checks_on_all_systems() -> None:
    job = load_yaml(".github/workflows/checks.yml")["jobs"]["checks"]
    matrix = job["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    assert job["steps"][-1]["run"] == "bash scripts/test.sh"


def test_hooks_before_commits_are_local() -> None:
    repos = load_yaml(".pre-commit-config.yaml")["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    for hook in repos[0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith("bash scripts/python.sh ")


def test_make_lists_its_targets() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    assert {"help", "check", "check-fast", "docs", "reference", "quickstart"} <= targets
    assert set(re.findall(r"^([a-z-]+):.*## \S", text, re.MULTILINE)) == targets
    for script in re.findall(r"scripts/\S+", text):
        assert (ROOT / script).is_file()

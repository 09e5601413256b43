"""The package that users install: the wheel contains configurations, starter verses and manifest."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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

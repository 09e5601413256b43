"""The shell scripts that set up: which Python they find, and both layouts of a virtual environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"
FAKE_PYTHON = """#!/bin/sh
echo "$(basename "$0") $*" >> "{log}"
case "$*" in
  *sys.exit*) exit {too_old} ;;
  "-m venv "*) mkdir -p "$3/{folder}" && cp "$0" "$3/{folder}/{name}" ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def bash(folder: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHON", "VENV")}
    inherited.pop("TORCH_INDEX_URL", None)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"source '{SCRIPTS / 'environment.sh'}'\n{script}"],
        cwd=folder,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def fake_python(
    folder: Path, *, layout: tuple[str, str] = ("bin", "python"), too_old: int = 0
) -> Path:
    """Write a program that logs its calls and makes a virtual environment of this layout."""
    file = folder / "fakepython"
    values = {"log": folder / "log", "folder": layout[0], "name": layout[1], "too_old": too_old}
    file.write_text(FAKE_PYTHON.format(**values))
    file.chmod(0o755)
    return file


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot run a script as a program")
@pytest.mark.parametrize("layout", [("bin", "python"), ("Scripts", "python.exe")])
def test_install_supports_both_layouts(tmp_path: Path, layout: tuple[str, str]) -> None:
    python = fake_python(tmp_path, layout=layout)
    script = "install '.[dev]'; venv_python"
    done = bash(tmp_path, script, PYTHON=str(python), TORCH_INDEX_URL="https://index")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f".venv/{layout[0]}/{layout[1]}\n"
    calls = (tmp_path / "log").read_text().splitlines()
    pip = f"{layout[1]} -m pip install --quiet --disable-pip-version-check --constraint constraints.txt"
    assert calls[1:] == [
        "fakepython -m venv .venv",
        f"{pip} --index-url https://index --no-deps torch",
        f"{pip} --editable .[dev]",
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot run a script as a program")
def test_install_keeps_an_environment(tmp_path: Path) -> None:
    python = fake_python(tmp_path)
    (tmp_path / "own" / "bin").mkdir(parents=True)
    shutil.copy(python, tmp_path / "own" / "bin" / "python")
    done = bash(tmp_path, "install .", PYTHON="no-such-program", VENV="own")
    assert (done.returncode, done.stderr) == (0, "")
    assert "venv" not in (tmp_path / "log").read_text()


def test_venv_python_fails_without_environment(tmp_path: Path) -> None:
    done = bash(tmp_path, "venv_python")
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot run a script as a program")
def test_find_python_refuses_old_versions(tmp_path: Path) -> None:
    done = bash(tmp_path, "find_python", PYTHON=str(fake_python(tmp_path, too_old=1)))
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "→" in done.stderr


def test_scripts_are_valid_bash() -> None:
    files = list(SCRIPTS.glob("*.sh"))
    assert len(files) >= 5
    for file in files:
        assert subprocess.run(["bash", "-n", str(file)], capture_output=True).stderr == b""

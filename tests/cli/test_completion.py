"""Shell completion of option values."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from poetgen.cli import completion


def test_forms_are_found_by_both_names() -> None:
    assert completion.forms("七") == ["七绝", "七律"]
    assert completion.forms("wu") == ["wujue", "wulv"]


def test_rhyme_groups_begin_with_level_ones() -> None:
    groups = completion.rhyme_groups("")
    assert len(groups) == 106
    assert groups[0] == "东"
    assert completion.rhyme_groups("阳") == ["阳"]


def test_authors_are_those_of_the_bundled_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert {"李白", "李商隐"} <= set(completion.authors("李"))


def test_authors_of_a_damaged_model_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"x")
    monkeypatch.setenv("POETGEN_CHECKPOINT", str(tmp_path / "x.safetensors"))
    assert completion.authors("") == []


def test_runs_and_models_are_those_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert completion.runs("") == []
    for name in ("spring", "autumn", "spare"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "config.yaml").touch()
    assert completion.runs("sp") == ["spare", "spring"]
    assert completion.models("") == ["autumn", "spare", "spring", "tang"]


def test_configurations_are_the_bundled_ones() -> None:
    assert {"base", "tiny", "finetune"} <= set(completion.configurations(""))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("poetgen sample --form ", "五绝"),
        ("poetgen sample --rhyme-group ", "阳"),
        ("poetgen sample --author ", "李白"),
        ("poetgen sample --model ", "tang"),
        ("poetgen config ", "tiny"),
        ("poetgen train --config ", "base"),
        ("poetgen train --run ", "spring"),
        ("poetgen train --init ", "tang"),
        ("poetgen eval ", "tang"),
        ("poetgen export ", "tang"),
        ("poetgen plot ", "spring"),
    ],
)
def test_program_completes_values_in_bash(tmp_path: Path, line: str, expected: str) -> None:
    (tmp_path / "checkpoints" / "spring").mkdir(parents=True)
    (tmp_path / "checkpoints" / "spring" / "config.yaml").touch()
    variables = {
        "_POETGEN_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split())),
    }
    done = subprocess.run(
        [sys.executable, "-m", "poetgen"],
        env={**os.environ, **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert expected in done.stdout.split()

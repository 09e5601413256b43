"""Fixtures of the commands' tests."""

from pathlib import Path

import pytest


@pytest.fixture
def folder_with_a_model(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a folder with a model that is the default of every command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POETGEN_CHECKPOINT", model_file.name)

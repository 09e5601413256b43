"""Fixtures of the commands' tests."""

from pathlib import Path

import pytest


@pytest.fixture
def folder_with_a_model(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where a model lies that every command takes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POETGEN_CHECKPOINT", model_file.name)

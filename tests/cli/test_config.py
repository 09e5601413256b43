"""`poetgen config`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from poetgen.cli.main import make_app
from poetgen.config import config_names, load_config
from tests.refusal import is_refused

app = make_app()


def config(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["config", *arguments])


@pytest.mark.parametrize("name", config_names())
def test_config_prints_loadable_yaml(name: str, tmp_path: Path) -> None:
    result = config(name, "--set", "train.epochs=3")
    assert result.exit_code == 0
    path = tmp_path / "mine.yaml"
    path.write_text(result.stdout, encoding="utf-8")
    assert load_config(str(path)) == load_config(name, ["train.epochs=3"])
    assert config(str(path)).stdout == result.stdout


def test_config_default_is_base() -> None:
    assert config().stdout == config("base").stdout


@pytest.mark.parametrize("arguments", [["nowhere"], ["base", "--set", "train.epoch=3"]])
def test_config_rejects_unknown_names(arguments: list[str]) -> None:
    assert is_refused(config(*arguments), 2)

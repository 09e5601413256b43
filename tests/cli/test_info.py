"""`poetgen info`."""

import json
from pathlib import Path

from typer.testing import CliRunner

from poetgen.cli.main import app
from poetgen.model.store import StoredModel


def test_a_model_tells_its_shape_and_its_figures(model_file: Path, tiny_model: StoredModel) -> None:
    result = CliRunner().invoke(app, ["info", str(model_file), "--json"])
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    assert facts["file"] == str(model_file)
    assert facts["bytes"] == model_file.stat().st_size
    assert facts["weights"] == sum(p.numel() for p in tiny_model.model.parameters())
    assert facts["symbols"] == len(tiny_model.vocab)
    assert facts["trained_on"] == tiny_model.corpus
    assert facts["metrics"] == {"epoch": 0.0}
    assert (facts["model"]["cell"], facts["model"]["hidden_size"]) == ("lstm", 16)
    assert facts["train"]["epochs"] == 2


def test_the_table_has_a_row_for_each_figure(model_file: Path) -> None:
    result = CliRunner().invoke(app, ["info", str(model_file)], env={"COLUMNS": "200"})
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["model.hidden_size", "16"] in rows
    assert ["metrics.epoch", "0.0"] in rows


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "noise.safetensors"
    path.write_bytes(b"\x01" * 500)
    result = CliRunner().invoke(app, ["info", str(path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 2

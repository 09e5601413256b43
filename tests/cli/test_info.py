"""`poetgen info`."""

import json
from pathlib import Path

from typer.testing import CliRunner

from poetgen.cli.main import app
from poetgen.model.locate import SHIPPED
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
    assert facts["can_be_told"] == {"form": [], "title": False, "author": []}


def test_the_model_that_ships_names_its_authors() -> None:
    call = ["info", str(SHIPPED)]
    facts = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    authors = facts["can_be_told"]["author"]
    assert {"李白", "杜甫"} <= set(authors)
    shown = CliRunner().invoke(app, call, env={"COLUMNS": "200"}).stdout
    assert f"{' '.join(authors[:12])} … ({len(authors)}; all: --json)" in shown
    assert f"{facts['metrics']['test_perplexity']:.6g}" in shown


def test_the_table_has_a_row_for_each_figure(model_file: Path) -> None:
    result = CliRunner().invoke(app, ["info", str(model_file)], env={"COLUMNS": "200"})
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["hidden_size", "16"] in rows[rows.index(["model"]) :]
    assert ["epoch", "0"] in rows[rows.index(["metrics"]) :]


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "noise.safetensors"
    path.write_bytes(b"\x01" * 500)
    result = CliRunner().invoke(app, ["info", str(path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 2


def test_brackets_in_a_path_are_no_markup(tmp_path: Path, model_file: Path) -> None:
    path = tmp_path / "[v1]" / "m[bold].safetensors"
    path.parent.mkdir()
    path.write_bytes(model_file.read_bytes())
    result = CliRunner().invoke(app, ["info", str(path)], env={"COLUMNS": "300"})
    assert str(path) in result.stdout

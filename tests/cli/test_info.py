"""`poetgen info`."""

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from poetgen.cli.main import make_app
from poetgen.model.file import ModelBundle
from poetgen.runs import BUNDLED

app = make_app()


def test_info_json_describes_the_model(model_file: Path, tiny_model: ModelBundle) -> None:
    result = CliRunner().invoke(app, ["info", "-m", str(model_file), "--json"])
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert values["file"] == str(model_file)
    assert values["bytes"] == model_file.stat().st_size
    assert values["parameters"] == sum(p.numel() for p in tiny_model.network.parameters())
    assert values["symbols"] == len(tiny_model.vocab)
    assert values["corpus_fingerprint"] == tiny_model.corpus_fingerprint
    assert values["metrics"] == {"epoch": 0.0}
    assert (values["model"]["cell"], values["model"]["hidden_size"]) == ("lstm", 16)
    assert values["train"]["epochs"] == 2
    assert values["supported_conditions"] == {"form": [], "title": False, "author": []}
    assert "config" not in values


def test_info_lists_authors_of_the_bundled_model() -> None:
    call = ["info", "--model", str(BUNDLED)]
    values = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    authors = values["supported_conditions"]["author"]
    assert {"李白", "杜甫"} <= set(authors)
    shown = CliRunner().invoke(app, call, env={"COLUMNS": "200"}).stdout
    assert f"{' '.join(authors[:12])} … ({len(authors)}; all: --json)" in shown
    assert f"{values['metrics']['test_perplexity']:.6g}" in shown


def test_info_table_has_a_row_per_value(model_file: Path) -> None:
    call = ["info", "-m", str(model_file)]
    result = CliRunner().invoke(app, call, env={"COLUMNS": "200"})
    path, summary, *table = result.stdout.splitlines()
    assert path == str(model_file)
    assert summary.startswith("2-layer LSTM with 16 units per layer, ")
    rows = [row.split() for row in table]
    assert ["hidden_size", "16"] in rows[rows.index(["model"]) :]
    assert ["epoch", "0"] in rows[rows.index(["metrics"]) :]


def test_info_rejects_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "noise.safetensors"
    path.write_bytes(b"\x01" * 500)
    result = CliRunner().invoke(app, ["info", "-m", str(path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 2


def test_info_prints_brackets_in_a_path(tmp_path: Path, model_file: Path) -> None:
    path = tmp_path / "[v1]" / "m[bold].safetensors"
    path.parent.mkdir()
    path.write_bytes(model_file.read_bytes())
    result = CliRunner().invoke(app, ["info", "-m", str(path)], env={"COLUMNS": "300"})
    assert str(path) in result.stdout


def test_info_does_not_import_torch() -> None:
    script = (
        "import sys\nfrom poetgen.cli.main import make_app\napp = make_app()\n"
        "app(['info', '-m', 'tang', '--json'], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")

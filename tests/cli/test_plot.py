"""`poetgen plot`: runs by name, folder or file; pages, figures and JSON."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from poetgen.cli.main import make_app
from tests.refusal import is_refused

app = make_app()

ENTRY = {"kind": "step", "step": 10, "epoch": 1, "nats_per_token": 1.0, "learning_rate": 0.1}


def poetgen(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs spring and autumn, which have two epochs each."""
    folder = tmp_path_factory.mktemp("trained")
    small = ["--set=model.hidden_size=16", "--set=model.embedding_size=12", "--set=train.epochs=2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for run in ("spring", "autumn"):
            result = poetgen("train", "--config=tiny", "--device=cpu", "--run", run, *small)
            assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def _here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)


@pytest.mark.usefixtures("_here")
def test_plot_default_is_the_newest_run() -> None:
    result = poetgen("plot")
    assert result.exit_code == 0, result.stderr
    page = Path("checkpoints/autumn/curves.html")
    assert result.stderr == f"wrote {page}\n"
    assert result.stdout.splitlines()[-1].split()[:3] == ["autumn", "2", "72"]
    assert "autumn" in page.read_text(encoding="utf-8")


@pytest.mark.usefixtures("_here")
def test_plot_several_runs(tmp_path: Path) -> None:
    result = poetgen("plot", "spring", "checkpoints/autumn", "checkpoints/spring/metrics.jsonl")
    assert result.exit_code == 0, result.stderr
    names = [row.split()[0] for row in result.stdout.splitlines()]
    assert names == ["run", "spring", "autumn", "spring"]
    assert Path("curves.html").read_text(encoding="utf-8").count("spring: training") == 2
    figure = tmp_path / "two.svg"
    assert poetgen("plot", "spring", "autumn", "--by=tokens", "-o", str(figure)).exit_code == 0
    ElementTree.parse(figure)


@pytest.mark.usefixtures("_here")
def test_plot_png(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py", reason="resvg_py (the extra `plot`) is not installed")
    figure = tmp_path / "curves.png"
    assert poetgen("plot", "spring", "-o", str(figure)).exit_code == 0
    assert figure.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("with_output", [False, True])
def test_plot_json_prints_the_series(tmp_path: Path, with_output: bool) -> None:
    Path("checkpoints/spring/curves.html").unlink(missing_ok=True)
    output = tmp_path / "curves.html"
    result = poetgen("plot", "spring", "--json", *(["-o", str(output)] if with_output else []))
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    (run,) = values["runs"]
    assert (values["by"], run["run"], run["steps"], run["epochs"]) == ("epochs", "spring", 72, 2)
    assert [x for x, _ in run["validation"]] == [1, 2]
    assert run["best_valid_perplexity"] == min(y for _, y in run["validation"])
    assert len(run["training"]) == len(run["learning_rate"]) == 7
    assert output.exists() == with_output
    assert not Path("checkpoints/spring/curves.html").exists()


@pytest.mark.usefixtures("_here")
def test_plot_refuses_unknown_runs() -> None:
    result = poetgen("plot", "spring", "winter")
    assert is_refused(result, 2)
    assert "there is no run winter" in result.stderr
    assert "autumn, spring" in result.stderr
    assert is_refused(poetgen("plot", "x" * 5000), 2)
    assert is_refused(poetgen("plot", "nul\0byte"), 2)
    assert is_refused(poetgen("plot", "spring", "-o", "curves.pdf"), 2)


def test_plot_without_any_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = poetgen("plot")
    assert is_refused(result, 2)
    assert "poetgen train --config base" in result.stderr


@pytest.mark.parametrize("content", [None, ""], ids=["no file", "empty file"])
def test_plot_of_a_run_without_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("checkpoints/young")
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    if content is not None:
        (run / "metrics.jsonl").write_text(content, encoding="utf-8")
    result = poetgen("plot", "young")
    assert is_refused(result, 1)
    assert "young" in result.stderr
    assert "metrics" in result.stderr


def test_plot_of_an_old_log_by_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.jsonl").write_text(json.dumps(ENTRY) + "\n", encoding="utf-8")
    result = poetgen("plot", "old.jsonl", "--by", "tokens")
    assert is_refused(result, 2)
    assert "--by steps" in result.stderr
    assert poetgen("plot", "old.jsonl", "--by", "steps").exit_code == 0
    assert "old" in Path("curves.html").read_text(encoding="utf-8")

"""`poetgen inspect`."""

import json
import logging
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from poetgen import progress
from poetgen.cli.main import make_app
from poetgen.config import Config
from poetgen.data.corpus import Corpus
from poetgen.data.vocab import Vocabulary
from poetgen.model.file import ModelBundle, save_model
from poetgen.model.network import PoemRNN, network_arrays
from tests.inspection.networks import bundle_with_cell
from tests.refusal import is_refused

app = make_app()

TEXT = "床前明月光，疑是地上霜。"


pytestmark = pytest.mark.usefixtures("folder_with_a_model")


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "poetgen")


def inspect(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["inspect", *arguments], env={"COLUMNS": "100"})


def rows(result: Result) -> list[str]:
    """The first character of each row of the table."""
    assert result.exit_code == 0, result.stderr
    printed = result.stdout.splitlines()
    start = next(number for number, row in enumerate(printed) if "next, in %" in row)
    return [row[0] for row in printed[start + 1 : printed.index("", start)]]


def test_inspect_prints_a_row_per_character(caplog: pytest.LogCaptureFixture) -> None:
    result = inspect(TEXT)
    assert rows(result) == ["＾", *TEXT]
    assert re.search(r"\d\.\d\d nats per character", result.stdout)
    assert caplog.messages == ["model tiny.safetensors (from $POETGEN_CHECKPOINT)"]


def test_inspect_normalizes_text(caplog: pytest.LogCaptureFixture) -> None:
    result = inspect("牀前明月光,疑是地上霜.☃")
    assert "".join(rows(result)).startswith("＾" + TEXT[:-1])
    assert "not in the model's vocabulary" in caplog.text


def test_inspect_generate() -> None:
    first, again, other = (
        rows(inspect("床前", "--generate", "-s", seed)) for seed in ("1", "1", "2")
    )
    assert first == again != other
    assert first[:3] == ["＾", "床", "前"]
    sampled = CliRunner().invoke(app, ["sample", "床前", "--seed", "1"]).stdout
    assert "".join(first[1:]) == sampled.replace("\n", "")


def test_inspect_page_has_every_ablation(caplog: pytest.LogCaptureFixture) -> None:
    result = inspect(TEXT, "-o", "gates.html")
    assert rows(result) == ["＾", *TEXT]
    assert "wrote gates.html" in caplog.messages
    page = Path("gates.html").read_text(encoding="utf-8")
    found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert (data["model"], len(data["runs"])) == ("tiny", 13)


def test_inspect_json() -> None:
    result = inspect(TEXT, "--json", "--output", "gates.svg")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert (values["model"], values["text"]) == ("tiny", TEXT)
    assert [len(layer["forget"]) for layer in values["layers"]] == [1 + len(TEXT)] * 2
    assert Path("gates.svg").is_file()
    gradients = json.loads(inspect(TEXT, "--gradients", "--json").stdout)
    assert gradients["texts"] == [TEXT]
    assert [decay["model"] for decay in gradients["decays"]] == ["tiny", None, None, None]


def test_inspect_logs_progress(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.0)
    assert inspect(TEXT, "-o", "gates.html").exit_code == 0
    assert inspect("--gradients").exit_code == 0
    stages = [(one.split(":")[0], one.split(" ")[2]) for one in caplog.messages if " left" in one]
    gates = [("clamping gates", str(done)) for done in range(1, 12)]
    poems = [("generating poems", str(done)) for done in range(1, 64)]
    decays = [("measuring gradients", str(done)) for done in range(1, 4)]
    assert stages == [*gates, *poems, *decays]


@pytest.mark.parametrize(("cell", "note"), [("gru", "a GRU has neither"), ("rnn", "a plain RNN")])
def test_inspect_other_cells(
    cell: str,
    note: str,
    tiny_config: Config,
    tiny_model: ModelBundle,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = bundle_with_cell(cell, tiny_config, tiny_model)
    save_model(Path("other.safetensors"), other)
    result = inspect(TEXT, "-m", "other.safetensors", "--output", "gates.html")
    assert rows(result) == ["＾", *TEXT]
    assert f"note: {note}" in caplog.text
    assert "h1" in result.stdout
    assert "f1" not in result.stdout
    assert ("r1" in result.stdout, "u1" in result.stdout) == (cell == "gru", cell == "gru")
    assert note[2:] in Path("gates.html").read_text(encoding="utf-8")


def test_inspect_gradients(caplog: pytest.LogCaptureFixture) -> None:
    result = inspect(TEXT, "--gradients", "--output", "gradients.html")
    assert result.exit_code == 0, result.stderr
    assert TEXT in result.stdout
    assert Path("gradients.html").is_file()
    own = inspect("--gradients", "--against", "tiny.safetensors")
    assert own.exit_code == 0, own.stderr
    assert re.search(r"16 poems by the first model, \d+ characters of each", own.stdout)
    # The same model twice is two rows, and the files are logged.
    assert own.stdout.count("tiny (lstm, trained)") == 2
    assert "compared with tiny.safetensors" in caplog.messages
    greedy = inspect("--gradients", "-t", "0")
    table = greedy.stdout[greedy.stdout.index("tiny (lstm, trained)") :]
    assert table.splitlines()[0] != own.stdout[own.stdout.index("tiny (lstm") :].splitlines()[0]


def test_inspect_gradients_warns_per_model(
    starter: Corpus, tiny_config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    few = Vocabulary.build(starter.splits["train"], min_count=1000)
    weights = network_arrays(PoemRNN(len(few), tiny_config.model))
    save_model(Path("few.safetensors"), ModelBundle(weights, few, tiny_config, ""))
    result = inspect(TEXT + "☃", "--gradients", "--against", "few.safetensors")
    assert result.exit_code == 0, result.stderr
    mine, other = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert mine.startswith("tiny: ")
    assert "☃" in mine
    assert "床" not in mine
    assert other.startswith("few: ")
    assert "床" in other


def test_inspect_checks_output_first() -> None:
    Path("folder.html").mkdir()
    result = inspect(TEXT, "--output", "folder.html")
    assert is_refused(result, 1), result.stderr
    assert result.stdout == ""
    assert "folder.html cannot be written" in result.stderr


def test_inspect_figures() -> None:
    result = inspect(TEXT, "--output", "gates.svg")
    assert result.exit_code == 0, result.stderr
    assert Path("gates.svg").read_text(encoding="utf-8").startswith("<svg xmlns=")
    pytest.importorskip("resvg_py", reason="resvg_py (the extra `plot`) is not installed")
    result = inspect(TEXT, "--gradients", "--output", "GRADIENTS.PNG")
    assert result.exit_code == 0, result.stderr
    assert Path("GRADIENTS.PNG").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("columns", ["40", "60"])
def test_inspect_narrow_terminal(columns: str) -> None:
    result = CliRunner().invoke(app, ["inspect", TEXT], env={"COLUMNS": columns})
    assert result.exit_code == 0, result.stderr
    starts = [row[0] for row in result.stdout.splitlines() if row]
    assert "".join(["＾", *TEXT]) in "".join(starts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no text"),
        (["，"], "the text “，” contains no character"),
        (["", "--gradients"], "the text “” contains no character"),
        (["床", "--gradients"], "床 is too short"),
        (["床", "--generate", "--gradients"], "exclude each other"),
        (["床", "--against", "tiny.safetensors"], "requires --gradients"),
        (["床", "--output", "gates.pdf"], "ends in none of .html .png .svg"),
        (["床", "--temperature", "-1"], "temperature is -1.0"),
        (["床", "--device", "abacus"], "there is no device"),
    ],
)
def test_inspect_usage_errors(arguments: list[str], message: str) -> None:
    result = inspect(*arguments)
    assert is_refused(result, 2), result.stderr
    assert message in result.stderr


@pytest.mark.parametrize("arguments", [[TEXT], [TEXT, "--gradients"]])
def test_inspect_png_without_resvg(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    result = inspect(*arguments, "--output", "gates.png")
    assert is_refused(result, 1), result.stderr
    assert "poetgen[plot]" in result.stderr
    assert not Path("gates.png").exists()

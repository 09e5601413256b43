"""`poetgen inspect`."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from poetgen.cli.main import app
from poetgen.config import Config
from poetgen.data.corpus import Corpus
from poetgen.data.vocab import Vocabulary
from poetgen.model.store import StoredModel, new_model, save_model
from tests.refusal import is_refused

VERSE = "床前明月光，疑是地上霜。"


pytestmark = pytest.mark.usefixtures("folder_with_a_model")


def inspect(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["inspect", *arguments], env={"COLUMNS": "100"})


def rows(result: Result) -> list[str]:
    """The first character of each row of the table."""
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if "next, in %" in line)
    return [line[0] for line in lines[start + 1 : lines.index("", start)]]


def test_a_row_for_each_character_of_the_verse() -> None:
    result = inspect(VERSE)
    assert rows(result) == ["＾", *VERSE]
    assert re.search(r"\d\.\d\d nats per character", result.stdout)
    assert result.stderr.splitlines() == ["model tiny.safetensors (from $POETGEN_CHECKPOINT)"]


def test_the_verse_is_normalised_like_a_prompt() -> None:
    result = inspect("牀前明月光,疑是地上霜.☃")
    assert "".join(rows(result)).startswith("＾" + VERSE[:-1])
    assert "not in the model's vocabulary" in result.stderr


def test_it_writes_on_with_a_seed() -> None:
    first, again, other = (
        rows(inspect("床前", "--continue", "--seed", seed)) for seed in ("1", "1", "2")
    )
    assert first == again != other
    assert first[:3] == ["＾", "床", "前"]
    sampled = CliRunner().invoke(app, ["sample", "床前", "--seed", "1"]).stdout
    assert "".join(first[1:]) == sampled.replace("\n", "")


def test_a_page_holds_every_gate_held() -> None:
    result = inspect(VERSE, "--output", "gates.html")
    assert rows(result) == ["＾", *VERSE]
    assert "wrote gates.html" in result.stderr
    page = Path("gates.html").read_text(encoding="utf-8")
    found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert (data["model"], len(data["runs"])) == ("tiny", 13)


@pytest.mark.parametrize(("cell", "lacks"), [("gru", "a GRU has neither"), ("rnn", "a plain RNN")])
def test_a_model_without_gates_shows_what_it_has(
    cell: str, lacks: str, tiny_config: Config, tiny_model: StoredModel
) -> None:
    shape = tiny_config.model.model_copy(update={"cell": cell})
    config = tiny_config.model_copy(update={"model": shape})
    torch.manual_seed(0)
    other = StoredModel(new_model(config, tiny_model.vocab), tiny_model.vocab, config, "")
    save_model(Path("other.safetensors"), other)
    result = inspect(VERSE, "--checkpoint", "other.safetensors", "--output", "gates.html")
    assert rows(result) == ["＾", *VERSE]
    assert f"note: {lacks}" in result.stderr
    assert "h1" in result.stdout
    assert "f1" not in result.stdout
    assert ("r1" in result.stdout, "u1" in result.stdout) == (cell == "gru", cell == "gru")
    assert lacks[2:] in Path("gates.html").read_text(encoding="utf-8")


def test_gradients_of_a_verse_and_of_its_own_poems() -> None:
    result = inspect(VERSE, "--gradients", "--output", "gradients.html")
    assert result.exit_code == 0, result.stderr
    assert VERSE in result.stdout
    assert Path("gradients.html").is_file()
    own = inspect("--gradients", "--against", "tiny.safetensors")
    assert own.exit_code == 0, own.stderr
    assert re.search(r"16 poems of its own, \d+ characters each", own.stdout)
    # The same model twice is two rows, and the files are told.
    assert own.stdout.count("tiny (lstm, trained)") == 2
    assert "against tiny.safetensors" in own.stderr
    surer = inspect("--gradients", "--temperature", "0")
    table = surer.stdout[surer.stdout.index("tiny (lstm, trained)") :]
    assert table.splitlines()[0] != own.stdout[own.stdout.index("tiny (lstm") :].splitlines()[0]


def test_gradients_name_the_unknown_characters_of_each_model(
    starter: Corpus, tiny_config: Config
) -> None:
    few = Vocabulary.build(starter.splits["train"], min_count=1000)
    save_model(
        Path("few.safetensors"), StoredModel(new_model(tiny_config, few), few, tiny_config, "")
    )
    result = inspect(VERSE + "☃", "--gradients", "--against", "few.safetensors")
    assert result.exit_code == 0, result.stderr
    mine, other = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert mine.startswith("warning: tiny: ")
    assert "☃" in mine
    assert "床" not in mine
    assert other.startswith("warning: few: ")
    assert "床" in other


def test_an_unwritable_output_is_told_before_the_work() -> None:
    Path("folder.html").mkdir()
    result = inspect(VERSE, "--output", "folder.html")
    assert is_refused(result, 1), result.stderr
    assert result.stdout == ""
    assert "folder.html cannot be written" in result.stderr


def test_the_ending_of_a_figure_may_be_in_capitals() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (the extra `plot`) is not installed")
    result = inspect(VERSE, "--gradients", "--output", "GRADIENTS.PNG")
    assert result.exit_code == 0, result.stderr
    assert Path("GRADIENTS.PNG").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("columns", ["40", "60"])
def test_a_narrow_terminal_keeps_the_characters(columns: str) -> None:
    result = CliRunner().invoke(app, ["inspect", VERSE], env={"COLUMNS": columns})
    assert result.exit_code == 0, result.stderr
    starts = [line[0] for line in result.stdout.splitlines() if line]
    assert "".join(["＾", *VERSE]) in "".join(starts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no verse"),
        (["，"], "no character in the verse “，”"),
        (["", "--gradients"], "no character in the verse “”"),
        (["床", "--gradients"], "床 is too short"),
        (["床", "--continue", "--gradients"], "do not go together"),
        (["床", "--against", "tiny.safetensors"], "--gradients alone"),
        (["床", "--output", "gates.pdf"], "ends in none of .html .png .svg"),
        (["床", "--temperature", "-1"], "temperature is -1.0"),
    ],
)
def test_a_wrong_call_exits_2(arguments: list[str], message: str) -> None:
    result = inspect(*arguments)
    assert is_refused(result, 2), result.stderr
    assert message in result.stderr


@pytest.mark.parametrize("arguments", [[VERSE], [VERSE, "--gradients"]])
def test_a_figure_without_matplotlib_exits_1_before_any_work(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    result = inspect(*arguments, "--output", "gates.png")
    assert is_refused(result, 1), result.stderr
    assert "poetgen[plot]" in result.stderr
    assert not Path("gates.png").exists()

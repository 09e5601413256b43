"""Text from outside never reaches a terminal raw: every command is fed all of Unicode's categories."""

import io
import json
import logging
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from _pytest.logging import LogCaptureHandler
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from poetgen.cli.boundary import run_program
from poetgen.cli.main import make_app
from poetgen.data.vocab import Vocabulary
from poetgen.model.file import ModelBundle, save_model
from poetgen.terminal import for_stdout, json_text, visible
from poetgen.views.visible import Visible

HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
C0_AND_C1 = "".join(map(chr, [*range(1, 32), *range(127, 160)]))  # no argument contains U+0000
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
CATEGORIES = "".join(
    {unicodedata.category(chr(code)): chr(code) for code in range(0x2FFF, 0, -1)}.values()
)
"""A character of each category below U+3000; there is no Cs and no Co."""
HOSTILE = C0_AND_C1 + BIDI + CATEGORIES.replace("/", "") + "\udcff\ue000"
NAME = HOSTILE
"""A file name that Linux admits, of fewer than 255 bytes."""
TITLE = "\x1b]0;\u202e\x9b床"

app = make_app()


def hidden(text: str, keep: str = "\n") -> list[str]:
    return [c for c in text if c not in keep and unicodedata.category(c) in HIDDEN]


def test_hostile_text_has_every_category() -> None:
    assert {unicodedata.category(c) for c in HOSTILE} >= {
        *("Cc", "Cf", "Cn", "Co", "Cs", "Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl"),
        *("No", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Zl", "Zp", "Zs"),
    }
    assert len(NAME.encode(errors="surrogateescape")) < 250


def test_visible_escapes_every_hidden_character() -> None:
    ranges = (range(0x3200), range(0xD700, 0xE100), range(0xF800, 0x13500), range(0x1BC00, 0x1D200))
    for code in chain(*ranges, range(0xE0000, 0xE0200)):
        character = chr(code)
        if not character.isprintable():
            is_hidden = unicodedata.category(character) in HIDDEN
            assert (visible(character) != character) is is_hidden
            assert json.loads(f'"{visible(character)}"') == character if is_hidden else True


@given(st.text())
def test_visible_keeps_printable_text(text: str) -> None:
    shown = visible(text)
    assert hidden(shown, keep="") == []
    if text.isprintable():
        assert shown == text


@given(st.text())
def test_json_text_is_visible_and_exact(text: str) -> None:
    shown = json_text({text: [text]})
    assert hidden(shown) == []
    assert json.loads(shown) == {text: [text]}


def test_for_stdout_is_verbatim_on_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert for_stdout("床\x1b") == "床\x1b"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert for_stdout("床\x1b") == "床\\u001b"
    assert capsys.readouterr().out == ""


def test_visible_table_keeps_its_colors() -> None:
    table = Table("[red]a[/]\x1b[2J", box=None)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(Visible(table))
    assert "\x1b[2J" not in capture.get()
    assert "\\u001b[2J" in capture.get()
    assert "\x1b[" in capture.get()


Run = Callable[..., str]


@pytest.fixture
def run(
    tmp_path: Path,
    model_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command as the program does, with a terminal as standard output; return what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POETGEN_CHECKPOINT", model_file.name)
    monkeypatch.setenv("TERM", "dumb")  # no colors

    def call(*arguments: str, code: int | None = None) -> str:
        # pytest collects the records too, unescaped, and cannot pass surrogates between its processes.
        for logger in (logging.getLogger(), logging.getLogger("poetgen")):
            for handler in logger.handlers:
                if isinstance(handler, LogCaptureHandler):
                    monkeypatch.setattr(handler, "level", logging.CRITICAL + 1)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        with pytest.raises(SystemExit) as end:
            run_program(app, arguments)
        printed = capsys.readouterr()
        assert hidden(printed.out + printed.err) == []
        assert end.value.code in ((0, 1, 2, 3) if code is None else (code,)), printed.err
        if end.value.code:
            *_, why, fix = printed.err.splitlines()
            assert why.startswith(("poetgen: ", "  "))
            assert fix.startswith("  → ")
        return printed.out + printed.err

    return call


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", HOSTILE, "--seed", "1"],
        ["sample", HOSTILE, "--seed", "1", "--num", "2", "--format", "text"],
        ["sample", HOSTILE, "--seed", "1", "--json"],
        ["sample", HOSTILE, "--seed", "1", "--explain"],
        ["sample", "山", "--title", HOSTILE, "--author", HOSTILE],
        ["sample", "山", "--title", HOSTILE],
        ["sample", "山", "--form", HOSTILE],
        ["sample", "山", "--rhyme-group", HOSTILE],
        ["sample", "--acrostic", HOSTILE],
        ["sample", "山", "--seed", HOSTILE],
        ["sample", "山", "--model", HOSTILE],
        ["sample", "--prompts", HOSTILE],
        ["sample", "山", "--output", f"{HOSTILE}/poems.txt"],
        ["scan", HOSTILE],
        ["scan", f"《{TITLE}》 {TITLE}\n白日依山尽，黄河入海流。"],
        ["scan", f"白日依山尽，{HOSTILE}黄河入海流。", "--json"],
        ["scan", f"{HOSTILE}.txt"],
        ["inspect", HOSTILE],
        ["inspect", HOSTILE, "--json"],
        ["inspect", "山", "--output", f"{HOSTILE}/a.html"],
        ["train", "--run", HOSTILE],
        ["train", "--set", HOSTILE],
        ["train", "--set", f"train.precision={HOSTILE}"],
        ["train", "--set", f"data.corpus=[{json.dumps(TITLE)}]"],
        ["train", "--config", HOSTILE],
        ["train", "--corpus", HOSTILE],
        ["train", "--init", HOSTILE, "--corpus", "starter"],
        ["eval", HOSTILE],
        ["eval", "--poems", HOSTILE],
        ["eval", "--temperature", HOSTILE],
        ["info", "--model", HOSTILE],
        ["plot", HOSTILE],
        ["plot", "--by", HOSTILE],
        ["config", HOSTILE],
        ["config", "tiny", "--set", f"data.corpus=[{json.dumps(TITLE)}]"],
        ["export", HOSTILE, "--output", "a.safetensors"],
        ["corpus", "fetch", "--collection", HOSTILE],
        ["corpus", "fetch", "--url", f"file:///{HOSTILE}"],
        ["corpus", "report", "--corpus", HOSTILE],
        ["corpus", HOSTILE],
        [HOSTILE],
        ["sample", f"--{HOSTILE}"],
    ],
    ids=lambda arguments: " ".join(arguments).encode("ascii", "ignore").decode()[:24],
)
def test_command_prints_no_hidden_character(run: Run, arguments: list[str]) -> None:
    run(*arguments)


def test_hostile_paths_are_printed_visibly(run: Run, model_file: Path) -> None:
    """Files with hostile names that are read and written without an error."""
    run("export", model_file.name, "--output", f"{NAME[:100]}.safetensors", code=0)
    assert "\\u202e" in run("info", "-m", f"{NAME[:100]}.safetensors", code=0)
    folder = Path(f"checkpoints/{NAME[:100]}")
    folder.mkdir(parents=True)
    entry = {"kind": "step", "step": 10, "epoch": 1, "nats_per_token": 2.0, "learning_rate": 0.1}
    (folder / "metrics.jsonl").write_text(f"{json.dumps(entry)}\n{HOSTILE!r}\n", encoding="utf-8")
    assert "\\u202e" in run("plot", str(folder), "--by", "steps", code=0)


def test_hostile_files_are_printed_visibly(run: Run) -> None:
    text = f"{TITLE}：白日依山尽，黄河入海流。欲穷千里目，更上一层楼。\n"
    Path("poems.txt").write_text(text, encoding="utf-8")
    records = [{"title": HOSTILE[:-2], "author": TITLE, "paragraphs": ["白日依山尽，黄河入海流。"]}]
    Path("poems.json").write_text(json.dumps(records), encoding="utf-8")
    for name in ("poems.txt", "poems.json"):
        run("scan", name, code=0)
        run("corpus", "report", "--corpus", name)
        run("eval", "--poems", name, "--samples-per-form", "0")
    lines = [HOSTILE[:-2].replace("\n", ""), json.dumps({"prompt": TITLE, HOSTILE: 1}), "{" + TITLE]
    lines += [json.dumps({"prompt": "\0" + TITLE, "title": TITLE})]
    Path("prompts.txt").write_text("\n".join(lines), encoding="utf-8")
    run("sample", "--prompts", "prompts.txt", "--format", "text", "--seed", "1")


def test_hostile_model_is_printed_visibly(run: Run, tiny_model: ModelBundle) -> None:
    symbols = list(tiny_model.vocab.symbols)
    symbols[-2:] = ["\x1b", f"<author:{TITLE}>"]
    hostile = replace(tiny_model, vocab=Vocabulary(tuple(symbols)), metrics={TITLE: 1.0})
    save_model(Path("hostile.safetensors"), hostile)
    assert "\\u202e" in run("info", "-m", "hostile.safetensors", code=0)
    run("info", "-m", "hostile.safetensors", "--json", code=0)
    for arguments in (["sample", "山\x1b"], ["inspect", "山\x1b\x1b"]):
        assert "\\u001b" in run(*arguments, "--model", "hostile.safetensors", code=0)

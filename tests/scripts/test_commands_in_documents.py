"""The commands in the documents: their options exist, and they print what the documents show."""

import platform
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from poetgen.cli.main import make_app

app = make_app()

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    file
    for file in [*ROOT.glob("*.md"), ROOT / "data" / "README.md", *(ROOT / "docs").rglob("*.md")]
    if file.name != "CHANGELOG.md"  # has commands of earlier versions
)
# A command ends with its line, its code span, a pipe, a redirection or a comment.
COMMAND = re.compile(r"(?<![\w/-])poetgen ((?:\\\n|[^\n`|>;&)]|(?<=\S)#)+)")
PROMPT = "$ poetgen "
REPEATABLE = ("sample", "scan", "inspect", "config")
"""Commands that take seconds and need neither a corpus nor a run."""


def flags(group: Any) -> dict[str, set[str]]:
    """Return {command: its flags}, such as {"corpus fetch": {"--url", …}}."""
    found = {"": {flag for one in group.params for flag in [*one.opts, *one.secondary_opts]}}
    for name, command in group.commands.items():
        inner = flags(command) if hasattr(command, "commands") else None
        if inner is not None:
            found |= {f"{name} {key}".strip(): value for key, value in inner.items()}
            continue
        options = {flag for one in command.params for flag in [*one.opts, *one.secondary_opts]}
        found[name] = {*options, "--help", "-h"}
    return found


def commands(text: str) -> Iterator[list[str]]:
    for match in COMMAND.findall(text):
        try:
            yield shlex.split(match.replace("\\\n", " "), comments=True)
        except ValueError:  # prose with an apostrophe
            continue


def unknown_flags(words: list[str], known: dict[str, set[str]]) -> list[str]:
    """Return the flags of a command that it does not have; nothing if the words are no command."""
    name = next((n for n in (" ".join(words[:2]), words[0] if words else "") if n in known), None)
    if not name:
        return []
    given = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return [flag for flag in given if flag not in known[name] | known[""]]


def test_flags_in_documents_exist() -> None:
    known = flags(typer.main.get_command(app))
    found, faults = 0, []
    for file in DOCUMENTS:
        for words in commands(file.read_text(encoding="utf-8")):
            found += 1
            faults += [f"{file.name}: {' '.join(words)}: {f}" for f in unknown_flags(words, known)]
    assert found > 150
    assert faults == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`poetgen sample --num 3`", []),
        ("```sh\npoetgen sample \\\n  --nmu 3 # many\n```", ["--nmu"]),
        ("poetgen corpus fetch --ulr=x | head --lines 3", ["--ulr"]),
        ("poetgen eval -s 1 -q", ["-q"]),
        ("poetgen generates --well", []),
        ("poetgen --language zh", []),
    ],
)
def test_unknown_flag_is_found(text: str, fault: list[str]) -> None:
    known = flags(typer.main.get_command(app))
    assert [flag for words in commands(text) for flag in unknown_flags(words, known)] == fault


def examples() -> Iterator[Any]:
    """Yield each command of a console block with the lines that it shows."""
    for file in DOCUMENTS:
        blocks = re.findall(r"^```console\n(.*?)^```$", file.read_text("utf-8"), re.M | re.S)
        for block in blocks:
            if re.search(r"^\$ poetgen train|--model (?!tang)", block, re.MULTILINE):
                continue
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, *shown = part.rstrip("\n").split("\n")
                words = shlex.split(command, comments=True)
                if words[0] == "poetgen" and words[1] in REPEATABLE and shown:
                    yield pytest.param(words[1:], shown, id=f"{file.stem}-{command[8:60]}")


def matches(printed: list[str], shown: list[str]) -> bool:
    """Return whether the lines are those shown; … stands for any lines, or for the end of a line."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in shown
    )
    return bool(re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in printed)))


@pytest.mark.slow
@pytest.mark.parametrize(("words", "shown"), [*examples()])
def test_example_prints_what_is_shown(
    words: list[str], shown: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, words, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.stderr
    is_same_arithmetic = sys.platform == "linux" and platform.machine() == "x86_64"
    if is_same_arithmetic:
        wanted = [line for line in shown if not line.startswith("warning: ")]
        assert matches(result.stdout.splitlines(), wanted), result.stdout


def test_match_of_shown_lines() -> None:
    assert matches(["a", "b  ", "c"], ["a", "…"])
    assert matches(["a", "b"], ["a", "b"])
    assert matches(["a 12 s"], ["a … s"])
    assert not matches(["a", "b"], ["a"])
    assert not matches(["a.c"], ["abc"])

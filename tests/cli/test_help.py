"""Help texts: whole at any width, in both languages."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from poetgen.cli.help import help_text
from poetgen.cli.main import make_app
from poetgen.language import set_language, tr

app = make_app()


@pytest.fixture(params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    set_language(request.param)
    yield request.param
    set_language("en")


def commands() -> dict[tuple[str, ...], Any]:
    """Return every command by its words."""
    program: Any = typer.main.get_command(app)
    found: dict[tuple[str, ...], Any] = {}
    for name, command in program.commands.items():
        group = getattr(command, "commands", None)
        found |= (
            {(name, inner): one for inner, one in group.items()} if group else {(name,): command}
        )
    return found


@pytest.mark.parametrize("width", ["50", "80"])
@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_loses_no_character(words: tuple[str, ...], width: str, language: str) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": width}).stdout
    assert "…" not in shown
    command = commands()[words]
    texts = [command.help, *(param.help for param in command.params)]
    for character in set("".join(tr(help_text(text)) for text in texts if text)):
        assert character in shown or character in "`\n", (language, character)


def test_help_restores_the_texts_of_the_program() -> None:
    def help_of_scan() -> str:
        return CliRunner().invoke(app, ["scan", "--help"], env={"COLUMNS": "80"}).stdout

    before = help_of_scan()
    set_language("zh")
    chinese = help_of_scan()
    set_language("en")
    assert re.search("用法：poetgen|用法：", chinese)
    assert "选项" in chinese
    assert "Options" not in chinese
    assert help_of_scan() == before

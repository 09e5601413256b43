"""The language of messages: the catalogue is complete, and nothing is shown past it."""

import ast
import json
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import poetgen
from poetgen import language
from poetgen.cli.help import help_text
from poetgen.cli.main import make_app
from poetgen.config import Config, describe
from poetgen.language import current_language, set_language, tr, tr_plural

app = make_app()

PACKAGE = Path(poetgen.__file__).parent
TRANSLATORS = ("tr", "tr_plural", "tr_noop")


@pytest.fixture
def chinese() -> Iterator[None]:
    set_language("zh")
    yield
    set_language("en")


def name_of(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def calls(code: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))


def texts_in(code: str) -> Iterator[str]:
    """Yield every text that a module has translated, or marks for translation."""
    for call in calls(code):
        name = name_of(call)
        if name in TRANSLATORS:
            arguments = call.args[1:3] if name == "tr_plural" else call.args[:1]
            for argument in arguments:
                if isinstance(argument, ast.Constant):
                    assert isinstance(argument.value, str)
                    yield argument.value


def is_bare(argument: ast.expr) -> bool:
    """Return whether an argument is a text that is not translated."""
    if isinstance(argument, ast.JoinedStr):
        constants = [one.value for one in argument.values if isinstance(one, ast.Constant)]
        return any(has_words(str(one)) for one in constants)
    if isinstance(argument, ast.BinOp):
        return is_bare(argument.left) or is_bare(argument.right)
    if isinstance(argument, ast.IfExp):
        return is_bare(argument.body) or is_bare(argument.orelse)
    return (
        isinstance(argument, ast.Constant)
        and isinstance(argument.value, str)
        and has_words(argument.value)
    )


def has_words(text: str) -> bool:
    """Return whether a text has words other than the name of the program."""
    return bool(re.search(r"[A-Za-z]{2}", text.replace("poetgen", "")))


def bare_texts(code: str) -> Iterator[int]:
    """Yield the lines that raise, log or print a text that is not translated."""
    for call in calls(code):
        name = name_of(call)
        is_log = isinstance(call.func, ast.Attribute) and name in ("info", "warning", "error")
        is_error = re.fullmatch(
            r"(Poetgen|Corpus|ModelFile|Output|Usage|Config|Constraint)Error", name
        )
        if (is_error or is_log or name in ("echo", "print", "tqdm")) and any(
            map(
                is_bare,
                [*call.args, *(k.value for k in call.keywords if k.arg in ("desc", "unit"))],
            )
        ):
            yield call.lineno
        if name in ("tr", "tr_plural") and isinstance(call.args[-1], ast.JoinedStr):
            yield call.lineno


def sources() -> dict[str, str]:
    files = sorted(PACKAGE.rglob("*.py"))
    return {str(file.relative_to(PACKAGE)): file.read_text(encoding="utf-8") for file in files}


def help_texts() -> Iterator[str]:
    """Yield every text in the help of the program."""

    def texts(command: Any) -> Iterator[str | None]:
        yield command.help
        for param in command.get_params(typer.Context(command)):
            yield param.help
            yield param.rich_help_panel
        for one in getattr(command, "commands", {}).values():
            yield from texts(one)

    return (help_text(text) for text in texts(typer.main.get_command(app)) if text)


def expected_texts() -> set[str]:
    descriptions = (
        text for section in Config().model_dump() for text in describe(section).values()
    )
    sections = (type(getattr(Config(), section)).__doc__ or "" for section in Config().model_dump())
    marked = (text for code in sources().values() for text in texts_in(code))
    return {*marked, *help_texts(), *descriptions, *sections}


def placeholders(text: str) -> list[tuple[str, str]]:
    return sorted((name, spec or "") for _, name, spec, _ in string.Formatter().parse(text) if name)


def catalogue() -> dict[str, str]:
    return dict(json.loads(language.CATALOGUE.read_text(encoding="utf-8")))


def test_catalogue_is_complete() -> None:
    missing = expected_texts() - set(catalogue())
    assert not missing, json.dumps(dict.fromkeys(sorted(missing), ""), ensure_ascii=False, indent=1)


def test_catalogue_has_no_text_that_is_not_used() -> None:
    assert not set(catalogue()) - expected_texts()


def test_catalogue_keeps_the_placeholders() -> None:
    for english, chinese in catalogue().items():
        assert set(placeholders(chinese)) <= set(placeholders(english)), english


def test_catalogue_is_chinese() -> None:
    for english, chinese in catalogue().items():
        words = re.sub(r"{.*?}", "", english)
        is_translated = re.search(r"[\u4e00-\u9fff，。；、（]", chinese)
        assert is_translated or not re.search(r"[A-Za-z]{3}", words) or chinese == english, english
        # Punctuation next to a Han character is full-width.
        assert not re.search(r"[\u4e00-\u9fff][,;?!](\s|$)|[\u4e00-\u9fff]\.(\s|$)", chinese), (
            chinese
        )


def test_catalogue_is_sorted_and_readable() -> None:
    text = json.dumps(dict(sorted(catalogue().items())), ensure_ascii=False, indent=1)
    assert language.CATALOGUE.read_text(encoding="utf-8") == text + "\n"


@pytest.mark.parametrize("module", sources())
def test_module_shows_no_text_past_the_catalogue(module: str) -> None:
    assert list(bare_texts(sources()[module])) == []


def test_bare_texts_finds_what_is_not_translated() -> None:
    code = (
        'raise UsageError("no file", tr("Name one."))\n'
        'logger.info(f"model {name}")\n'
        "typer.echo('done' if ok else tr('failed'))\n"
        'tr(f"a {b}")\n'
        'raise UsageError(tr("no file {name}", name=f"the {x}"), fix)\n'
        'logger.error("%s: %s", a, b)\n'
    )
    assert list(bare_texts(code)) == [1, 2, 3, 4]


def test_tr_returns_english_by_default() -> None:
    assert (current_language(), tr("interrupted")) == ("en", "interrupted")


@pytest.mark.usefixtures("chinese")
def test_tr_returns_chinese_once_set() -> None:
    assert (current_language(), tr("interrupted")) == ("zh", "已中断")
    assert tr("a text that is in no catalogue {x}", x=1) == "a text that is in no catalogue 1"


def test_tr_does_not_format_values() -> None:
    assert tr("{name}: done", name="{x}") == "{x}: done"


def test_tr_plural_chooses_by_number() -> None:
    found = [tr_plural(num, "{num:,} poem", "{num:,} poems") for num in (0, 1, 2, 1000)]
    assert found == ["0 poems", "1 poem", "2 poems", "1,000 poems"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LC_MESSAGES": "zh_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "POETGEN_LANGUAGE": "en"}, "en"),
        ({"LANG": "C.UTF-8", "POETGEN_LANGUAGE": "zh"}, "zh"),
        ({"LANG": "zh_CN", "LC_ALL": ""}, "zh"),
        ({"LANG": "C", "POETGEN_LANGUAGE": "fr"}, "en"),
    ],
)
def test_set_language_follows_variable_then_locale(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("POETGEN_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", "linux")
    set_language()
    assert current_language() == expected
    set_language("en")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--language", "zh", "scan", "--help"],
        ["scan", "--language=zh", "--help"],
        ["scan", "--help", "--language", "zh"],
    ],
)
def test_program_takes_the_language_in_any_position(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "用法" in done.stdout
    assert "选项" in done.stdout
    assert "Options" not in done.stdout


def test_program_reports_errors_in_chinese() -> None:
    done = run("sample", "--temprature", "1", "--language", "zh")
    assert done.returncode == 2
    assert done.stderr == "poetgen: 没有选项 --temprature\n  → 是不是 --temperature？\n"


def test_program_refuses_an_unknown_language() -> None:
    done = run("scan", "山。", "--language", "fr")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--language" in done.stderr
    assert "'en', 'zh'" in done.stderr


def test_language_after_two_dashes_is_a_text() -> None:
    done = run("scan", "--", "--language=zh")
    assert done.returncode == 2
    assert "there is no poem to scan" in done.stderr


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "poetgen", *arguments], capture_output=True, text=True, timeout=60
    )

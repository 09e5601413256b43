"""The check of the project's prose: its rules, what it leaves alone, and its report."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"
PLANTED = (
    "Poems from the model that ships.",
    "a line that stands in the training text",
    "a value beside that of real poems",
    "The job is begun anew.",
    "where it broke off",
    "The command goes on where it stopped.",
    "It hangs on the order of the files.",
    "The weights are drawn by chance.",
    "a matter of chance",
    "a model told its form",
    "It tells the user why.",
    "real poems, and as many generated",
    "learns to foresee the next sample",
    "cores that know bf16",
    "Seeds hold.",
    "A particle runs into a corner.",
    "This costs a training nothing.",
    "the kind of the next token",
    "48 metrics marked",
    "Honest figures.",
    "batches of 2,048 places",
    "trained on Tang alone",
    "the optimiser",
    "It recognises copies.",
    "to analyse a poem",
    "the behaviour of a gate",
    "in the centre",
    "a labelled axis",
    "amongst the poems",
)
"""A text for each rule, in the order of the rules."""


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("check_language")


def test_find_phrases_finds_each_planted_phrase(check: ModuleType) -> None:
    for text, use in zip(PLANTED, check.RULES.values(), strict=True):
        assert [finding.use for finding in check.find_phrases(text)] == [use], text


def test_find_phrases_reads_across_lines(check: ModuleType) -> None:
    comment = "# One.\n    # The model that\n    # ships has 640 units."
    assert [tuple(one)[:2] for one in check.find_phrases(comment)] == [(2, "the model that ships")]
    literals = 'f("This is by "\n  "chance.")'
    assert [tuple(one)[:2] for one in check.find_phrases(literals)] == [(1, "by chance")]


def test_find_phrases_finds_opening_of_docstring(check: ModuleType) -> None:
    opened = 'def f():\n    """What a grammar allows."""'
    assert [tuple(one)[:2] for one in check.find_phrases(opened)] == [(2, "What")]


@pytest.mark.parametrize(
    "text",
    [
        "The poems of 五绝 can be told apart.  Besides, it stands for a line.",
        "twice as many rows as before; generate this many candidates",
        "`--run mine-alone`, `alone = Comparison(None)` and told_form",
        "Put it in place.  A figure shows where the lines are marked.",
        "a kind of grammar; the process hangs on a pipe; go on",
        "The optimizer is initialized; a promise, an exercise, an otherwise precise analysis.",
        "Colors at the center, four neighbors.",
    ],
)
def test_find_phrases_leaves_plain_english(check: ModuleType, text: str) -> None:
    assert list(check.find_phrases(text)) == []


def test_main_reports_file_line_and_word(
    check: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(check, "ROOT", tmp_path)
    (tmp_path / "a.md").write_text("A line.\nBegun anew, and told.\n", encoding="utf-8")
    (tmp_path / "b.py").write_text("x = 1  # plain\n", encoding="utf-8")
    assert check.main(["a.md", "b.py"]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first == 'a.md:2: "anew": use "again"'
    assert second.startswith('a.md:2: "told": use ')
    assert check.main(["b.py"]) == 0
    assert capsys.readouterr().out == ""


def test_main_allows_names_and_values(
    check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "ROOT", tmp_path)
    monkeypatch.setattr(check, "ALLOWED", {("a.py", "optimiser")})
    (tmp_path / "a.py").write_text('KEY = "optimiser"\n', encoding="utf-8")
    (tmp_path / "b.py").write_text('KEY = "optimiser"\n', encoding="utf-8")
    assert (check.main(["a.py"]), check.main(["b.py"])) == (0, 1)


@pytest.mark.skipif(not (SCRIPTS.parent / ".git").exists(), reason="not a checkout")
def test_tracked_files_are_texts_of_the_repository(check: ModuleType) -> None:
    names = {path.as_posix() for path in check.tracked_files()}
    assert names >= {"README.md", "docs/design.md", "poetgen/config.py", "scripts/test.sh"}
    assert not any(name.startswith(".venv") or name.endswith(".json") for name in names)

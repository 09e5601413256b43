"""The torture of scripts/: its mutations, its verdicts, its table, and its short form as a whole."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a module of scripts/torture."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module(f"torture.{name}")


def ended(commands: ModuleType, code: int, errors: str, *, is_hang: bool = False) -> Any:
    return commands.Ended(code, b"", errors, 1, 1.0, is_hang)


@pytest.mark.parametrize("seed", range(40))
def test_mutate_changes_content_and_is_seeded(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate = load("mutate", monkeypatch).mutate
    content = bytes(Random(0).randbytes(3000))
    changed, name = mutate(content, Random(seed))
    assert (changed, name) == mutate(content, Random(seed))
    assert changed != content
    assert mutate(b"", Random(seed))[0] == b""


def test_mutate_has_all_types(monkeypatch: pytest.MonkeyPatch) -> None:
    mutate = load("mutate", monkeypatch)
    names = {mutate.mutate(bytes(range(256)), Random(seed))[1] for seed in range(100)}
    assert names == set(mutate.MUTATIONS)
    assert len(names) == 6


@pytest.mark.parametrize(
    ("code", "errors", "expected"),
    [
        (0, "model small (given), seed 1\n", None),
        (2, "reading\npoetgen: no\n  → yes\n", None),
        (1, "poetgen: no\n", "traceback"),
        (1, "Traceback (most recent call last):\nValueError: x\n", "traceback"),
        (-11, "", "traceback"),
        (1, "poetgen: \x1b[2J\n  → yes\n", "traceback"),
    ],
    ids=["success", "refusal", "half an error", "traceback", "crash", "escape sequence"],
)
def test_fault_accepts_success_and_refusal(
    monkeypatch: pytest.MonkeyPatch, code: int, errors: str, expected: str | None
) -> None:
    fault = ended(load("commands", monkeypatch), code, errors).fault()
    assert (fault and fault.verdict) == expected


def test_fault_of_a_killed_command_is_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = ended(load("commands", monkeypatch), -9, "", is_hang=True).fault()
    assert fault is not None
    assert fault.verdict == "hang"


def test_table_counts_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = load("cases", monkeypatch)
    verdict = cases.Verdict
    outcomes = (
        cases.Outcome(verdict.SURVIVED, peak_bytes=2**20, note="in a save"),
        cases.Outcome(verdict.SURVIVED, peak_bytes=2**22, note="in a save"),
        cases.Outcome(verdict.LOST, "gone"),
    )
    rows = [cases.Row("kills", "job", outcomes), cases.Row("disks", "tmpfs", skipped="skipped: no")]
    assert cases.markdown_table(rows).splitlines()[2:] == [
        "| kills | job | 3 | 0 | 2 | 1 | 0 | 0 | 0 | 4 | 2 in a save |",
        "| disks | tmpfs | 0 | 0 | 0 | 0 | 0 | 0 | 0 |  | skipped: no |",
        "| all |  | 3 | 0 | 2 | 1 | 0 | 0 | 0 | 4 |  |",
    ]
    assert rows[0].num_faults == 1


def test_faults_are_reported_with_their_repetition(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases, main = load("cases", monkeypatch), load("__main__", monkeypatch)
    drawn: list[float] = []

    def run(random: Random) -> Any:
        drawn.append(random.random())
        return cases.Outcome(cases.Verdict.LOST, "a poem is gone")

    campaign = cases.Campaign("kills", [cases.Case("job", "at a moment", run)] * 3)
    list(main.run_campaign(campaign, main.read_arguments(["--seed", "5"])))
    repetition = main.read_arguments(["--only", "kills", "--case", "1", "--seed", "5"])
    (row,) = main.run_campaign(campaign, repetition)
    assert len(row.outcomes) == 1
    assert drawn[3] == drawn[1]
    errors = capsys.readouterr().err
    assert "kills 1, job, at a moment: lost: a poem is gone" in errors
    assert "bash scripts/torture.sh --only kills --case 1 --seed 5" in errors


def run_short(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "scripts" / "torture.sh"), "--short", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "VENV": os.environ.get("VENV") or sys.prefix},
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_short_torture_finds_no_fault() -> None:
    done = run_short()
    assert done.returncode == 0, done.stderr + done.stdout
    total = done.stdout.splitlines()[-1].split(" | ")
    tried, refused, survived, *faults = map(int, total[2:9])
    assert tried == refused + survived > 50
    assert not any(faults)

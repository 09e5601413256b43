"""The benchmark of scripts/: its statistics, the order of its measurements, its JSON."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from poetgen.data.batches import ordered_batches
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.prosody.marks import MARKS

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("lines", monkeypatch)


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a module of scripts/benchmarks."""
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module(f"benchmarks.{name}")


def recorded(name: str, log: list[str], values: list[float]) -> Callable[[], float]:
    """Return a measurement that logs its name and returns `values` one by one."""
    left = iter(values)

    def measure() -> float:
        log.append(name)
        return next(left)

    return measure


def test_lines_are_measured_in_turn(lines: ModuleType) -> None:
    log: list[str] = []

    def group(name: str, *names: str) -> Any:
        found = [lines.Line(one, "s", recorded(one, log, [9.0, 1.0, 2.0])) for one in names]
        return lines.Group(name, "", tuple(found))

    groups = [group("first", "a", "b"), group("second", "c")]
    results = lines.measure_all(groups, 2)
    assert "".join(log) == "abc" + "abc" + "cba"
    assert len(log) == lines.num_measurements(groups, 2)
    assert [(one.group, one.name, one.values) for one in results] == [
        ("first", "a", (1.0, 2.0)),  # without the warm-up
        ("first", "b", (1.0, 2.0)),
        ("second", "c", (1.0, 2.0)),
    ]


def test_line_that_is_not_repeated_is_measured_once(lines: ModuleType) -> None:
    log: list[str] = []
    once = lines.Line("once", "MiB", recorded("o", log, [7.0]), is_repeated=False)
    often = lines.Line("often", "s", recorded("x", log, [1.0] * 4))
    groups = [lines.Group("g", "", (once, often))]
    results = lines.measure_all(groups, 3)
    assert "".join(log) == "xxxxo"
    assert len(log) == lines.num_measurements(groups, 3)
    assert results[0].values == (7.0,)


def test_ratio_is_the_median_of_the_rounds(lines: ModuleType) -> None:
    # A machine that slows down threefold changes the medians, but no ratio within a round.
    fast = recorded("f", [], [0.0, 4.0, 8.0, 12.0])
    slow = recorded("s", [], [0.0, 2.0, 4.0, 4.0])
    comparison = lines.Comparison("slow", lines.Bar(2.0))
    group = lines.Group(
        "g", "", (lines.Line("fast", "x/s", fast, (comparison,)), lines.Line("slow", "x/s", slow))
    )
    first, second = lines.measure_all([group], 3)
    assert first.median == 8.0
    assert second.ratios == ()
    assert [(one.reference, one.value, one.is_met) for one in first.ratios] == [("slow", 2.0, True)]


@pytest.mark.parametrize(
    ("limit", "is_upper", "ratio", "expected", "text"),
    [
        (0.95, False, 0.95, True, "≥ 0.95"),
        (0.95, False, 0.949, False, "≥ 0.95"),
        (0.4, True, 0.4, True, "≤ 0.4"),
        (4, True, 4.1, False, "≤ 4"),
    ],
)
def test_bar_bounds_a_ratio(
    lines: ModuleType, limit: float, is_upper: bool, ratio: float, expected: bool, text: str
) -> None:
    bar = lines.Bar(limit, is_upper)
    assert bar.is_met(ratio) is expected
    assert str(bar) == text
    assert lines.Ratio("other", ratio, None).is_met is None


def test_rate_repeats_until_the_time_is_over(lines: ModuleType) -> None:
    times = iter([10.0, 11.0, 12.0, 14.0])
    assert lines.rate(lambda: 6.0, 3.0, lambda: next(times)) == 18.0 / 4.0


def test_table_has_a_row_per_ratio(lines: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = (lines.Ratio("bare", 0.9, lines.Bar(0.95)), lines.Ratio("plain", 4.5, None))
    result = lines.Result("g", "own", "tokens/s", (1000.0, 3000.0, 1500.0), ratios)
    rows = list(load("table", monkeypatch).table_rows(result))
    assert rows == [
        ("own", "1,500", "tokens/s", "1,000 – 3,000", "0.90", "bare", "≥ 0.95 missed"),
        ("", "", "", "", "4.50", "plain", ""),
    ]


def test_random_poems_fill_lines_of_verse(monkeypatch: pytest.MonkeyPatch) -> None:
    poems = load("poems", monkeypatch)
    vocab = Vocabulary((*SPECIALS, *MARKS, *"山水云月"))
    found = poems.random_poems(vocab, 50)
    assert found == poems.random_poems(vocab, 50)
    for poem in found:
        assert len({len(line) for line in poem.lines}) == 1
        assert set("".join(poem.lines)) <= set("山水云月")
    assert {len(poem.lines) for poem in found} >= {4, 8}


def test_groups_compare_with_their_own_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, processes = load("lines", monkeypatch), load("processes", monkeypatch)
    with ExitStack() as resources:
        settings = lines.Settings(quick=True, against=SCRIPTS.parent, resources=resources)
        group = processes.startup(settings)
    names = [line.name for line in group.lines]
    references = {one.reference for line in group.lines for one in line.comparisons}
    assert references <= set(names)
    assert len(set(names)) == len(names)


def test_worker_measures_both_kinds_of_poems(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, generation = load("lines", monkeypatch), load("generation", monkeypatch)
    settings = lines.Settings(quick=True)
    with generation.worker(SCRIPTS.parent, settings, has_torch=False) as worker:
        assert worker.measure("products", num=1, provider="numpy") > 0
        assert worker.measure("generate", num=2, batch_size=2, options={"form": "五绝"}) > 0


def test_bench_prints_json() -> None:
    command = [sys.executable, str(SCRIPTS / "bench.py"), "--quick", "--rounds", "1", "--json"]
    done = subprocess.run(
        [*command, "--only", "startup"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(SCRIPTS.parent), "PYTHONIOENCODING": "utf-8"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document.keys() == {"machine", "device", "quick", "rounds", "lines"}
    assert document["machine"].keys() == {"cpu", "cores", "load", "python", "numpy", "torch"}
    names = [line["name"] for line in document["lines"]]
    assert names == ["sample 床前", "import torch", "import numpy"]
    for line in document["lines"]:
        assert line.keys() == {"group", "name", "unit", "median", "min", "max", "values", "ratios"}
        assert line["min"] <= line["median"] <= line["max"]
        for ratio in line["ratios"]:
            assert ratio.keys() == {"to", "ratio", "bar", "met"}


def test_training_batches_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    poems, training = load("poems", monkeypatch), load("training", monkeypatch)
    vocab = Vocabulary((*SPECIALS, *MARKS, *"山水云月"))
    chosen = training.batch_poems(poems.random_poems(vocab, 200), vocab, 512)
    sequences = [vocab.encode_poem(poem.text) for poem in chosen]
    batches = list(ordered_batches(sequences, batch_tokens=512))
    assert len(batches) == 3
    assert all(len(members) == len(batch.tokens_BT) for members, batch in batches)

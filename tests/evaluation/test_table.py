"""The report on a terminal."""

import re
from typing import Any

import pytest
from rich.console import Console

from poetgen.evaluation.held_out import EvaluationSet
from poetgen.evaluation.measures import MEASURES
from poetgen.evaluation.report import Plan, evaluate_models
from poetgen.evaluation.sampled import Sampled
from poetgen.evaluation.table import difference, figure, full_width, legend, lots, tables
from tests.evaluation.verses import verses


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    on = EvaluationSet(verses("五绝", 30, 1), "here", "test", "c0ffee")
    one = verses("五绝", 1, 3) * 10
    lots = {"alike": verses("五绝", 10, 2), "one": one}
    written = [
        (f"a/b/{name}.txt", Sampled({"五绝": poems}, told_form=False, num_written=10))
        for name, poems in lots.items()
    ]
    return evaluate_models([], on, Plan(samples=10), written=written)


def shown(report: dict[str, Any], width: int) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        for table in tables(report, width):
            console.print(table)
    return capture.get()


def test_each_figure_stands_beside_that_of_real_poems(report: dict[str, Any]) -> None:
    text = shown(report, full_width(report))
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    cells = [run["free"]["figures"]["五绝"]["distinct_2"] for run in report["runs"]]
    (row,) = [row for row in rows if row[0] == "distinct-2"]
    together = " ".join(" ".join(row).split())
    expected = ["distinct-2", *figure(cells[0]["human"])]
    for cell in cells:
        expected += [*figure(cell), difference(cell).strip()]
    assert together == " ".join(expected)
    assert "*" in row[-1]
    assert sum(row[0] in {m.label for m in MEASURES.values()} for row in rows) == len(
        report["runs"][0]["free"]["figures"]["五绝"]
    )


def test_settings_head_it_and_chance_is_told(report: dict[str, Any]) -> None:
    text = shown(report, full_width(report))
    assert text.startswith("30 poems: test split of here")
    assert "corpus c0ffee" in text.splitlines()[0]
    assert any(re.search(r"second sample of real poems \d of \d+ lines", s) for s in legend(report))
    assert "not measured: copies ≥ 5, copies ≥ 7, 2-grams seen" in text


def test_a_second_sample_of_no_poems_is_not_spoken_of(report: dict[str, Any]) -> None:
    human = report["human"] | {"second_sample": {"marked": 0, "lines": 0}}
    assert "second sample" not in " ".join(legend(report | {"human": human}))


def test_a_narrow_terminal_gets_a_table_for_each_column(report: dict[str, Any]) -> None:
    text = shown(report, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert sum(line.strip().startswith("distinct-2 ") for line in text.splitlines()) == 2


def test_names_lose_the_folders_they_share(report: dict[str, Any]) -> None:
    assert [lot.label for lot in lots(report)] == ["b/alike.txt", "b/one.txt"]


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (None, ("–", "")),
        ({"value": 0.9431, "low": 0.9, "high": 1.0}, ("94.3", "90.0–100.0")),
        ({"value": 0.05, "low": 0.0, "high": 0.09}, ("5.0", "0.0–9.0")),
    ],
)
def test_a_figure_in_per_cent(estimate: dict[str, float] | None, expected: tuple[str, str]) -> None:
    assert figure(estimate) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, ""),
        ({"distance": None, "marked": False}, ""),
        ({"distance": -0.07, "marked": True}, "-7.0*"),
        ({"distance": 0.004, "marked": False}, "+0.4 "),
    ],
)
def test_a_difference_and_its_mark(cell: dict[str, Any] | None, expected: str) -> None:
    assert difference(cell) == expected

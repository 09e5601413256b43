"""The rows of the report as texts."""

import pytest
from rich.cells import cell_len

from poetgen.evaluation.comparison import Comparison
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.report import EvaluationReport, ReportSettings, RunReport
from poetgen.views.report_rows import (
    MAX_NAME,
    format_comparison,
    format_estimate,
    heading,
    short_names,
    shortened,
)


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (["tang"], ["tang"]),
        (["a/b/alike.txt", "a/b/one.txt"], ["alike.txt", "one.txt"]),
        (["checkpoints/spring/best.safetensors", "m.safetensors"], ["spring", "m.safetensors"]),
        (["x/a/m.txt", "x/b/m.txt"], ["a/m.txt", "b/m.txt"]),
        (["m.txt", "m.txt"], ["m.txt"]),
    ],
)
def test_short_names_are_distinct(models: list[str], expected: list[str]) -> None:
    assert list(short_names(models).values()) == expected


def test_short_names_cut_the_middle_and_stay_distinct() -> None:
    long = [f"tang-trained-for-{i}-epochs-with-dropout.safetensors" for i in (1, 2)]
    assert short_names(long[:1]) == {long[0]: "tang-trained….safetensors"}
    names = short_names(long)
    assert len(set(names.values())) == 2
    assert all(cell_len(name) <= MAX_NAME for name in names.values())


@pytest.mark.parametrize(
    ("name", "width", "expected"),
    [
        ("short", 5, "short"),
        ("abcdefgh", 5, "ab…gh"),
        ("春江花月夜", 10, "春江花月夜"),
        ("春江花月夜", 7, "春…月夜"),
    ],
)
def test_shortened_counts_terminal_columns(name: str, width: int, expected: str) -> None:
    assert shortened(name, width) == expected
    assert cell_len(shortened(name, width)) <= width


def test_heading_spells_out_shortened_names() -> None:
    settings = ReportSettings("here", None, None, 1, "beef", 0, ("a warning",))
    report = EvaluationReport(settings, None, [RunReport("tang"), RunReport("a/b.txt")])
    assert heading(report) == ["Evaluated on 1 poem of here.", "b.txt: a/b.txt", "a warning"]


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (None, ("–", "")),
        (Estimate(0.9431, 0.9, 1.0), ("94.3", "90.0–100.0")),
        (Estimate(0.05, 0.0, 0.09), ("5.0", "0.0–9.0")),
    ],
)
def test_format_estimate_is_in_percent(
    estimate: Estimate | None, expected: tuple[str, str]
) -> None:
    assert format_estimate(estimate) == expected


def test_format_estimate_of_few_poems_has_no_interval() -> None:
    estimate = Estimate(0.5, 0.2, 0.8)
    assert format_estimate(estimate, 19) == ("50.0", "")
    assert format_estimate(estimate, 20) == ("50.0", "20.0–80.0")
    assert format_comparison(Comparison(estimate, None), 19) == ("50.0", "", "")


VALUE = Estimate(0.5, 0.45, 0.55)


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (None, ("–", "", "")),
        (Comparison(VALUE, None), ("50.0", "45.0–55.0", "")),
        (Comparison(VALUE, Estimate(0.57, 0.56, 0.6)), ("50.0", "45.0–55.0", "-7.0*")),
        (Comparison(VALUE, Estimate(0.496, 0.4, 0.6)), ("50.0", "45.0–55.0", "+0.4 ")),
    ],
)
def test_format_comparison_flags_the_distance(
    comparison: Comparison | None, expected: tuple[str, str, str]
) -> None:
    assert format_comparison(comparison) == expected

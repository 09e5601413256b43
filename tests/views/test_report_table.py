"""The report as tables on a terminal."""

import re
from dataclasses import replace

import pytest
from rich.console import Console

from poetgen.evaluation.comparison import Comparison
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.evaluate import EvalConfig, evaluate_models
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.metrics.table import METRICS
from poetgen.evaluation.report import EvaluationReport, NullSample
from poetgen.evaluation.samples import SampleSet
from poetgen.views.report_table import (
    format_comparison,
    format_estimate,
    full_width,
    labeled_columns,
    legend,
    report_tables,
)
from tests.evaluation.verses import verses


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    eval_set = EvaluationSet(verses("五绝", 30, 1), "here", "test", "c0ffee")
    poems = {"alike": verses("五绝", 10, 2), "one": verses("五绝", 1, 3) * 10}
    generated = [
        (f"a/b/{name}.txt", SampleSet({"五绝": own}, False, num_generated=10))
        for name, own in poems.items()
    ]
    return evaluate_models([], eval_set, EvalConfig(samples_per_form=10), generated=generated)


def rendered(report: EvaluationReport, width: int) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        for table in report_tables(report, width):
            console.print(table)
    return capture.get()


def test_tables_show_metrics_next_to_real_poems(report: EvaluationReport) -> None:
    rows = [
        re.split(r"\s{2,}", row.strip())
        for row in rendered(report, full_width(report)).splitlines()
    ]
    metrics = [run.columns["free"].metrics["五绝"] for run in report.runs]
    (row,) = [row for row in rows if row[0] == "distinct-2"]
    expected = ["distinct-2", *format_estimate(metrics[0]["distinct_2"].reference)]
    for of_form in metrics:
        expected += [cell.strip() for cell in format_comparison(of_form["distinct_2"])]
    assert " ".join(" ".join(row).split()) == " ".join(expected)
    assert "*" in row[-1]
    labels = {metric.label for metric in METRICS.values()}
    assert sum(row[0] in labels for row in rows) == len(metrics[0])


def test_tables_show_settings_and_legend(report: EvaluationReport) -> None:
    text = rendered(report, full_width(report))
    assert text.startswith("30 poems: test split of here")
    assert "corpus c0ffee" in text.splitlines()[0]
    assert any(
        re.search(r"second sample of real poems \d of \d+ metrics", row) for row in legend(report)
    )
    assert "not measured: copies ≥ 5, copies ≥ 7, 2-grams seen" in text


def test_legend_omits_an_empty_second_sample(report: EvaluationReport) -> None:
    assert report.reference is not None
    reference = replace(report.reference, second_sample=NullSample({}, 0, 0))
    assert "second sample" not in " ".join(legend(replace(report, reference=reference)))


def test_tables_fit_a_narrow_terminal(report: EvaluationReport) -> None:
    rows = rendered(report, 80).splitlines()
    assert max(map(len, rows)) <= 80
    assert sum(row.strip().startswith("distinct-2 ") for row in rows) == 2


def test_labeled_columns_drop_shared_folders(report: EvaluationReport) -> None:
    assert [one.label for one in labeled_columns(report)] == ["b/alike.txt", "b/one.txt"]


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

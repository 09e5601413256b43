"""The report on a terminal."""

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from poetgen.config import build_config
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.evaluate import EvalConfig, evaluate_models
from poetgen.evaluation.metrics.table import METRICS
from poetgen.evaluation.report import EvaluationReport
from poetgen.evaluation.samples import SampleSet
from poetgen.prosody.forms import FORMS
from poetgen.views.report_rows import format_comparison, format_estimate
from poetgen.views.report_table import full_width, report_tables
from tests.evaluation.bundles import conditional_model
from tests.evaluation.verses import verses


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    """Two files of poems of one form."""
    eval_set = EvaluationSet(verses("五绝", 60, 1), "here", "test", "c0ffee")
    poems = {"alike": verses("五绝", 20, 2), "one": verses("五绝", 1, 3) * 20}
    generated = [
        (f"a/b/{name}.txt", SampleSet({"五绝": own}, False, num_generated=20))
        for name, own in poems.items()
    ]
    return evaluate_models([], eval_set, EvalConfig(samples_per_form=20), generated=generated)


@pytest.fixture(scope="module")
def conditional_report() -> EvaluationReport:
    """A model at one temperature, with few poems of each form."""
    held_out = [poem for form in FORMS for poem in verses(form, 12, 1)]
    eval_set = EvaluationSet(held_out, "here", "test", "c0ffee", train=verses("五绝", 6, 2))
    bundle = conditional_model(build_config({"model": {"embedding_size": 12, "hidden_size": 16}}))
    config = EvalConfig(samples_per_form=3, baseline=True, constrained=True)
    return evaluate_models([bundle], eval_set, config)


def rendered(report: EvaluationReport, width: int) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(report_tables(report, width))
    return capture.get()


def rows_of(text: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", row.strip()) for row in text.splitlines()]


def test_tables_show_metrics_next_to_the_reference(report: EvaluationReport) -> None:
    rows = rows_of(rendered(report, full_width(report)))
    metrics = [run.columns["free"].metrics["五绝"] for run in report.runs]
    (row,) = [row for row in rows if row[0] == "distinct-2"]
    expected = ["distinct-2", *format_estimate(metrics[0]["distinct_2"].reference)]
    for of_form in metrics:
        expected += [cell.strip() for cell in format_comparison(of_form["distinct_2"])]
    assert " ".join(" ".join(row).split()) == " ".join(expected)
    assert "*" in row[-1]
    labels = {metric.label for metric in METRICS.values()}
    assert sum(row[0] in labels for row in rows) == len(metrics[0])


def test_tables_begin_with_a_summary_of_five_rows(conditional_report: EvaluationReport) -> None:
    text = rendered(conditional_report, 80)
    first, summary, *_ = text.split("\n\n")
    assert first.startswith("Evaluated on 48 poems, the test split of here.")
    title, *_, perplexity, in_form, rhyme, copied, flagged = summary.splitlines()
    assert title == "Summary"
    (run,) = conditional_report.runs
    assert run.likelihood is not None
    best = min(one.perplexity for one in run.likelihood.baseline.values())
    value = f"{run.likelihood.total.perplexity:,.2f} (Kneser–Ney {best:,.2f})"
    assert (perplexity.startswith("perplexity"), value in perplexity) == (True, True)
    assert in_form.split()[:4] == ["poems", "in", "form", "100.0%"]
    assert rhyme.startswith("poems in form that rhyme")
    assert copied.startswith("lines copied")
    free = run.columns["free"]
    assert f"{free.flagged} of {free.compared}" in flagged


def test_tables_show_all_forms_then_each(conditional_report: EvaluationReport) -> None:
    text = rendered(conditional_report, 120)
    (table,) = [block for block in text.split("\n\n") if "T=0.8 constrained, by form" in block]
    _, heads, *rows = table.splitlines()
    assert heads.split() == [part for form in FORMS for part in (form, "(3)")]
    metrics = conditional_report.runs[0].columns["constrained"].metrics
    (row,) = [row for row in rows if row.startswith("distinct-2")]
    cells = [format_comparison(metrics[form]["distinct_2"]) for form in FORMS]
    expected = [text.strip() for value, _, distance in cells for text in (value, distance)]
    assert row.split()[1:] == expected
    assert "Generated poems, all forms" in text


def test_tables_end_with_notes_and_settings(report: EvaluationReport) -> None:
    text = " ".join(rendered(report, full_width(report)).split())
    assert re.search(r"second sample of real poems, \d of \d+ metrics", text)
    assert "Not measured: copies of 5 or more, copies of 7 or more, 2-grams seen" in text
    assert "corpus c0ffee" in text


def test_tables_explain_missing_intervals(
    report: EvaluationReport, conditional_report: EvaluationReport
) -> None:
    assert "Too few poems" not in rendered(report, 100)
    text = " ".join(rendered(conditional_report, 200).split())
    assert "Too few poems for an interval, and for reliable flags: all forms 12, 五绝 3," in text
    assert not re.search(r"\d–\d", text)


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_a_terminal(
    report: EvaluationReport, conditional_report: EvaluationReport, width: int
) -> None:
    for one in (report, conditional_report):
        rows = rendered(one, width).splitlines()
        assert max(map(cell_len, rows)) <= width
        assert "…" not in "".join(rows)


def test_tables_align_numbers_in_both_languages(
    conditional_report: EvaluationReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for catalogue in ({}, {"rhyme": "押韵", "line 1 rhymes": "首句入韵", "reference": "参照"}):
        monkeypatch.setattr("poetgen.language._catalogue", catalogue)
        text = rendered(conditional_report, 120)
        (table,) = [block for block in text.split("\n\n") if "constrained, by form" in block]
        _, *rows = table.splitlines()
        width = cell_len(rows[0])
        # The last column ends in a flag or in the space of one.
        assert {cell_len(row.rstrip()) for row in rows[1:]} <= {width, width - 1}
        assert ("押韵" in table) == bool(catalogue)


def test_tables_without_a_poem_in_form_say_so(conditional_report: EvaluationReport) -> None:
    runs = [
        replace(run, columns={name: replace(one, metrics={}) for name, one in run.columns.items()})
        for run in conditional_report.runs
    ]
    text = rendered(replace(conditional_report, runs=tuple(runs)), 80)
    assert "None of the generated poems has one of the four forms." in text
    assert "Likelihood" in text

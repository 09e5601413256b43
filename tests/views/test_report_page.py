"""The report as a page, parsed as text, and opened in a browser where there is one."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.evaluate import EvalConfig, evaluate_models
from poetgen.evaluation.report import EvaluationReport
from poetgen.evaluation.samples import SampleSet
from poetgen.views.report_page import report_page
from tests import browser
from tests.evaluation.verses import verses


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    forms = ("五绝", "七绝")
    held_out = [poem for form in forms for poem in verses(form, 30, 1)]
    eval_set = EvaluationSet(held_out, "<here> & there", "test", "c0ffee", train=held_out[:5])
    generated = [
        (
            f"{seed}.txt",
            SampleSet(
                {form: verses(form, 12, seed) for form in forms},
                form_given=False,
                num_generated=25,
                forms={"五绝": 12, "七绝": 12, "other": 1},
            ),
        )
        for seed in (2, 3)
    ]
    return evaluate_models([], eval_set, EvalConfig(samples_per_form=12), generated=generated)


class Reader(HTMLParser):
    """Collects the elements, the references and the text; checks that elements are closed."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.references: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.references += [v or "" for k, v in attrs if k in {"src", "href", "xlink:href", "data"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def parsed(report: EvaluationReport) -> Reader:
    reader = Reader()
    reader.feed(report_page(report))
    return reader


def test_page_is_well_formed_and_complete(parsed: Reader) -> None:
    assert parsed.open == []
    assert "<here> & there" in parsed.text
    assert "real poems" in parsed.text
    # Quality against diversity, ranks, and a plot for each form and for all.
    assert parsed.seen.count("svg") == 2 + 3


def test_page_begins_with_the_summary(report: EvaluationReport) -> None:
    titles = re.findall(r"<h2>(.+?)</h2>", report_page(report))
    assert titles[:2] == ["Summary", "Metrics of the generated poems"]
    assert titles[-2:] == ["What each metric measures", "Settings"]


def test_page_follows_the_language(
    report: EvaluationReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert '<html lang="en">' in report_page(report)
    monkeypatch.setattr("poetgen.language._catalogue", {"Summary": "概要", "rhyme": "押韵"})
    text = report_page(report)
    assert '<html lang="zh-Hans">' in text
    assert "<h2>概要</h2>" in text
    assert "押韵</td>" in text


def test_page_shows_no_interval_of_few_poems(report: EvaluationReport) -> None:
    """The fixture has 12 poems of each form, 24 in all."""
    all_forms, *forms = re.findall(
        r'<tr class="section">.+?(?=<tr class="section">|</tbody>)', report_page(report), re.DOTALL
    )
    intervals = r'<td class="interval">\d'
    assert re.search(intervals, all_forms)
    assert len(forms) == 2
    assert not any(re.search(intervals, form) for form in forms)


def test_page_loads_nothing(report: EvaluationReport, parsed: Reader) -> None:
    assert parsed.references == ["data:,"]
    text = report_page(report)
    assert not re.search(r"//|url\(|@import", text)
    assert {"script", "img", "iframe", "object"}.isdisjoint(parsed.seen)
    assert "default-src 'none'" in text


def test_page_shows_twenty_poems_per_column(report: EvaluationReport, parsed: Reader) -> None:
    for run in report.runs:
        examples = run.columns["free"].examples
        assert len(examples) == 20
        assert all(line in parsed.text for _, poem in examples for line in poem.text.split("。"))


def test_page_without_samples_has_no_plots(report: EvaluationReport) -> None:
    bare = replace(report, runs=[], reference=None)
    assert "<svg" not in report_page(bare)


# Sizes of plots and poems: an element that is not shown has no size.
_MEASURE = """const sizes = [...document.querySelectorAll("svg, [lang=zh-Hans]")]
  .map((e) => e.getBoundingClientRect()).map((r) => Math.round(Math.min(r.width, r.height)));
const overflow = document.documentElement.scrollWidth - innerWidth;
report({ faults, overflow, smallest: Math.min(...sizes), number: sizes.length });"""


@pytest.mark.parametrize("width", [1280, 390])
def test_page_in_a_browser_has_no_faults(
    report: EvaluationReport, tmp_path: Path, width: int
) -> None:
    text = report_page(report)
    browser.screenshot(text, tmp_path / "page.png", width=width, height=900)
    assert (tmp_path / "page.png").stat().st_size > 30_000  # an empty page is smaller
    # The page allows no script; a copy without that policy can be measured.
    measured = browser.drive(
        re.sub(r"<meta http-equiv[^>]*>", "", text), _MEASURE, tmp_path, width=width
    )
    assert measured["faults"] == []
    assert measured["overflow"] <= 0  # wide tables and plots scroll by themselves
    assert measured["smallest"] >= 10
    assert measured["number"] == 5 + 2 * 20

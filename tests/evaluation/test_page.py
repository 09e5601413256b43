"""The report as a page, read as text, and opened in a browser where there is one."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from poetgen.evaluation.held_out import EvaluationSet
from poetgen.evaluation.page import page
from poetgen.evaluation.report import Plan, evaluate_models
from poetgen.evaluation.sampled import Sampled
from tests import browser
from tests.evaluation.verses import verses


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    forms = ("五绝", "七绝")
    held_out = [poem for form in forms for poem in verses(form, 30, 1)]
    on = EvaluationSet(held_out, "<here> & there", "test", "c0ffee", train=held_out[:5])
    lots = [
        (
            f"{seed}.txt",
            Sampled(
                {form: verses(form, 12, seed) for form in forms},
                told_form=False,
                num_written=25,
                forms={"五绝": 12, "七绝": 12, "other": 1},
            ),
        )
        for seed in (2, 3)
    ]
    return evaluate_models([], on, Plan(samples=12), written=lots)


class Reader(HTMLParser):
    """Whether every element is closed, what is referred to, and the text."""

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
def read(report: dict[str, Any]) -> Reader:
    reader = Reader()
    reader.feed(page(report))
    return reader


def test_the_page_is_whole(read: Reader) -> None:
    assert read.open == []
    assert "<here> & there" in read.text
    assert "real poems" in read.text
    # Quality against diversity, ranks, and a plot for each form and for all.
    assert read.seen.count("svg") == 2 + 3


def test_the_page_asks_for_nothing_from_elsewhere(report: dict[str, Any], read: Reader) -> None:
    assert read.references == ["data:,"]
    text = page(report)
    assert not re.search(r"//|url\(|@import", text)
    assert {"script", "img", "iframe", "object"}.isdisjoint(read.seen)
    assert "default-src 'none'" in text


def test_twenty_poems_of_each_lot_are_shown(report: dict[str, Any], read: Reader) -> None:
    for run in report["runs"]:
        examples = run["free"]["examples"]
        assert len(examples) == 20
        assert all(line in read.text for one in examples for line in one["poem"].split("。"))


def test_a_page_of_likelihoods_alone(report: dict[str, Any]) -> None:
    bare = {**report, "runs": [], "human": None}
    assert "<svg" not in page(bare)


# How large things came out: a plot or a poem that is not shown has no size.
_MEASURE = """const sizes = [...document.querySelectorAll("svg, [lang=zh-Hans]")]
  .map((e) => e.getBoundingClientRect()).map((r) => Math.round(Math.min(r.width, r.height)));
report({ faults, smallest: Math.min(...sizes), number: sizes.length });"""


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_plots_and_poems_without_a_complaint(
    report: dict[str, Any], tmp_path: Path, width: int
) -> None:
    text = page(report)
    browser.screenshot(text, tmp_path / "page.png", width=width, height=900)
    assert (tmp_path / "page.png").stat().st_size > 30_000  # an empty page packs into less
    # The page allows no script at all; a copy without that rule can be measured.
    measured = browser.drive(
        re.sub(r"<meta http-equiv[^>]*>", "", text), _MEASURE, tmp_path, width=width
    )
    assert measured["faults"] == []
    assert measured["smallest"] >= 10
    assert measured["number"] == 5 + 2 * 20

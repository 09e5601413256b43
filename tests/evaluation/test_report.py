"""The JSON report: its values and its documented keys."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from poetgen.config import Config
from poetgen.data.poem import fingerprint
from poetgen.engine.scoring import Likelihood
from poetgen.evaluation.comparison import Comparison
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.evaluate import EvalConfig, evaluate_models
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.metrics.table import METRICS
from poetgen.evaluation.metrics.whole_poem import MEASURES
from poetgen.evaluation.report import (
    EvaluationReport,
    NullSample,
    ReferenceReport,
    ReportSettings,
    RunReport,
    report_to_json,
)
from poetgen.evaluation.whole_poems import ShuffleTest
from poetgen.prosody.forms import OTHER
from tests.evaluation.bundles import (
    POEMS,
    conditional_model,
    constant_model,
    eval_set_of,
    file_samples,
)
from tests.evaluation.verses import verses

JSON_PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "json.md"


def to_json(report: EvaluationReport) -> Any:
    """Return the report as it is read back from its JSON text."""
    return json.loads(json.dumps(report_to_json(report)))


def test_report_to_json_of_likelihoods_only() -> None:
    report = evaluate_models([constant_model()], eval_set_of(split="test"), EvalConfig(0))
    nats = 9 * math.log(4) + 3 * math.log(8) + math.log(20992 - 2)
    likelihood = {
        "poems": 2,
        "tokens": 12,
        "unknown_tokens": 1,
        "nats_per_token": pytest.approx(nats / 12, abs=2e-6),
        "perplexity": pytest.approx(math.exp(nats / 12), abs=1e-3),
        "bits_per_hanzi": pytest.approx(nats / math.log(2) / 7, abs=2e-5),
    }
    assert to_json(report) == {
        "settings": {
            "source": "here",
            "split": "test",
            "corpus": None,
            "poems": 2,
            "poems_fingerprint": fingerprint(POEMS),
            "num_excluded": 0,
            "warnings": [],
            "precision": "int8",
        },
        "reference": None,
        "runs": [
            {
                "model": "a.safetensors",
                "fingerprint": report.runs[0].fingerprint,
                "trained_on": "feed",
                "likelihood": likelihood | {"forms": {OTHER: likelihood}, "given": {}},
            }
        ],
    }


def test_report_to_json_writes_overflow_as_null() -> None:
    report = evaluate_models([constant_model()], eval_set_of(), EvalConfig(0))
    likelihood = report.runs[0].likelihood
    assert likelihood is not None
    infinite = replace(likelihood, total=Likelihood(1, 1, 0, 1, 800.0))
    report = replace(report, runs=[RunReport("a", likelihood=infinite)])
    assert to_json(report)["runs"][0]["likelihood"]["perplexity"] is None


def test_report_to_json_rounds_to_five_digits() -> None:
    report = evaluate_models(
        [],
        eval_set_of(verses("五绝", 9, 1)),
        EvalConfig(samples_per_form=3),
        generated=[("f", file_samples({"五绝": verses("五绝", 3, 3)}))],
    )
    column = report.runs[0].columns["free"]
    third, half = Estimate(1 / 3, 0.0, 2 / 3), Estimate(0.5, 0.4, 0.6)
    column = replace(column, metrics={"五绝": {"rhyme": Comparison(third, half)}})
    report = replace(report, runs=[replace(report.runs[0], columns={"free": column})])
    assert to_json(report)["runs"][0]["free"]["metrics"] == {
        "五绝": {
            "rhyme": {
                "value": 0.33333,
                "low": 0.0,
                "high": 0.66667,
                "reference": {"value": 0.5, "low": 0.4, "high": 0.6},
                "distance": -0.16667,
                "flagged": False,
            }
        }
    }


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield the keys of a report as docs/reference/json.md spells them."""
    name = path.rpartition(".")[2]
    is_leaf = name == "reference" and path != "reference"
    if is_leaf or not isinstance(value, (dict, list)):
        yield path
    elif isinstance(value, list):
        for one in value:
            yield from paths(one, f"{path}[]") if isinstance(one, dict) else [path]
    else:
        if "nats_per_token" in value or {"low", "value"} <= value.keys():
            yield path
        variable = {
            **dict.fromkeys(("samples_per_form", "poems", "forms", "metrics"), "<form>"),
            "missing": "<metric>",
            "whole_poems": "<measure>",
            "given": "<condition>",
            "baseline": "<order>",
        }.get(name)
        variable = "<metric>" if re.search(r"metrics\.<form>$", path) else variable
        for key, one in value.items():
            yield from paths(one, f"{path}.{variable or key}" if path else key)


def documented() -> tuple[set[str], str]:
    """Return the paths in the table of keys, and the text of its section."""
    section = JSON_PAGE.read_text(encoding="utf-8").split("## JSON of `eval`")[1].split("\n## ")[0]
    rows = [row.split(" | ")[0] for row in section.splitlines() if row.startswith("| `")]
    return {key for row in rows for key in re.findall("`([^`]+)`", row)}, section


def with_whole_poems(report: EvaluationReport) -> EvaluationReport:
    """Return the report with a measure of whole poems, for which its samples are too small."""
    estimate = Estimate(2 / 3, -1 / 3, 1.0)
    assert report.reference is not None
    tests = {"coherence": ShuffleTest(30, estimate, estimate, estimate)}
    compared = {"coherence": Comparison(estimate, estimate)}
    runs = [
        replace(
            run,
            columns={m: replace(one, whole_poems=compared) for m, one in run.columns.items()},
        )
        for run in report.runs
    ]
    return replace(report, reference=replace(report.reference, whole_poems=tests), runs=runs)


def test_report_to_json_rounds_whole_poems() -> None:
    estimate = Estimate(2 / 3, -1 / 3, 1.0)
    reference = ReferenceReport(
        {},
        {},
        NullSample({}, 0, 0),
        [],
        {"coherence": ShuffleTest(30, estimate, estimate, estimate)},
    )
    settings = ReportSettings("here", None, None, 1, "beef", 0, ())
    found = to_json(EvaluationReport(settings, reference, []))["reference"]["whole_poems"]
    rounded = {"value": 0.66667, "low": -0.33333, "high": 1.0}
    expected = dict.fromkeys(("area", "real", "shuffled"), rounded)
    assert found == {"coherence": {"poems": 30, "informative": True, **expected}}


def test_report_to_json_keys_are_documented(tiny_config: Config) -> None:
    held_out, train = (
        [poem for form in ("五绝", "七绝") for poem in verses(form, 12, seed)] for seed in (1, 2)
    )
    constant = constant_model()
    short = tiny_config.model_copy(update={"model": constant.config.model})
    full = evaluate_models(
        [conditional_model(tiny_config), replace(constant, config=short)],
        eval_set_of([*held_out, *POEMS], train=train),
        EvalConfig(samples_per_form=3, constrained=True, baseline=True),
        generated=[("f", file_samples({"五绝": verses("五绝", 4, 3)}))],
    )
    full = with_whole_poems(full)
    bare = evaluate_models(
        [constant_model()], EvaluationSet.empty("no corpus"), EvalConfig(samples_per_form=1)
    )
    known, text = documented()
    found = {
        path.replace(".constrained.", ".free.")
        for report in (full, bare)
        for path in paths(to_json(report))
    }
    leaves = {"poems", "tokens", "unknown_tokens", "nats_per_token", "perplexity", "bits_per_hanzi"}
    leaves |= {"value", "low", "high", "reference", "distance", "flagged"}
    inner = re.compile(
        r"(likelihood|forms\.<form>|given\.<condition>|baseline\.<order>|<metric>"
        r"|free\.whole_poems\.<measure>|area|real|shuffled)\.(\w+)$"
    )
    found = {path for path in found if not ((m := inner.search(path)) and m.group(2) in leaves)}
    assert found == known
    assert all(f"`{name}`" in text for name in (*leaves, *METRICS, *MEASURES))

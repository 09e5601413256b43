"""Reports on models with known probabilities, and on samples from elsewhere."""

import logging
import math
import re
from dataclasses import replace

import pytest

from poetgen.config import Config
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem, fingerprint
from poetgen.errors import UsageError
from poetgen.evaluation import estimate
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.evaluate import EvalConfig, evaluate_models, weights_fingerprint
from poetgen.evaluation.metrics.table import METRICS
from poetgen.evaluation.report import EvaluationReport, ReportSettings
from poetgen.model.file import ModelBundle
from tests import bars
from tests.evaluation.bundles import (
    POEMS,
    PROBABILITIES,
    conditional_model,
    constant_model,
    eval_set_of,
    file_samples,
)
from tests.evaluation.verses import verses

LIKELIHOOD_ONLY = EvalConfig(samples_per_form=0)


@pytest.fixture
def conditional(tiny_config: Config) -> ModelBundle:
    return conditional_model(tiny_config)


def test_evaluate_reports_its_settings() -> None:
    eval_set = eval_set_of(split="test", corpus_fingerprint="c0ffee", num_excluded=3)
    report = evaluate_models([constant_model()], eval_set, LIKELIHOOD_ONLY)
    assert report.settings == ReportSettings(
        source="here",
        split="test",
        corpus="c0ffee",
        poems=2,
        poems_fingerprint=fingerprint(POEMS),
        num_excluded=3,
        warnings=(),
        sampling=None,
    )
    assert report.reference is None


@pytest.mark.parametrize("temperature", [-1.0, math.nan])
def test_config_rejects_a_temperature_out_of_range(temperature: float) -> None:
    with pytest.raises(UsageError):
        EvalConfig(temperatures=(0.8, temperature))


def test_evaluate_has_a_run_per_model_in_order() -> None:
    even = constant_model()
    sure = constant_model({"山": 0.9, "云": 0.02, "。": 0.04, "<eos>": 0.04}, "b.safetensors")
    runs = evaluate_models([even, sure], eval_set_of([Poem("山山山山。")]), LIKELIHOOD_ONLY).runs
    assert [run.model for run in runs] == ["a.safetensors", "b.safetensors"]
    assert [run.trained_on for run in runs] == ["feed", "feed"]
    assert runs[0].fingerprint != runs[1].fingerprint
    expected = [
        4 * math.log(4) + math.log(4) + math.log(8),
        -4 * math.log(0.9) - 2 * math.log(0.04),
    ]
    assert [run.likelihood.total.nats for run in runs if run.likelihood] == pytest.approx(
        expected, abs=6 / 1024
    )
    assert not any(run.columns for run in runs)


def test_weights_fingerprint_identifies_weights() -> None:
    one, same, other = (
        weights_fingerprint(constant_model(PROBABILITIES | {"山": p}).fp32_weights())
        for p in (0.25, 0.25, 0.2501)
    )
    assert one == same != other
    assert re.fullmatch("[0-9a-f]{16}", one)


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    """Verses and one repeated poem, compared with held-out verses."""
    held_out = [poem for form in ("五绝", "七绝") for poem in verses(form, 60, 1)]
    train = [poem for form in ("五绝", "七绝") for poem in verses(form, 100, 2)]
    alike = {form: verses(form, 30, 3) for form in ("五绝", "七绝")}
    repeated = {"五绝": verses("五绝", 1, 4) * 30}
    return evaluate_models(
        [],
        eval_set_of(held_out, train=train),
        EvalConfig(samples_per_form=20),
        generated=[
            ("alike.txt", file_samples(alike)),
            ("repeated.txt", file_samples(repeated)),
        ],
    )


def test_evaluate_measures_samples_from_elsewhere(report: EvaluationReport) -> None:
    alike, repeated = report.runs
    assert (alike.model, alike.temperature, alike.likelihood) == ("alike.txt", None, None)
    assert alike.columns["free"].compared == 3 * (len(METRICS) - 1) - 4  # without in_form
    assert alike.columns["free"].flagged <= 2
    column = repeated.columns["free"]
    comparison = column.metrics["五绝"]["self_bleu_2"]
    assert comparison.reference is not None
    assert (comparison.estimate.value, comparison.flagged) == (1, True)
    assert comparison.distance == pytest.approx(1 - comparison.reference.value, abs=1e-5)
    assert column.flagged >= 4
    assert set(column.metrics) == {"五绝"}


def test_evaluate_counts_metrics_flagged_at_random(report: EvaluationReport) -> None:
    reference = report.reference
    assert reference is not None
    assert reference.poems == {"五绝": 20, "七绝": 20, "五律": 0, "七律": 0}
    second = reference.second_sample
    assert second.poems == reference.poems
    assert second.compared == report.runs[0].columns["free"].compared + 3
    assert second.flagged <= 3


def test_evaluate_shows_the_first_poems_as_examples(report: EvaluationReport) -> None:
    expected = [(form, poem) for form in ("五绝", "七绝") for poem in verses(form, 10, 3)]
    assert report.runs[0].columns["free"].examples == expected


def test_evaluate_has_a_run_per_model_and_temperature(conditional: ModelBundle) -> None:
    config = EvalConfig(samples_per_form=2, temperatures=(0.5, 1.5))
    eval_set = eval_set_of(verses("五绝", 6, 1), train=verses("五绝", 6, 2))
    runs = evaluate_models([conditional, conditional], eval_set, config).runs
    assert [run.temperature for run in runs] == [0.5, 1.5, 0.5, 1.5]
    assert runs[0] == runs[2] != runs[1]
    assert runs[0].columns["free"].poems == {"五绝": 2, "七绝": 2, "五律": 2, "七律": 2}
    assert runs[0].likelihood == runs[1].likelihood


def test_evaluate_reports_progress_up_to_the_total(
    conditional: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = bars.record(monkeypatch)
    eval_set = eval_set_of(verses("五绝", 6, 1), train=verses("五绝", 6, 2))
    evaluate_models([conditional], eval_set, EvalConfig(samples_per_form=2, baseline=True))
    assert [bar.desc for bar in shown] == [
        "conditional: scoring",
        "counting n-grams",
        "scoring with Kneser–Ney models",
        "counting n-grams",
        "measuring real poems",
        "conditional, temperature 0.8, free: generating",
        "conditional: measuring",
    ]
    assert all(bar.n == bar.total for bar in shown)


def test_evaluate_announces_its_expected_time(
    conditional: ModelBundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="poetgen")
    monkeypatch.setattr("poetgen.evaluation.estimate.MIN_SECONDS", 0.0)
    config = EvalConfig(samples_per_form=2, temperatures=(0.5, 1.0), constrained=True)
    evaluate_models([conditional], eval_set_of(verses("五绝", 6, 1)), config)
    name = estimate.__name__  # not of the progress, which depends on the tests before
    (message,) = [record.getMessage() for record in caplog.records if record.name == name]
    assert re.fullmatch(r"about \d+ s: 6 poems to score, 32 to generate", message)


def test_evaluate_counts_measured_poems_of_a_longer_file() -> None:
    samples = file_samples({"五绝": verses("五绝", 9, 2)})
    report = evaluate_models(
        [],
        eval_set_of(verses("五绝", 12, 1)),
        EvalConfig(samples_per_form=4),
        generated=[("f", samples)],
    )
    column = report.runs[0].columns["free"]
    assert (column.generated, column.poems) == (9, {"五绝": 4})


def test_evaluate_shows_no_progress_without_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_models([constant_model()], eval_set_of(), LIKELIHOOD_ONLY)
    assert capsys.readouterr() == ("", "")


def test_evaluate_without_corpus_has_no_reference(conditional: ModelBundle) -> None:
    bundle = replace(
        conditional, training_lines=(LineBloomFilter.from_poems(verses("五绝", 5, 1)),)
    )
    empty = EvaluationSet.empty("no corpus here")
    report = evaluate_models([bundle], empty, EvalConfig(samples_per_form=2))
    assert (report.reference, report.settings.poems) == (None, 0)
    assert report.settings.warnings == ("no corpus here",)
    (run,) = report.runs
    assert run.likelihood is None
    assert run.missing.keys() == {
        *("copied_5", "copied_7", "seen_2", "seen_3", "seen_4", "js_characters", "js_bigrams")
    }
    metrics = run.columns["free"].metrics["五绝"]
    assert "verbatim_lines" in metrics
    assert all(one.reference is None and not one.flagged for one in metrics.values())

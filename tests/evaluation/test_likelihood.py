"""Likelihoods of held-out poems, on models with known probabilities."""

import math
from dataclasses import replace

import pytest

from poetgen.config import Config
from poetgen.data.conditions import Conditions
from poetgen.data.poem import Poem
from poetgen.engine.scoring import Likelihood, score, total
from poetgen.evaluation import likelihood as likelihood_module
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.kneser_ney import kneser_ney_likelihoods
from poetgen.evaluation.likelihood import evaluate_likelihood
from poetgen.evaluation.metrics.table import ALL
from poetgen.evaluation.report import LikelihoodReport
from poetgen.model.file import ModelBundle
from poetgen.prosody.forms import OTHER
from tests.evaluation.bundles import (
    POEMS,
    VOCAB,
    conditional_model,
    constant_model,
    eval_set_of,
)
from tests.evaluation.verses import verses


def evaluate(
    bundle: ModelBundle, eval_set: EvaluationSet, *, baseline: bool = False
) -> LikelihoodReport:
    report = evaluate_likelihood(bundle, eval_set, seed=1, baseline=baseline)
    assert report is not None
    return report


@pytest.fixture
def conditional(tiny_config: Config) -> ModelBundle:
    return conditional_model(tiny_config)


def test_likelihood_divides_sums_once() -> None:
    report = evaluate(constant_model(), eval_set_of())
    # 山 云 。 <eos> and 山 <unk> 云 山 。 云 。 <eos>; two Han characters are in the vocabulary.
    nats = 9 * math.log(4) + 3 * math.log(8) + math.log(20992 - 2)
    assert replace(report.total, nats=0) == Likelihood(2, 12, 1, 7, 0)
    assert report.total.nats == pytest.approx(nats, rel=1e-6)
    assert report.by_form == {OTHER: report.total}
    assert (report.given, report.baseline) == ({}, {})


def test_likelihood_does_not_depend_on_order() -> None:
    forward, backward = (
        evaluate(constant_model(), eval_set_of(poems)) for poems in (POEMS, POEMS[::-1])
    )
    assert forward == backward


def test_likelihood_without_poems_is_none() -> None:
    empty = EvaluationSet.empty("no corpus")
    assert evaluate_likelihood(constant_model(), empty, seed=1) is None


def test_likelihood_by_form_covers_the_forms_poems() -> None:
    quatrains, longer = verses("五绝", 3, 1), verses("七绝", 2, 1)
    bundle = constant_model()
    report = evaluate(bundle, eval_set_of([*longer, *quatrains, *POEMS]))
    assert list(report.by_form) == ["五绝", "七绝", OTHER]
    for form, poems in (("五绝", quatrains), ("七绝", longer), (OTHER, POEMS)):
        assert report.by_form[form] == evaluate(bundle, eval_set_of(poems)).by_form[form]
    assert sum(one.tokens for one in report.by_form.values()) == report.total.tokens


def test_likelihood_given_supported_conditions(conditional: ModelBundle) -> None:
    poems = [replace(poem, title="山月", author="竹客") for poem in verses("五绝", 4, 1)]
    report = evaluate(conditional, eval_set_of(poems))
    assert list(report.given) == ["nothing", "form", "title", ALL]  # authors are not supported
    assert report.given["nothing"].nats == pytest.approx(report.total.nats, rel=1e-12)
    assert len({one.nats for one in report.given.values()}) == 4
    assert {one.tokens for one in report.given.values()} == {report.total.tokens}


def test_likelihood_given_each_poems_own_title(conditional: ModelBundle) -> None:
    poems = [
        replace(poem, title=title) for poem, title in zip(verses("五绝", 2, 1), "山云", strict=True)
    ]
    report = evaluate(conditional, eval_set_of(poems))
    given = [Conditions(title=poem.title) for poem in poems]
    expected = total(score(conditional.engine, poems, conditional.vocab, conditions=given))
    assert report.given["title"] == expected


def test_likelihood_given_subset_ignores_order(
    conditional: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likelihood_module, "NUM_CONDITIONED", 3)
    poems: list[Poem] = verses("五绝", 8, 1)
    forward, backward = (
        evaluate(conditional, eval_set_of(order)).given for order in (poems, poems[::-1])
    )
    assert forward["nothing"].poems == forward["form"].poems == 3
    assert forward["form"].nats == pytest.approx(backward["form"].nats, abs=1e-3)


def test_baseline_is_trained_on_the_training_split() -> None:
    train, poems = verses("五绝", 30, 1), verses("五绝", 3, 2)
    report = evaluate(constant_model(), eval_set_of(poems, train=train), baseline=True)
    assert report.baseline == kneser_ney_likelihoods(train, poems, VOCAB)


def test_baseline_needs_training_text() -> None:
    assert not evaluate(constant_model(), eval_set_of(), baseline=True).baseline

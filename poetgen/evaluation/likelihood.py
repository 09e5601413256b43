"""Likelihood of held-out poems under a model: in total, by form, and with conditions given."""

import random
from collections.abc import Sequence
from dataclasses import replace

from poetgen.data.conditions import Conditions, conditions_of, encode_conditions, restrict_to
from poetgen.data.poem import Poem
from poetgen.engine.scoring import score, total
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.kneser_ney import kneser_ney_likelihoods
from poetgen.evaluation.metrics.table import ALL
from poetgen.evaluation.report import NOTHING, LikelihoodReport
from poetgen.language import tr
from poetgen.model.file import ModelBundle
from poetgen.progress import Stage
from poetgen.prosody.forms import FORMS, OTHER, form_of
from poetgen.runs import model_name

CONDITIONS = ("form", "author", "title")
NUM_CONDITIONED = 500
"""Poems that are scored once for each condition: scoring all of them would take minutes."""


def evaluate_likelihood(
    bundle: ModelBundle, eval_set: EvaluationSet, *, seed: int, baseline: bool = False
) -> LikelihoodReport | None:
    """Return the likelihoods of `eval_set` under a model; None without poems.

    `seed` selects the poems that are scored with conditions; `baseline` adds Kneser–Ney models.
    """
    poems, vocab = eval_set.poems, bundle.vocab
    if not poems:
        return None
    subset = _draw_subset(poems, NUM_CONDITIONED, seed)
    subset_poems = [poems[i] for i in subset]
    conditions = available_conditions(bundle, subset_poems)
    num_scored = len(poems) + len(conditions) * len(subset)
    network = bundle.engine
    with Stage(tr("{model}: scoring", model=model_name(bundle.path)), num_scored) as stage:
        scores = score(network, poems, vocab, advance=stage.advance)
        given = {NOTHING: total([scores[i] for i in subset])} if conditions else {}
        for name, each in conditions.items():
            conditioned = score(
                network, subset_poems, vocab, conditions=each, advance=stage.advance
            )
            given[name] = total(conditioned)
    forms = [form_of(poem.lines) for poem in poems]
    by_form = {
        form: total([one for one, own in zip(scores, forms, strict=True) if own == form])
        for form in (*FORMS, OTHER)
        if form in forms
    }
    report = LikelihoodReport(total(scores), by_form, given)
    if not (baseline and eval_set.train):
        return report
    return replace(report, baseline=kneser_ney_likelihoods(eval_set.train, poems, vocab))


def _draw_subset(poems: Sequence[Poem], num: int, seed: int) -> list[int]:
    """Return the indices of `num` random poems, or of all; the same poems in whatever order."""
    indices = sorted(range(len(poems)), key=lambda i: poems[i].text)
    if num >= len(indices):
        return indices
    # The suffix is part of the seed: another one would draw other poems.
    return sorted(random.Random(f"{seed}:told").sample(indices, num))


def available_conditions(bundle: ModelBundle, poems: Sequence[Poem]) -> dict[str, list[Conditions]]:
    """Return, for each supported condition and for all together, its value for each poem."""
    known = [conditions_of(poem) for poem in poems]
    by_condition = {name: [restrict_to(one, (name,)) for one in known] for name in CONDITIONS}
    supported = {
        name: values
        for name, values in by_condition.items()
        if any(encode_conditions(value, bundle.vocab) for value in values)
    }
    return supported | ({ALL: known} if len(supported) > 1 else {})

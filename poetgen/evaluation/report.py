"""The evaluation report as JSON values: what was measured how, and a run per model and temperature.

Assembles; what a figure means is said where it is computed, and docs/design.md lists the keys.
"""

import hashlib
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from poetgen.data.conditions import Conditions, conditions_of, encode_conditions, only
from poetgen.data.poem import Poem, fingerprint
from poetgen.evaluation.distribution import rank_frequency
from poetgen.evaluation.held_out import EvaluationSet
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.measures import ALL, MEASURES, Background, Cell, Column, Yardstick
from poetgen.evaluation.ngram import baseline
from poetgen.evaluation.novelty import TrainingGrams, TrainingLines
from poetgen.evaluation.real import ByForm, draw_real
from poetgen.evaluation.sampled import Sampled, sample_by_form
from poetgen.model.likelihood import Likelihood, score, total
from poetgen.model.locate import SHIPPED, model_name
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel
from poetgen.prosody.forms import FORMS, OTHER, form_of
from poetgen.sampling.options import DEFAULT_PARTICLES

KINDS = ("form", "author", "title")
NOTHING = "nothing"
NUM_TOLD = 500
"""Poems that are scored with conditions given, and again for each kind: scoring all takes minutes."""
NUM_EXAMPLES = 20
FREE, CONSTRAINED = "free", "constrained"


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    samples: int = 200
    """Poems that a model writes of each form; 0: likelihood alone."""
    temperatures: tuple[float, ...] = (0.8,)
    seed: int = 1
    """Of the model's poems, of the samples of real ones, and of the resampling."""
    constrained: bool = False
    """Whether poems are written under constraints too."""
    baseline: bool = False
    """Whether Kneser–Ney models are trained and scored."""


class Progress(Protocol):
    """Is told how far the work has come."""

    def stage(self, name: str, total: int) -> None:
        """What begins now, and of how many steps it is."""

    def advance(self, num: int) -> None:
        """So many more steps are done."""


class _Quiet:
    def stage(self, name: str, total: int) -> None: ...
    def advance(self, num: int) -> None: ...


QUIET = _Quiet()


def evaluate_models(
    models: Sequence[StoredModel],
    on: EvaluationSet,
    plan: Plan,
    *,
    written: Sequence[tuple[str, Sampled]] = (),
    progress: Progress = QUIET,
) -> dict[str, Any]:
    """The report as JSON values; docs/design.md lists its keys.

    `written` are poems from elsewhere, each lot with its name: measured like those of a model.
    """
    real = draw_real(on.poems, on.more, count=plan.samples, seed=plan.seed)
    counts = {form: len(real.first[form]) or plan.samples for form in FORMS}
    heads = [_head(stored, on, plan, progress) for stored in models]
    report: dict[str, Any] = {"settings": _settings(on, plan, counts), "human": None, "runs": heads}
    if not plan.samples:
        return report
    progress.stage("real poems", 1)
    grams = TrainingGrams(on.train) if on.train else None
    yardsticks = [
        Yardstick(real, Background(TrainingLines(on.train, sets), grams, real.rest, plan.seed))
        for sets in (*(stored.lines for stored in models), ())
    ]
    report["human"] = _human(on, yardsticks[0])
    progress.advance(1)
    report["runs"] = [
        head | {"temperature": temperature} | columns
        for stored, head, yardstick in zip(models, heads, yardsticks, strict=False)
        for temperature in plan.temperatures
        for columns in [_columns(stored, counts, temperature, plan, yardstick, progress)]
    ] + [_written_run(name, lot, yardsticks[-1]) for name, lot in written]
    return report


def _head(stored: StoredModel, on: EvaluationSet, plan: Plan, progress: Progress) -> dict[str, Any]:
    return {
        "model": SHIPPED.stem if stored.path == SHIPPED else str(stored.path),
        "fingerprint": weights_fingerprint(stored.model),
        "trained_on": stored.corpus,
        "likelihood": _likelihood(stored, on, plan, progress),
    }


def _written_run(name: str, written: Sampled, yardstick: Yardstick) -> dict[str, Any]:
    return {
        "model": name,
        **dict.fromkeys(("fingerprint", "trained_on", "likelihood", "temperature")),
        "missing": yardstick.background.missing,
        FREE: _column(written, yardstick),
    }


def _settings(on: EvaluationSet, plan: Plan, counts: dict[str, int]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "source": on.source,
        "split": on.split,
        "corpus": on.corpus,
        "poems": len(on.poems),
        "poems_fingerprint": fingerprint(on.poems),
        "left_out": on.left_out,
        "remarks": list(on.remarks),
        "precision": "fp32",
    }
    if plan.samples:
        settings |= {
            "samples": counts,
            "temperatures": list(plan.temperatures),
            "seed": plan.seed,
            "particles": DEFAULT_PARTICLES if plan.constrained else None,
        }
    return settings


def _human(on: EvaluationSet, yardstick: Yardstick) -> dict[str, Any] | None:
    """What there is to say of the real poems themselves; None where there are none in a form."""
    real = yardstick.real
    if not any(real.first.values()):
        return None
    chance = yardstick.chance()
    return {
        "poems": {form: len(poems) for form, poems in real.first.items()},
        "forms": dict(Counter(form_of(poem.lines) for poem in on.poems)),
        "second_sample": {
            "poems": {form: len(poems) for form, poems in real.second.items()},
            "lines": len(chance),
            "marked": sum(cell.marked for cell in chance),
        },
        "rank_frequency": _curve(real.first),
    }


def _columns(
    stored: StoredModel,
    counts: dict[str, int],
    temperature: float,
    plan: Plan,
    yardstick: Yardstick,
    progress: Progress,
) -> dict[str, Any]:
    """The poems of one model at one temperature: written, measured, set beside real ones."""
    columns: dict[str, Any] = {"missing": yardstick.background.missing}
    for kind in (FREE, CONSTRAINED) if plan.constrained else (FREE,):
        progress.stage(f"{_short(stored)} at {temperature:g}, {kind}", sum(counts.values()))
        sampled = sample_by_form(
            stored,
            counts,
            temperature=temperature,
            seed=plan.seed,
            constrained=kind == CONSTRAINED,
            tick=progress.advance,
        )
        columns[kind] = _column(sampled, yardstick)
    return columns


def _column(sampled: Sampled, yardstick: Yardstick) -> dict[str, Any]:
    column = yardstick.column(sampled.poems)
    if sampled.forms:  # that poems sorted by form are in it is no finding
        for of_form in column.values():
            of_form.pop("in_form", None)
    cells = [cell for form in column.values() for cell in form.values() if cell.human]
    return {
        "poems": {form: len(poems) for form, poems in sampled.poems.items()},
        "told_form": sampled.told_form,
        "written": sampled.num_written,
        "failed": sampled.num_failed,
        "forms": sampled.forms,
        "lines": len(cells),
        "marked": sum(cell.marked for cell in cells),
        "figures": _column_json(column),
        "rank_frequency": _curve(sampled.poems),
        "examples": [{"form": form, "poem": poem.text} for form, poem in _examples(sampled.poems)],
    }


def _examples(poems: ByForm) -> Iterator[tuple[str, Poem]]:
    """The first poems of each form, `NUM_EXAMPLES` in all: nobody has chosen among them."""
    share = -(-NUM_EXAMPLES // max(1, sum(map(bool, poems.values()))))
    firsts = [(form, poem) for form, own in poems.items() for poem in own[:share]]
    yield from firsts[:NUM_EXAMPLES]


def _curve(poems: ByForm) -> list[list[float]]:
    every = (poem for own in poems.values() for poem in own)
    return [[rank, round(share, 7)] for rank, share in rank_frequency(every)]


def _column_json(column: Column) -> dict[str, Any]:
    return {
        form: {name: _cell_json(cells[name]) for name in MEASURES if name in cells}
        for form, cells in column.items()
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {
        **_estimate_json(cell.figure),
        "human": None if cell.human is None else _estimate_json(cell.human),
        "distance": None if cell.distance is None else round(cell.distance, 5),
        "marked": cell.marked,
    }


def _estimate_json(estimate: Estimate) -> dict[str, float]:
    return {
        "value": round(estimate.value, 5),
        "low": round(estimate.low, 5),
        "high": round(estimate.high, 5),
    }


def _likelihood(
    stored: StoredModel, on: EvaluationSet, plan: Plan, progress: Progress
) -> dict[str, Any] | None:
    """Overall, by form, with conditions given, and the baseline's; None without poems."""
    if not on.poems:
        return None
    some = _some(on.poems, NUM_TOLD, plan.seed)
    given = _given(stored, [on.poems[i] for i in some])
    num = len(on.poems) + len(given) * len(some)
    progress.stage(f"{_short(stored)}: likelihood", num)
    scores = score(stored.model, on.poems, stored.vocab)
    progress.advance(len(on.poems))
    found: dict[str, Any] = _likelihood_json(total(scores))
    forms = [form_of(poem.lines) for poem in on.poems]
    found["forms"] = {
        form: _likelihood_json(
            total([s for s, own in zip(scores, forms, strict=True) if own == form])
        )
        for form in (*FORMS, OTHER)
        if form in forms
    }
    found["given"] = {NOTHING: _likelihood_json(total([scores[i] for i in some]))} if given else {}
    for name, conditions in given.items():
        told = score(stored.model, [on.poems[i] for i in some], stored.vocab, given=conditions)
        found["given"][name] = _likelihood_json(total(told))
        progress.advance(len(some))
    if plan.baseline and on.train:
        progress.stage("Kneser–Ney", 1)
        orders = baseline(on.train, on.poems, stored.vocab)
        found["baseline"] = {str(n): _likelihood_json(one) for n, one in orders.items()}
        progress.advance(1)
    return found


def _some(poems: Sequence[Poem], num: int, seed: int) -> list[int]:
    """Places of `num` poems by chance, or of all; the same poems whatever their order."""
    places = sorted(range(len(poems)), key=lambda i: poems[i].text)
    if num >= len(places):
        return places
    return sorted(random.Random(f"{seed}:told").sample(places, num))


def _given(stored: StoredModel, poems: Sequence[Poem]) -> dict[str, list[Conditions]]:
    """By kind, and for all together, what the model can be told of each poem.

    Kinds of which it takes in nothing are left out.
    """
    known = [conditions_of(poem) for poem in poems]
    by_kind = {kind: [only(one, (kind,)) for one in known] for kind in KINDS}
    taken = {
        kind: told
        for kind, told in by_kind.items()
        if any(encode_conditions(one, stored.vocab) for one in told)
    }
    return taken | ({ALL: known} if len(taken) > 1 else {})


def weights_fingerprint(model: PoemLSTM) -> str:
    """Sixteen hex digits that name a network's weights."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _short(stored: StoredModel) -> str:
    return model_name(stored.path) if stored.path else "model"


def _likelihood_json(likelihood: Likelihood) -> dict[str, Any]:
    perplexity = likelihood.perplexity
    return {
        "poems": likelihood.poems,
        "tokens": likelihood.tokens,
        "unknown_tokens": likelihood.unknown_tokens,
        "nats_per_token": round(likelihood.nats_per_token, 6),
        # JSON knows no infinity.
        "perplexity": round(perplexity, 4) if math.isfinite(perplexity) else None,
        "bits_per_hanzi": round(likelihood.bits_per_hanzi, 5),
    }

"""Sequential Monte Carlo: the functions by hand, the filter on a network that can be enumerated."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev
from typing import ClassVar

import pytest

from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem
from poetgen.sampling import decode as decoding
from poetgen.sampling.generator import Generator
from poetgen.sampling.hypothesis import Context, PoemTask, SampledToken
from poetgen.sampling.request import Request
from poetgen.sampling.smc import (
    ParticleFilter,
    effective_size,
    pick,
    systematic_resample,
)
from tests.sampling.models import (
    TableNetwork,
    chain,
    generate,
    make_generator,
    make_request,
    texts,
    vocabulary,
)


@pytest.mark.parametrize(
    ("weights", "size"),
    [((1, 1, 1, 1), 4), ((0, 5, 0, 0), 1), ((1, 1, 0, 0), 2), ((2, 1, 1), 8 / 3)],
)
def test_effective_size_by_hand(weights: tuple[float, ...], size: float) -> None:
    assert effective_size(weights) == pytest.approx(size)


@pytest.mark.parametrize(
    ("weights", "uniform", "parents"),
    [
        # The points are (i + uniform) / 4.
        ((1, 1, 1, 1), 0.5, [0, 1, 2, 3]),
        ((2, 0, 1, 1), 0.5, [0, 0, 2, 3]),
        ((0, 0, 0, 1), 0.0, [3, 3, 3, 3]),
        # Shares 0.4, 0.4, 0.1, 0.1: points 0, 0.25, 0.5, 0.75, and 0.225 more with uniform 0.9.
        ((4, 4, 1, 1), 0.0, [0, 0, 1, 1]),
        ((4, 4, 1, 1), 0.9, [0, 1, 1, 3]),
    ],
)
def test_systematic_resample_by_hand(
    weights: tuple[float, ...], uniform: float, parents: list[int]
) -> None:
    assert systematic_resample(weights, uniform) == parents


@pytest.mark.parametrize("uniform", [0.0, 0.3, math.nextafter(1, 0)])
def test_systematic_resample_rounds_each_share(uniform: float) -> None:
    weights = [0.5, 7, 3, 0, 11, 2.25]
    children = Counter(systematic_resample(weights, uniform))
    for i, weight in enumerate(weights):
        share = 6 * weight / sum(weights)
        assert math.floor(share) <= children[i] <= math.ceil(share)
    assert sum(children.values()) == 6


@pytest.mark.parametrize("scale", [1, 2.0**-1000, 2.0**900])
def test_resampling_depends_on_the_proportions_only(scale: float) -> None:
    weights = [0.5, 7, 3, 0, 11, 2.25]
    scaled = [weight * scale for weight in weights]
    assert effective_size(scaled) == effective_size(weights)
    for i in range(100):
        assert systematic_resample(scaled, i / 100) == systematic_resample(weights, i / 100)


def test_pick_is_proportional_and_skips_dead_particles() -> None:
    weights = [1, 0, 3, 0]
    assert [pick(weights, u) for u in (0, 0.24, 0.26, math.nextafter(1, 0))] == [0, 0, 2, 2]
    assert pick([0.1] * 10 + [0], math.nextafter(1, 0)) == 9


# 春山水 is followed by a mark, and the mark decides how likely the second line is to begin with 夏,
# as the acrostic requires.  Masking without particles samples the marks before it can see that.
VOCAB = vocabulary("春夏山水云风雨月花夜中间声来")
MARKS = {"，": 0.7, "？": 0.2, "！": 0.1}
SUMMER_AFTER = {"，": 0.05, "？": 0.4, "！": 0.9}
JOINT = {mark: MARKS[mark] * SUMMER_AFTER[mark] for mark in MARKS}
TRUTH = {mark: mass / sum(JOINT.values()) for mark, mass in JOINT.items()}


def started(num_particles: int) -> ParticleFilter:
    """Return a filter whose particles have read <bos>."""
    request = make_request(temperature=1, acrostic="春夏", particles=num_particles)
    search = ParticleFilter(PoemTask(0, request, Context(VOCAB, 20)))
    search.start()
    return search


def weigh(search: ParticleFilter, *weights: float) -> None:
    for particle, weight in zip(search.hypotheses, weights, strict=True):
        particle.weight = weight


def weights_of(search: ParticleFilter) -> list[float | None]:
    return [one.weight for one in search.hypotheses]


def upcoming(search: ParticleFilter) -> float:
    """Return the next number of the poem's stream without taking it."""
    return deepcopy(search.task.random).random()


def test_particle_filter_starts_with_equal_weights() -> None:
    search = started(3)
    assert weights_of(search) == [1.0] * 3
    assert len({id(one) for one in search.hypotheses}) == 3


def test_particle_filter_resamples_below_half_the_size() -> None:
    search = started(4)
    before = upcoming(search)
    weigh(search, 1, 1, 0.5, 0.5)
    assert list(search.select()) == [0, 1, 2, 3]
    assert upcoming(search) == before
    assert weights_of(search) == [1, 1, 0.5, 0.5]
    weigh(search, 1, 100, 0.5, 1000)
    search.hypotheses[3].is_dead = True
    assert list(search.select()) == [1, 1, 1, 1]
    assert upcoming(search) != before
    assert weights_of(search) == [1.0] * 4
    assert len({id(one) for one in search.hypotheses}) == 4


def test_particle_filter_rescales_small_weights() -> None:
    search = started(3)
    weigh(search, 2.0**-600, 2.0**-601, 2.0**-499)
    assert list(search.select()) == [2, 2, 2]
    weigh(search, 3 * 2.0**-600, 2.0**-601, 2.0**-599)
    assert list(search.select()) == [0, 1, 2]
    assert weights_of(search) == [3 * 2.0**-100, 2.0**-101, 2.0**-99]


def test_particle_filter_keeps_the_proportions_of_a_long_poem() -> None:
    search = started(2)
    weigh(search, 1, 0.5)
    for _ in range(3000):
        for particle in search.hypotheses:
            particle.weight = (particle.weight or 0) * 2.0**-9
        assert list(search.select()) == [0, 1]
    first, second = weights_of(search)
    assert first is not None
    assert second == first / 2 > 0


def test_particle_filter_does_not_select_among_the_dead() -> None:
    search = started(2)
    before = upcoming(search)
    for particle in search.hypotheses:
        particle.is_dead = True
    assert list(search.select()) == [0, 1]
    search = started(2)
    weigh(search, 0, 0)
    assert list(search.select()) == [0, 1]
    assert upcoming(search) == before


def test_particle_filter_finishes_with_one_history() -> None:
    search = started(3)
    steps = [SampledToken(0, 8, float(i), False, "春") for i in range(6)]
    assert search.record([None, None, None]) == ()
    assert search.record(steps[:3]) == ()
    weigh(search, 0, 1, 0)
    assert list(search.select()) == [1, 1, 1]
    assert search.record(steps[3:]) == ()
    weigh(search, 0, 0, 1)
    for particle in search.hypotheses:
        particle.is_active = False
    assert list(search.record([None, None, steps[0]])) == [steps[1], steps[5], steps[0]]
    search.start()
    assert list(search.record([None, None, None])) == []


# --- Against exact enumeration ---------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """Constraints on a network that has few poems, and the exact result."""

    network: TableNetwork
    acrostic: str
    poems: Mapping[str, float]
    """The poems that meet the constraints, with their probabilities in the model."""
    training_lines: tuple[LineBloomFilter, ...] = ()

    @property
    def mass(self) -> float:
        return sum(self.poems.values())

    def requests(self, num: int, num_particles: int) -> list[Request]:
        return [
            make_request(
                seed=5, index=i, temperature=1, acrostic=self.acrostic, particles=num_particles
            )
            for i in range(num)
        ]

    def generator(self) -> Generator:
        return make_generator(self.network, VOCAB, training_lines=self.training_lines)


def beginnings(
    first: Mapping[str, float], second: Mapping[str, Mapping[str, float]]
) -> TableNetwork:
    """Return a network of two-line poems, the second line begun after the mark of the first."""
    return chain(
        {
            "<bos>": first,
            "春": {"山": 1},
            "山": {"水": 1},
            "水": MARKS,
            **second,
            "夏": {"风": 1},
            "<unk>": {"风": 1},
            "风": {"雨": 1},
            "雨": {"。": 1},
            "。": {"<eos>": 1},
        },
        VOCAB,
    )


PROBLEMS = {
    "acrostic": Problem(
        beginnings(
            {"春": 0.1, "云": 0.9},
            {mark: {"夏": p, "云": 1 - p} for mark, p in SUMMER_AFTER.items()},
        ),
        "春夏",
        {f"春山水{mark}夏风雨。": 0.1 * mass for mark, mass in JOINT.items()},
    ),
    # A required character without an id has the probability of <unk>.
    "unknown": Problem(
        beginnings(
            {"春": 0.1, "云": 0.9},
            {mark: {"<unk>": p, "云": 1 - p} for mark, p in SUMMER_AFTER.items()},
        ),
        "春鹤",
        {f"春山水{mark}鹤风雨。": 0.1 * mass for mark, mass in JOINT.items()},
    ),
    # 春夜山中水 is refused, so a particle at 春夜山中 lives on with a probability of 0.4.
    "copy": Problem(
        chain(
            {
                "<bos>": {"春": 0.1, "花": 0.9},
                "春": {"夜": 1},
                "夜": {"山": 0.5, "云": 0.5},
                "山": {"中": 1},
                "中": {"水": 0.6, "月": 0.4},
                "云": {"间": 1},
                "间": {"花": 1},
                **{last: {"，": 1} for last in "水月花"},
                "，": {"夏": 1},
                **{last: {following: 1} for last, following in pairwise("夏风雨声来。")},
                "。": {"<eos>": 1},
            },
            VOCAB,
        ),
        "春夏",
        {"春夜山中月，夏风雨声来。": 0.1 * 0.5 * 0.4, "春夜云间花，夏风雨声来。": 0.1 * 0.5},
        (LineBloomFilter.from_poems([Poem("春夜山中水。")]),),
    ),
}


class EstimatingFilter(ParticleFilter):
    """A filter that estimates the probability that a poem meets the constraints.

    The estimate is the product of the mean weights before each resampling and at the end.
    """

    estimates: ClassVar[list[float]] = []

    def start(self) -> None:
        if self.hypotheses:
            self.estimates.append(0.0)  # all particles are dead
        super().start()
        self.factor = 1.0

    def select(self) -> Sequence[int]:
        mean = fmean(self._weights())
        before = self.hypotheses
        parents = super().select()
        if self.hypotheses is not before:
            self.factor *= mean
        return parents

    def record(self, steps: Sequence[SampledToken | None]) -> Sequence[SampledToken]:
        found = super().record(steps)
        if found:
            self.estimates.append(self.factor * fmean(self._weights()))
        return found


@pytest.mark.parametrize("num_particles", [2, 5])
@pytest.mark.parametrize("name", PROBLEMS)
def test_weights_estimate_the_probability_of_the_constraints_without_bias(
    name: str, num_particles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = PROBLEMS[name]
    monkeypatch.setattr(EstimatingFilter, "estimates", [])
    monkeypatch.setattr(decoding, "ParticleFilter", EstimatingFilter)
    poems = texts(
        generate(problem.generator(), problem.requests(500, num_particles), batch_size=512)
    )
    assert set(poems) == set(problem.poems)
    estimates = EstimatingFilter.estimates
    assert len(estimates) >= 500
    standard_error = stdev(estimates) / math.sqrt(len(estimates))
    assert standard_error < 0.05 * problem.mass
    assert abs(fmean(estimates) - problem.mass) < 3 * standard_error


@pytest.mark.parametrize("name", PROBLEMS)
def test_particles_approximate_the_posterior(name: str) -> None:
    problem, num = PROBLEMS[name], 200
    truth = {text: mass / problem.mass for text, mass in problem.poems.items()}
    found = Counter(texts(generate(problem.generator(), problem.requests(num, 16), batch_size=512)))
    rates = {text: count / num for text, count in found.items()}
    # 200 draws of the truth itself would be about 0.04 away, and 16 particles have a bias.
    assert total_variation(rates, truth) < 0.1


def test_a_single_hypothesis_redraws_where_a_particle_dies() -> None:
    problem = PROBLEMS["copy"]
    found = Counter(texts(generate(problem.generator(), problem.requests(600, 1))))
    # It has no weight, so both beginnings are as frequent as in the model.
    assert set(found) == set(problem.poems)
    assert found["春夜山中月，夏风雨声来。"] / 600 == pytest.approx(0.5, abs=0.06)


def total_variation(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(abs(one.get(key, 0) - other.get(key, 0)) for key in {*one, *other}) / 2


def mark_rates(num_particles: int, num: int) -> dict[str, float]:
    """Return how often each mark follows the first line."""
    problem = PROBLEMS["acrostic"]
    found = Counter[str]()
    for text in texts(
        generate(problem.generator(), problem.requests(num, num_particles), batch_size=256)
    ):
        assert text == f"春山水{text[3]}夏风雨。"
        found[text[3]] += 1
    return {mark: count / num for mark, count in found.items()}


@pytest.mark.slow
def test_more_particles_approximate_the_posterior_better() -> None:
    distance = {k: total_variation(mark_rates(k, 400), TRUTH) for k in (1, 4, 16, 64)}
    # Without weights each mark is as frequent as in the model; more poems do not help.
    assert distance[1] == pytest.approx(total_variation(MARKS, TRUTH), abs=0.05)
    assert distance[1] > 0.45
    # By the weights' variance the bias of K particles is about 0.73 / K where K is not small; and 400
    # draws of the truth itself would be 0.03 away.
    assert distance[4] < 0.3
    assert distance[16] < 0.12
    assert distance[64] < 0.08
    assert distance[1] > distance[4] > distance[16]

"""Sequential Monte Carlo: the functions by hand, the filter on a network that can be enumerated."""

import math
from collections import Counter
from collections.abc import Mapping

import pytest

from poetgen.sampling.hypothesis import Context, PoemTask, SampledToken
from poetgen.sampling.smc import (
    ParticleFilter,
    effective_size,
    normalized,
    pick,
    systematic_resample,
)
from tests.sampling.models import chain, generate, make_generator, make_request, texts, vocabulary

NEVER = -math.inf


def logs(*weights: float) -> list[float]:
    return [math.log(w) if w else NEVER for w in weights]


def test_normalized_sums_to_1_however_small_the_weights() -> None:
    assert normalized(logs(1, 3)) == pytest.approx([0.25, 0.75])
    assert normalized([-5000.0, -5000.0 + math.log(3), NEVER]) == pytest.approx([0.25, 0.75, 0])


@pytest.mark.parametrize(
    ("weights", "size"),
    [((1, 1, 1, 1), 4), ((0, 5, 0, 0), 1), ((1, 1, 0, 0), 2), ((2, 1, 1), 8 / 3)],
)
def test_effective_size_by_hand(weights: tuple[float, ...], size: float) -> None:
    assert effective_size(logs(*weights)) == pytest.approx(size)


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
    assert systematic_resample(logs(*weights), uniform) == parents


@pytest.mark.parametrize("uniform", [0.0, 0.3, math.nextafter(1, 0)])
def test_systematic_resample_rounds_each_share(uniform: float) -> None:
    weights = [0.5, 7, 3, 0, 11, 2.25]
    children = Counter(systematic_resample(logs(*weights), uniform))
    for i, share in enumerate(normalized(logs(*weights))):
        assert math.floor(6 * share) <= children[i] <= math.ceil(6 * share)
    assert sum(children.values()) == 6


def test_pick_is_proportional_and_skips_dead_particles() -> None:
    log_weights = logs(1, 0, 3, 0)
    assert [pick(log_weights, u) for u in (0, 0.24, 0.26, math.nextafter(1, 0))] == [0, 0, 2, 2]


# 春山水 is followed by a mark, and the mark decides how likely the second line is to begin with 夏,
# as the acrostic requires.  Masking without particles samples the marks before it can see that.
VOCAB = vocabulary("春夏山水云风雨")
MARKS = {"，": 0.7, "？": 0.2, "！": 0.1}
SUMMER_AFTER = {"，": 0.05, "？": 0.4, "！": 0.9}
NETWORK = chain(
    {
        "<bos>": {"春": 0.1, "云": 0.9},
        "春": {"山": 1},
        "山": {"水": 1},
        "水": MARKS,
        **{mark: {"夏": p, "云": 1 - p} for mark, p in SUMMER_AFTER.items()},
        "夏": {"风": 1},
        "风": {"雨": 1},
        "雨": {"。": 1},
        "。": {"<eos>": 1},
    },
    VOCAB,
)
JOINT = {mark: MARKS[mark] * SUMMER_AFTER[mark] for mark in MARKS}
TRUTH = {mark: mass / sum(JOINT.values()) for mark, mass in JOINT.items()}


def started(num_particles: int) -> ParticleFilter:
    """Return a filter whose particles have read <bos>."""
    request = make_request(temperature=1, acrostic="春夏", particles=num_particles)
    search = ParticleFilter(PoemTask(0, request, Context(VOCAB, 20)))
    search.start()
    return search


def test_particle_filter_starts_with_equal_weights() -> None:
    search = started(3)
    assert [one.log_weight for one in search.hypotheses] == [0.0] * 3
    assert len({id(one) for one in search.hypotheses}) == 3


def test_particle_filter_resamples_below_half_the_size() -> None:
    search = started(4)
    before = search.task.random.getstate()
    for particle, weight in zip(search.hypotheses, logs(1, 1, 0.5, 0.5), strict=True):
        particle.log_weight = weight
    assert list(search.select()) == [0, 1, 2, 3]
    assert search.task.random.getstate() == before
    search.hypotheses[1].log_weight = 50.0
    search.hypotheses[3].is_dead = True
    assert list(search.select()) == [1, 1, 1, 1]
    assert search.task.random.getstate() != before
    assert [one.log_weight for one in search.hypotheses] == [0.0] * 4
    assert len({id(one) for one in search.hypotheses}) == 4


def test_particle_filter_does_not_select_among_the_dead() -> None:
    search = started(2)
    for particle in search.hypotheses:
        particle.is_dead = True
    assert list(search.select()) == [0, 1]


def test_particle_filter_finishes_with_one_history() -> None:
    search = started(3)
    steps = [SampledToken(0, 8, float(i), False, "春") for i in range(6)]
    assert search.record([None, None, None]) == ()
    assert search.record(steps[:3]) == ()
    search.hypotheses[1].log_weight = 50.0
    assert list(search.select()) == [1, 1, 1]
    assert search.record(steps[3:]) == ()
    search.hypotheses[2].log_weight = 50.0
    for particle in search.hypotheses:
        particle.is_active = False
    assert list(search.record([None, None, steps[0]])) == [steps[1], steps[5], steps[0]]
    search.start()
    assert list(search.record([None, None, None])) == []


def total_variation(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(abs(one.get(key, 0) - other.get(key, 0)) for key in {*one, *other}) / 2


def mark_rates(num_particles: int, num: int) -> dict[str, float]:
    """Return how often each mark follows the first line."""
    requests = [
        make_request(seed=5, index=i, temperature=1, particles=num_particles, acrostic="春夏")
        for i in range(num)
    ]
    found = Counter[str]()
    for text in texts(generate(make_generator(NETWORK, VOCAB), requests, batch_size=256)):
        assert text == f"春山水{text[3]}夏风雨。"
        found[text[3]] += 1
    return {mark: count / num for mark, count in found.items()}


@pytest.mark.slow
def test_more_particles_approximate_the_posterior_better() -> None:
    distance = {k: total_variation(mark_rates(k, 600), TRUTH) for k in (1, 4, 16, 64)}
    # Without weights each mark is as frequent as in the model; more poems do not help.
    assert distance[1] == pytest.approx(total_variation(MARKS, TRUTH), abs=0.05)
    assert distance[1] > 0.45
    # By the weights' variance the bias of K particles is about 0.73 / K where K is not small; and 600
    # draws of the truth itself would be 0.02 away.
    assert distance[4] < 0.3
    assert distance[16] < 0.12
    assert distance[64] < 0.08
    assert distance[1] > distance[4] > distance[16]

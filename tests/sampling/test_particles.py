"""Sequential Monte Carlo: the functions by hand, and the whole on a model that can be enumerated."""

import math
from collections import Counter
from collections.abc import Mapping

import pytest

from poetgen.sampling.decode import Sample, generate
from poetgen.sampling.particles import effective_size, pick, resample, shares
from poetgen.sampling.request import Constraints, Request, Settings
from tests.sampling.models import chain, vocabulary

NEVER = -math.inf


def logs(*weights: float) -> list[float]:
    return [math.log(w) if w else NEVER for w in weights]


def test_the_shares_sum_to_one_however_small_the_weights() -> None:
    assert shares(logs(1, 3)) == pytest.approx([0.25, 0.75])
    assert shares([-5000.0, -5000.0 + math.log(3), NEVER]) == pytest.approx([0.25, 0.75, 0])


@pytest.mark.parametrize(
    ("weights", "size"),
    [((1, 1, 1, 1), 4), ((0, 5, 0, 0), 1), ((1, 1, 0, 0), 2), ((2, 1, 1), 8 / 3)],
)
def test_the_effective_size(weights: tuple[float, ...], size: float) -> None:
    assert effective_size(logs(*weights)) == pytest.approx(size)


@pytest.mark.parametrize(
    ("weights", "uniform", "sources"),
    [
        # The points are (i + uniform) / 4.
        ((1, 1, 1, 1), 0.5, [0, 1, 2, 3]),
        ((2, 0, 1, 1), 0.5, [0, 0, 2, 3]),
        ((0, 0, 0, 1), 0.0, [3, 3, 3, 3]),
        # Shares 0.4, 0.4, 0.1, 0.1: the points 0, 0.25, 0.5, 0.75, and with uniform 0.9 0.225 later.
        ((4, 4, 1, 1), 0.0, [0, 0, 1, 1]),
        ((4, 4, 1, 1), 0.9, [0, 1, 1, 3]),
    ],
)
def test_resampling_by_hand(weights: tuple[float, ...], uniform: float, sources: list[int]) -> None:
    assert resample(logs(*weights), uniform) == sources


@pytest.mark.parametrize("uniform", [0.0, 0.3, math.nextafter(1, 0)])
def test_a_particle_has_its_share_of_children_rounded_up_or_down(uniform: float) -> None:
    weights = [0.5, 7, 3, 0, 11, 2.25]
    children = Counter(resample(logs(*weights), uniform))
    for i, share in enumerate(shares(logs(*weights))):
        assert math.floor(6 * share) <= children[i] <= math.ceil(6 * share)
    assert sum(children.values()) == 6


def test_one_is_picked_in_proportion_and_never_a_dead_one() -> None:
    log_weights = logs(1, 0, 3, 0)
    assert [pick(log_weights, u) for u in (0, 0.24, 0.26, math.nextafter(1, 0))] == [0, 0, 2, 2]


# 春山水 is followed by a mark, and the mark decides how likely the second line is to begin with 夏,
# as the acrostic has it.  Plain masking takes the marks as the model does before it knows that.
VOCAB = vocabulary("春夏山水云风雨")
MARKS = {"，": 0.7, "？": 0.2, "！": 0.1}
SUMMER_AFTER = {"，": 0.05, "？": 0.4, "！": 0.9}
MODEL = chain(
    VOCAB,
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
)
JOINT = {mark: MARKS[mark] * SUMMER_AFTER[mark] for mark in MARKS}
TRUTH = {mark: mass / sum(JOINT.values()) for mark, mass in JOINT.items()}


def total_variation(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(abs(one.get(key, 0) - other.get(key, 0)) for key in {*one, *other}) / 2


def marks_of(num_particles: int, num: int) -> dict[str, float]:
    """How often each mark follows the first line."""
    settings = Settings(1, particles=num_particles)
    requests = [
        Request(5, i, settings=settings, constraints=Constraints(acrostic="春夏"))
        for i in range(num)
    ]
    found = Counter[str]()
    for result in generate(MODEL, VOCAB, requests, max_tokens=20, batch_size=256):
        assert isinstance(result, Sample)
        text = result.poem.text
        assert text == f"春山水{text[3]}夏风雨。"
        found[text[3]] += 1
    return {mark: count / num for mark, count in found.items()}


@pytest.mark.slow
def test_more_particles_come_nearer_to_the_models_distribution_given_the_constraint() -> None:
    distance = {k: total_variation(marks_of(k, 600), TRUTH) for k in (1, 4, 16, 64)}
    # Plain masking takes each mark as often as the model does; more poems do not help.
    assert distance[1] == pytest.approx(total_variation(MARKS, TRUTH), abs=0.05)
    assert distance[1] > 0.45
    # By the weights' variance the bias of K particles is about 0.73 / K where K is not small; and 600
    # draws of the truth itself would be 0.02 away.
    assert distance[4] < 0.3
    assert distance[16] < 0.12
    assert distance[64] < 0.08
    assert distance[1] > distance[4] > distance[16]

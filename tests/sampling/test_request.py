import math

import pytest

from poetgen.errors import UsageError
from poetgen.sampling.request import Request, Settings, check_settings, new_seed


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(temperature=0),
        Settings(temperature=100),
        Settings(top_k=0),
        Settings(top_k=1),
        Settings(top_k=1_000_000),
        Settings(top_p=1),
        Settings(top_p=1e-9),
        Settings(min_p=0),
        Settings(min_p=1),
    ],
)
def test_settings_in_range_come_back(settings: Settings) -> None:
    assert check_settings(settings) is settings


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (Settings(temperature=-1), "temperature is -1"),
        (Settings(temperature=math.nan), "temperature is nan"),
        (Settings(temperature=math.inf), "temperature is inf"),
        (Settings(temperature=100.5), "temperature is 100.5"),
        (Settings(top_k=-1), "top-k is -1"),
        (Settings(top_p=0), "top-p is 0"),
        (Settings(top_p=-0.5), "top-p is -0.5"),
        (Settings(top_p=1.1), "top-p is 1.1"),
        (Settings(top_p=math.nan), "top-p is nan"),
        (Settings(min_p=-0.1), "min-p is -0.1"),
        (Settings(min_p=1.1), "min-p is 1.1"),
        (Settings(min_p=math.nan), "min-p is nan"),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_value(settings: Settings, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_settings(settings)
    assert caught.value.why == why
    assert caught.value.fix.startswith("Expected a number ")


def test_the_defaults_filter_nothing() -> None:
    assert Request(seed=3).settings == Settings(0.8, top_k=0, top_p=1.0, min_p=0.0)
    assert (Request(seed=3).index, Request(seed=3).prompt.text) == (0, "")
    assert not Request(seed=3).conditions


def test_seeds_by_chance_are_short_and_differ() -> None:
    seeds = {new_seed() for _ in range(20)}
    assert len(seeds) > 1
    assert all(0 <= seed < 1_000_000 for seed in seeds)

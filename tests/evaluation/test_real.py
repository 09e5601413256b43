"""Samples of real poems."""

from poetgen.data.poem import Poem
from poetgen.evaluation.real import by_form, draw_real
from tests.evaluation.verses import verses

QUATRAINS, LONG = verses("五绝", 12, 1), verses("七绝", 3, 1)
OTHER = Poem("山云，月明。")


def texts(poems: list[Poem]) -> set[str]:
    return {poem.text for poem in poems}


def test_poems_by_form() -> None:
    assert by_form([OTHER, *QUATRAINS, *LONG]) == {
        "五绝": QUATRAINS,
        "七绝": LONG,
        "五律": [],
        "七律": [],
    }


def test_two_disjoint_samples_of_equal_size_and_a_rest() -> None:
    real = draw_real([*QUATRAINS, *LONG, OTHER], [], count=5, seed=1)
    first, second, rest = real.first["五绝"], real.second["五绝"], texts(real.rest)
    assert (len(first), len(second)) == (5, 5)
    assert texts(first) | texts(second) | (rest & texts(QUATRAINS)) == texts(QUATRAINS)
    assert len(rest) == 2  # 七绝: three in the first sample, none left for the second
    assert (len(real.first["七绝"]), real.second["七绝"]) == (3, [])


def test_other_held_out_poems_fill_the_second_sample_and_never_the_first() -> None:
    mine, others = QUATRAINS[:6], QUATRAINS[6:]
    real = draw_real(mine, others, count=6, seed=1)
    assert texts(real.first["五绝"]) == texts(mine)
    assert texts(real.second["五绝"]) == texts(others)
    assert real.rest == []


def test_the_sample_hangs_on_the_seed_and_not_on_the_order() -> None:
    one = draw_real(QUATRAINS, [], count=4, seed=1)
    assert one == draw_real(QUATRAINS[::-1], [], count=4, seed=1)
    assert one != draw_real(QUATRAINS, [], count=4, seed=2)

"""Samples of real poems."""

from poetgen.data.poem import Poem
from poetgen.evaluation.comparison import draw_real, group_by_form
from tests.evaluation.verses import verses

QUATRAINS, LONG = verses("五绝", 12, 1), verses("七绝", 3, 1)
OTHER = Poem("山云，月明。")


def texts(poems: list[Poem]) -> set[str]:
    return {poem.text for poem in poems}


def test_group_by_form_drops_other_forms() -> None:
    assert group_by_form([OTHER, *QUATRAINS, *LONG]) == {
        "五绝": QUATRAINS,
        "七绝": LONG,
        "五律": [],
        "七律": [],
    }


def test_draw_real_samples_are_disjoint_and_equal() -> None:
    real = draw_real([*QUATRAINS, *LONG, OTHER], [], count=5, seed=1)
    first, second, rest = real.first["五绝"], real.second["五绝"], texts(real.rest)
    assert (len(first), len(second)) == (5, 5)
    assert texts(first) | texts(second) | (rest & texts(QUATRAINS)) == texts(QUATRAINS)
    assert len(rest) == 2  # 七绝: three in the first sample, none left for the second
    assert (len(real.first["七绝"]), real.second["七绝"]) == (3, [])


def test_draw_real_uses_others_for_second_sample() -> None:
    mine, others = QUATRAINS[:6], QUATRAINS[6:]
    real = draw_real(mine, others, count=6, seed=1)
    assert texts(real.first["五绝"]) == texts(mine)
    assert texts(real.second["五绝"]) == texts(others)
    assert real.rest == []


def test_draw_real_depends_on_seed_not_order() -> None:
    one = draw_real(QUATRAINS, [], count=4, seed=1)
    assert one == draw_real(QUATRAINS[::-1], [], count=4, seed=1)
    assert one != draw_real(QUATRAINS, [], count=4, seed=2)

"""`poetgen.data.split`: near poems together, 90/5/5, and a split that nothing foreign moves."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poetgen.data.poem import Poem, content_hash
from poetgen.data.split import (
    MIN_SHARED_LINE,
    SPLITS,
    Split,
    leaked_lines_rate,
    near_groups,
    split_poems,
)


def synthetic(number: int) -> Poem:
    """A quatrain of random characters, which shares no line with one of another number."""
    chooser = random.Random(number)
    lines = ["".join(chr(0x4E00 + chooser.randrange(5000)) for _ in range(5)) for _ in range(4)]
    return Poem("{}，{}。{}，{}。".format(*lines))


POEMS = [synthetic(number) for number in range(3000)]


def sides(poems: list[Poem]) -> dict[str, Split]:
    """The side of each poem, by its text."""
    split = split_poems(poems)
    return {poem.text: side for side in SPLITS for poem in split[side]}


def test_poems_that_share_no_line_are_groups_of_their_own() -> None:
    poems = [Poem("山风吹竹径，溪月照柴门。"), Poem("霜叶随溪下，寒鸦绕树啼。")]
    assert near_groups(poems) == [0, 1]
    assert near_groups([]) == []


def test_poems_that_share_a_line_are_near_through_others_too() -> None:
    poems = [
        Poem("甲甲甲甲甲，乙乙乙乙乙。"),
        Poem("丙丙丙丙丙，丁丁丁丁丁。"),
        Poem("戊戊戊戊戊，己己己己己。"),
        Poem("丁丁丁丁丁，庚庚庚庚庚。"),
        Poem("庚庚庚庚庚，乙乙乙乙乙。"),
    ]
    assert near_groups(poems) == [0, 0, 2, 0, 0]


@pytest.mark.parametrize(
    ("shared", "groups"),
    [("君不见", [0, 1]), ("云山万里", [0, 0])],
)
def test_a_refrain_ties_nothing_together(shared: str, groups: list[int]) -> None:
    assert len("云山万里") == MIN_SHARED_LINE
    poems = [Poem(f"{shared}，甲甲甲甲甲。"), Poem(f"{shared}，乙乙乙乙乙。")]
    assert near_groups(poems) == groups


def test_each_poem_has_one_side_in_its_old_order() -> None:
    split = split_poems(POEMS)
    assert sorted(p.text for side in SPLITS for p in split[side]) == sorted(p.text for p in POEMS)
    places = {poem: place for place, poem in enumerate(POEMS)}
    for side in SPLITS:
        order = [places[poem] for poem in split[side]]
        assert order == sorted(order)


def test_the_sides_are_90_5_5() -> None:
    split = split_poems(POEMS)
    shares = {side: len(split[side]) / len(POEMS) for side in SPLITS}
    # Three standard errors of 3,000 draws.
    assert shares["train"] == pytest.approx(0.90, abs=0.017)
    assert shares["valid"] == pytest.approx(0.05, abs=0.012)
    assert shares["test"] == pytest.approx(0.05, abs=0.012)


def test_near_poems_are_on_one_side() -> None:
    # Every poem gets a companion with which it shares its first line alone.
    companions = [
        Poem(f"{poem.lines[0]}，{other.lines[1][::-1]}。") for poem, other in pairwise(POEMS)
    ]
    side = sides(POEMS + companions)
    together = [side[p.text] == side[c.text] for p, c in zip(POEMS, companions, strict=False)]
    assert all(together)
    assert {side[c.text] for c in companions} == set(SPLITS)
    assert leaked_lines_rate(split_poems(POEMS + companions)) == 0


def test_without_groups_the_companions_would_have_parted() -> None:
    companions = [Poem(f"{poem.lines[0]}，{poem.lines[1][::-1]}。") for poem in POEMS]
    alone, apart = sides(POEMS), sides(companions)
    parted = sum(alone[p.text] != apart[c.text] for p, c in zip(POEMS, companions, strict=True))
    assert parted > 300


@settings(max_examples=30, deadline=None)
@given(st.integers(min_value=3000, max_value=10**9), st.integers(min_value=0, max_value=300))
def test_a_poem_that_is_near_no_other_moves_nothing(number: int, place: int) -> None:
    poems = POEMS[:300]
    before = sides(poems)
    after = sides([*poems[:place], synthetic(number), *poems[place:]])
    del after[synthetic(number).text]
    assert after == before


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_poems_decides_nothing(shuffler: random.Random) -> None:
    near = [Poem(f"{p.lines[3]}，{q.lines[0]}。") for p, q in zip(POEMS, POEMS[7:40], strict=False)]
    poems = POEMS[:200] + near
    before = sides(poems)
    shuffler.shuffle(poems)
    assert sides(poems) == before


def test_titles_authors_and_marks_decide_nothing() -> None:
    renamed = [Poem(p.text.replace("，", "！"), "题", "人") for p in POEMS[:300]]
    assert list(sides(renamed).values()) == list(sides(POEMS[:300]).values())


@pytest.mark.parametrize(
    ("characters", "side"),
    # `printf 孤舟 | b2sum -l 64` begins e2bb, the others e7d2 and f697; 0.90 is e666…, 0.95 f333….
    [("孤舟", "train"), ("秋风", "valid"), ("松月", "test")],
)
def test_the_side_follows_from_the_hash_of_the_characters(characters: str, side: Split) -> None:
    assert sides([Poem(f"{characters}。")]) == {f"{characters}。": side}


@pytest.mark.parametrize(
    ("last_characters", "side"),
    # The hashes of 云山万里秋, 云山万里莺 and 云山万里花 begin 0c8f, ed5e and f8e2.
    [("秋", "train"), ("莺", "valid"), ("花", "test"), ("花莺", "valid"), ("莺花秋", "train")],
)
def test_the_side_of_a_group_follows_from_its_smallest_hash(
    last_characters: str, side: Split
) -> None:
    poems = [Poem(f"云山万里，{last}。") for last in last_characters]
    assert sides(poems) == {poem.text: side for poem in poems}


def test_leaked_lines_rate_by_hand() -> None:
    split: dict[Split, list[Poem]] = {
        "train": [Poem("君不见，山风吹竹径。"), Poem("溪月照柴门，溪月照柴门。")],
        "valid": [Poem("君不见，霜叶随溪下。"), Poem("溪月照柴门，寒鸦绕树啼。")],
        "test": [Poem("山风吹竹，竹径入云深。")],
    }
    # Two of six: 君不见 and 溪月照柴门.
    assert leaked_lines_rate(split) == pytest.approx(1 / 3)


def test_nothing_held_out_leaks_nothing() -> None:
    assert leaked_lines_rate({"train": POEMS[:3], "valid": [], "test": []}) == 0


def test_the_poem_nearest_to_valid_goes_there_where_none_falls_to_it() -> None:
    few = [poem for poem in POEMS[:60] if sides(POEMS)[poem.text] == "train"][:20]
    split = split_poems(few)
    (valid,) = split["valid"]
    assert content_hash(valid.characters) == max(content_hash(p.characters) for p in few)
    assert len(split["train"]) == 19
    assert split_poems(few[::-1])["valid"] == [valid]


def test_one_group_alone_is_trained_on() -> None:
    twins = [Poem("山风吹竹径，溪月照柴门。"), Poem("山风吹竹径，溪水绕柴门。")]
    assert {len(side) for side in split_poems(twins).values()} == {2, 0}

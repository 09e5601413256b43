"""`poetgen.data.split`: near-duplicates stay together, 90/5/5, stable under unrelated poems."""

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
    near_duplicate_groups,
    split_poems,
)


def synthetic(number: int) -> Poem:
    """Return a quatrain of random characters; different numbers share no line."""
    chooser = random.Random(number)
    lines = ["".join(chr(0x4E00 + chooser.randrange(5000)) for _ in range(5)) for _ in range(4)]
    return Poem("{}，{}。{}，{}。".format(*lines))


POEMS = [synthetic(number) for number in range(3000)]


def split_by_text(poems: list[Poem]) -> dict[str, Split]:
    """Return the split of each poem, by its text."""
    splits = split_poems(poems)
    return {poem.text: split for split in SPLITS for poem in splits[split]}


def test_groups_of_unrelated_poems() -> None:
    poems = [Poem("山风吹竹径，溪月照柴门。"), Poem("霜叶随溪下，寒鸦绕树啼。")]
    assert near_duplicate_groups(poems) == [0, 1]
    assert near_duplicate_groups([]) == []


def test_groups_are_transitive() -> None:
    poems = [
        Poem("甲甲甲甲甲，乙乙乙乙乙。"),
        Poem("丙丙丙丙丙，丁丁丁丁丁。"),
        Poem("戊戊戊戊戊，己己己己己。"),
        Poem("丁丁丁丁丁，庚庚庚庚庚。"),
        Poem("庚庚庚庚庚，乙乙乙乙乙。"),
    ]
    assert near_duplicate_groups(poems) == [0, 0, 2, 0, 0]


@pytest.mark.parametrize(
    ("shared", "groups"),
    [("君不见", [0, 1]), ("云山万里", [0, 0])],
)
def test_groups_ignore_refrains(shared: str, groups: list[int]) -> None:
    assert len("云山万里") == MIN_SHARED_LINE
    poems = [Poem(f"{shared}，甲甲甲甲甲。"), Poem(f"{shared}，乙乙乙乙乙。")]
    assert near_duplicate_groups(poems) == groups


def test_split_keeps_each_poem_and_order() -> None:
    splits = split_poems(POEMS)
    split_texts = [poem.text for split in SPLITS for poem in splits[split]]
    assert sorted(split_texts) == sorted(poem.text for poem in POEMS)
    indices = {poem: index for index, poem in enumerate(POEMS)}
    for split in SPLITS:
        order = [indices[poem] for poem in splits[split]]
        assert order == sorted(order)


def test_split_is_90_5_5() -> None:
    splits = split_poems(POEMS)
    shares = {split: len(splits[split]) / len(POEMS) for split in SPLITS}
    # Three standard errors for 3,000 poems.
    assert shares["train"] == pytest.approx(0.90, abs=0.017)
    assert shares["valid"] == pytest.approx(0.05, abs=0.012)
    assert shares["test"] == pytest.approx(0.05, abs=0.012)


def test_split_keeps_groups_together() -> None:
    # Every poem shares only its first line with a companion.
    companions = [
        Poem(f"{poem.lines[0]}，{other.lines[1][::-1]}。") for poem, other in pairwise(POEMS)
    ]
    split_of = split_by_text(POEMS + companions)
    together = [
        split_of[p.text] == split_of[c.text] for p, c in zip(POEMS, companions, strict=False)
    ]
    assert all(together)
    assert {split_of[c.text] for c in companions} == set(SPLITS)
    assert leaked_lines_rate(split_poems(POEMS + companions)) == 0


def test_split_without_groups_separates_them() -> None:
    companions = [Poem(f"{poem.lines[0]}，{poem.lines[1][::-1]}。") for poem in POEMS]
    first, second = split_by_text(POEMS), split_by_text(companions)
    separated = sum(first[p.text] != second[c.text] for p, c in zip(POEMS, companions, strict=True))
    assert separated > 300


@settings(max_examples=30, deadline=None)
@given(st.integers(min_value=3000, max_value=10**9), st.integers(min_value=0, max_value=300))
def test_split_is_stable_under_unrelated_poem(number: int, index: int) -> None:
    poems = POEMS[:300]
    before = split_by_text(poems)
    after = split_by_text([*poems[:index], synthetic(number), *poems[index:]])
    del after[synthetic(number).text]
    assert after == before


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_split_ignores_order(shuffler: random.Random) -> None:
    near = [Poem(f"{p.lines[3]}，{q.lines[0]}。") for p, q in zip(POEMS, POEMS[7:40], strict=False)]
    poems = POEMS[:200] + near
    before = split_by_text(poems)
    shuffler.shuffle(poems)
    assert split_by_text(poems) == before


def test_split_ignores_title_author_marks() -> None:
    renamed = [Poem(p.text.replace("，", "！"), "题", "人") for p in POEMS[:300]]
    assert list(split_by_text(renamed).values()) == list(split_by_text(POEMS[:300]).values())


@pytest.mark.parametrize(
    ("characters", "split"),
    # `printf 孤舟 | b2sum -l 64` begins e2bb, the others e7d2 and f697; 0.90 is e666…, 0.95 f333….
    [("孤舟", "train"), ("秋风", "valid"), ("松月", "test")],
)
def test_split_follows_hash(characters: str, split: Split) -> None:
    assert split_by_text([Poem(f"{characters}。")]) == {f"{characters}。": split}


@pytest.mark.parametrize(
    ("last_characters", "split"),
    # The hashes of 云山万里秋, 云山万里莺 and 云山万里花 begin 0c8f, ed5e and f8e2.
    [("秋", "train"), ("莺", "valid"), ("花", "test"), ("花莺", "valid"), ("莺花秋", "train")],
)
def test_split_of_group_follows_smallest_hash(last_characters: str, split: Split) -> None:
    poems = [Poem(f"云山万里，{last}。") for last in last_characters]
    assert split_by_text(poems) == {poem.text: split for poem in poems}


def test_leaked_lines_rate_by_hand() -> None:
    splits: dict[Split, list[Poem]] = {
        "train": [Poem("君不见，山风吹竹径。"), Poem("溪月照柴门，溪月照柴门。")],
        "valid": [Poem("君不见，霜叶随溪下。"), Poem("溪月照柴门，寒鸦绕树啼。")],
        "test": [Poem("山风吹竹，竹径入云深。")],
    }
    # Two of six: 君不见 and 溪月照柴门.
    assert leaked_lines_rate(splits) == pytest.approx(1 / 3)


def test_leaked_lines_rate_of_nothing() -> None:
    assert leaked_lines_rate({"train": POEMS[:3], "valid": [], "test": []}) == 0


def test_split_fills_empty_valid() -> None:
    split_of = split_by_text(POEMS)
    few = [poem for poem in POEMS[:60] if split_of[poem.text] == "train"][:20]
    splits = split_poems(few)
    (valid,) = splits["valid"]
    assert content_hash(valid.characters) == max(content_hash(p.characters) for p in few)
    assert len(splits["train"]) == 19
    assert split_poems(few[::-1])["valid"] == [valid]


def test_split_of_single_group_is_train() -> None:
    pair = [Poem("山风吹竹径，溪月照柴门。"), Poem("山风吹竹径，溪水绕柴门。")]
    assert {len(poems) for poems in split_poems(pair).values()} == {2, 0}

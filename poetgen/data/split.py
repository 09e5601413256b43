"""Train, valid and test, so that no held-out poem has a near copy in the training text.

The public corpus holds many poems twice: under two authors, or with a variant line.  Perplexity and
novelty mean nothing if one copy is trained on and the other tested on, so poems that share a line
are kept on one side.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from poetgen.data.poem import Poem, content_hash

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

MIN_SHARED_LINE = 4
"""Poems are near when a line of at least this many characters stands in both.  Shorter lines are
refrains and set phrases (君不见): they would tie strangers together."""

_TRAIN_BELOW, _VALID_BELOW = 0.90, 0.95


def near_groups(poems: Sequence[Poem]) -> list[int]:
    """For each poem the index of its group's first poem.

    Groups are the connected components of "shares a line of `MIN_SHARED_LINE` characters or more"
    (union–find), so a poem that shares no line is a group of its own.
    """
    parent = list(range(len(poems)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first_with: dict[str, int] = {}
    for index, poem in enumerate(poems):
        for line in poem.lines:
            if len(line) >= MIN_SHARED_LINE:
                a, b = root(first_with.setdefault(line, index)), root(index)
                parent[max(a, b)] = min(a, b)
    return [root(index) for index in range(len(poems))]


def split_poems(poems: Sequence[Poem]) -> dict[Split, list[Poem]]:
    """The poems by split, 90/5/5, each split in the order of `poems`.

    A group's side follows from the smallest content hash in it.  So it does not depend on the order
    of the poems, on the machine, or on any poem outside the group: a new poem that is near no other
    moves nothing.  Only where so few poems are given that none falls to valid, that group of train
    goes there which is nearest to it.
    """
    groups = near_groups(poems)
    hashes: dict[int, int] = {}
    for poem, group in zip(poems, groups, strict=True):
        value = content_hash(poem.characters)
        hashes[group] = min(value, hashes.get(group, value))
    side_of = {group: _side(value) for group, value in hashes.items()}
    trained = [group for group, side in side_of.items() if side == "train"]
    if "valid" not in side_of.values() and len(trained) > 1:
        side_of[max(trained, key=lambda group: hashes[group])] = "valid"
    sides: dict[Split, list[Poem]] = {split: [] for split in SPLITS}
    for poem, group in zip(poems, groups, strict=True):
        sides[side_of[group]].append(poem)
    return sides


def _side(value: int) -> Split:
    position = value / 2**64
    if position < _TRAIN_BELOW:
        return "train"
    return "valid" if position < _VALID_BELOW else "test"


def away_from_held_out(others: Sequence[Poem], sides: dict[Split, list[Poem]]) -> list[Poem]:
    """Those of `others` that share no line, however short, with a held-out poem of `sides`."""
    held_out = set(_held_out_lines(sides))
    return [poem for poem in others if held_out.isdisjoint(poem.lines)]


def leaked_lines_rate(
    sides: dict[Split, list[Poem]], trained: Sequence[Poem] | None = None
) -> float:
    """The share of held-out lines, of any length, that stand verbatim in `trained` (None: in train)."""
    poems = sides["train"] if trained is None else trained
    trained_lines = {line for poem in poems for line in poem.lines}
    held_out = _held_out_lines(sides)
    return sum(line in trained_lines for line in held_out) / max(1, len(held_out))


def _held_out_lines(sides: dict[Split, list[Poem]]) -> list[str]:
    return [line for split in ("valid", "test") for p in sides[split] for line in p.lines]

"""Split poems into train, valid and test, and leave out what in train is nearly a held-out poem.

The public corpus contains many poems twice: under two authors, or with a variant line.  Perplexity
and novelty are meaningless if one copy is in train and the other in test, so poems that share a line
go to the same split.  A few copies differ in every line: `near_copies` finds those of half of whose lines
a held-out line differs in one character at most.  Looser copies remain.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from poetgen.data.poem import Poem, content_hash

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

MIN_SHARED_LINE = 4
"""Two poems are near-duplicates if they share a line of at least this many characters.  Shorter lines
are refrains and set phrases (君不见), which would connect unrelated poems."""

_TRAIN_BELOW, _VALID_BELOW = 0.90, 0.95


def near_duplicate_groups(poems: Sequence[Poem]) -> list[int]:
    """Return for each poem the index of the first poem in its group.

    Groups are the connected components of "shares a line of at least `MIN_SHARED_LINE` characters",
    found by union-find.  A poem that shares no line is its own group.
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
    """Return the poems by split (90/5/5), each split in the order of `poems`.

    The smallest content hash in a group decides its split.  The split is thus independent of the
    machine, of the order of the poems and of poems outside the group: adding an unrelated poem moves
    no other.  If valid is empty because there are few poems, the train group with the largest hash
    moves to valid.
    """
    groups = near_duplicate_groups(poems)
    hashes: dict[int, int] = {}
    for poem, group in zip(poems, groups, strict=True):
        value = content_hash(poem.characters)
        hashes[group] = min(value, hashes.get(group, value))
    split_of = {group: _split_of_hash(value) for group, value in hashes.items()}
    trained = [group for group, split in split_of.items() if split == "train"]
    if "valid" not in split_of.values() and len(trained) > 1:
        split_of[max(trained, key=lambda group: hashes[group])] = "valid"
    splits: dict[Split, list[Poem]] = {split: [] for split in SPLITS}
    for poem, group in zip(poems, groups, strict=True):
        splits[split_of[group]].append(poem)
    return splits


def _split_of_hash(value: int) -> Split:
    fraction = value / 2**64
    if fraction < _TRAIN_BELOW:
        return "train"
    return "valid" if fraction < _VALID_BELOW else "test"


def near_copies(poems: Sequence[Poem], splits: dict[Split, list[Poem]]) -> set[Poem]:
    """Return those of `poems` half of whose lines are held-out lines with at most one other character."""
    held_out = {gap for line in set(_held_out_lines(splits)) for gap in _with_gaps(line)}
    return {
        poem
        for poem in poems
        if 2 * sum(not held_out.isdisjoint(_with_gaps(line)) for line in poem.lines)
        >= len(poem.lines)
    }


def _with_gaps(line: str) -> Iterator[str]:
    """Yield the line with each of its characters replaced by a gap; nothing for a short line."""
    if len(line) >= MIN_SHARED_LINE:
        for index in range(len(line)):
            yield f"{line[:index]}_{line[index + 1 :]}"


def exclude_near_held_out(others: Sequence[Poem], splits: dict[Split, list[Poem]]) -> list[Poem]:
    """Return those of `others` that share no line with a held-out poem and are no near copy of one."""
    held_out = set(_held_out_lines(splits))
    unrelated = [poem for poem in others if held_out.isdisjoint(poem.lines)]
    near = near_copies(unrelated, splits)
    return [poem for poem in unrelated if poem not in near]


def leaked_lines_rate(
    splits: dict[Split, list[Poem]], trained: Sequence[Poem] | None = None
) -> float:
    """Return the fraction of held-out lines that occur verbatim in `trained` (None: in train)."""
    poems = splits["train"] if trained is None else trained
    trained_lines = {line for poem in poems for line in poem.lines}
    held_out = _held_out_lines(splits)
    return sum(line in trained_lines for line in held_out) / max(1, len(held_out))


def _held_out_lines(splits: dict[Split, list[Poem]]) -> list[str]:
    return [line for split in ("valid", "test") for p in splits[split] for line in p.lines]

"""Loops that advance together, each in a thread of its own.

numpy and torch release Python's lock while they compute, so threads of Python use as many cores.  Unlike
the threads within a library's product they do not spin while they wait, so that a busy machine does
not slow them down.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

Item = TypeVar("Item")


def num_threads() -> int:
    """Return the number of threads that large work uses: $OMP_NUM_THREADS, else the cores."""
    with suppress(KeyError, ValueError):
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def advance_together(loops: Sequence[Iterator[Item]]) -> Iterator[Item]:
    """Yield the items of all `loops`, one of each per round; between rounds nothing runs.

    >>> list(advance_together([iter("ab"), iter("xyz")]))
    ['a', 'x', 'b', 'y', 'z']
    """
    if len(loops) == 1:
        yield from loops[0]
        return
    unfinished = list(loops)
    with ThreadPoolExecutor(len(loops), "poetgen") as pool:
        while unfinished:
            rounds = list(pool.map(_next, unfinished))
            yield from (item for items in rounds for item in items)
            unfinished = [loop for loop, items in zip(unfinished, rounds, strict=True) if items]


def _next(loop: Iterator[Item]) -> list[Item]:
    """Return the next item in a list, which is empty at the end."""
    for item in loop:
        return [item]
    return []

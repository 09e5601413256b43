"""Which lines stand in the training text, in a few bytes a line: how a copy is known for one.

A Bloom filter (Bloom 1970): it never misses a line that was put in, and takes a stranger for one of
them at a known small rate.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poetgen.data.poem import Poem
from poetgen.data.split import MIN_SHARED_LINE

FALSE_POSITIVE_RATE = 0.001
"""Of lines that never stood in the text, the share that is taken for copies."""

_LEAST_BYTES = 1024  # in a small filter two hashes that step alike are no rare thing


@dataclass(frozen=True)
class LineSet:
    """A set of lines of at least `MIN_SHARED_LINE` characters; shorter ones are set phrases."""

    bits: NDArray[np.uint8]
    """The filter, eight of its places a byte."""
    num_hashes: int
    num_lines: int

    @classmethod
    def of(
        cls,
        poems: Iterable[Poem],
        *,
        known: Sequence["LineSet"] = (),
        rate: float = FALSE_POSITIVE_RATE,
    ) -> "LineSet":
        """The lines of `poems` that are in none of `known`, at a false-positive rate of `rate`."""
        lines = {line for poem in poems for line in poem.lines if len(line) >= MIN_SHARED_LINE}
        lines = {line for line in lines if not any(line in others for others in known)}
        # The sizes that are best for a rate, as in Bloom's analysis.
        num_bytes = math.ceil(len(lines) * -math.log(rate) / math.log(2) ** 2 / 8)
        num_bytes = max(_LEAST_BYTES, num_bytes)
        num_hashes = max(1, round(-math.log2(rate)))
        whole = cls(np.zeros(num_bytes, np.uint8), num_hashes, len(lines))
        for line in lines:
            for place in whole._places(line):
                whole.bits[place >> 3] |= 1 << (place & 7)
        return whole

    def __contains__(self, line: str) -> bool:
        return len(line) >= MIN_SHARED_LINE and all(
            self.bits[place >> 3] >> (place & 7) & 1 for place in self._places(line)
        )

    def _places(self, line: str) -> Iterable[int]:
        """One bit per hash, all from two (Kirsch & Mitzenmacher 2006)."""
        digest = hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        first, second = (int.from_bytes(half, "big") for half in (digest[:8], digest[8:]))
        size = len(self.bits) * 8
        return ((first + number * second) % size for number in range(self.num_hashes))


def mostly_in(lines: Sequence[str], sets: Sequence[LineSet]) -> bool:
    """Whether more than half of a poem's lines stand in `sets`: false alarms hardly come in pairs."""
    known = sum(any(line in one for one in sets) for line in lines)
    return 2 * known > len(lines)

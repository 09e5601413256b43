"""A Bloom filter over the lines of a training text, to recognize verbatim copies.

A Bloom filter (Bloom 1970) contains every line that was added, and reports other lines as contained
at a known, small rate.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poetgen.data.poem import Poem
from poetgen.data.split import MIN_SHARED_LINE
from poetgen.language import tr

FALSE_POSITIVE_RATE = 0.001
"""Share of lines outside the text that the filter reports as contained."""

_MIN_BYTES = 1024  # in a smaller filter, two lines often share all their bit positions
MAX_HASHES = 64


@dataclass(frozen=True)
class LineBloomFilter:
    """A set of lines of at least `MIN_SHARED_LINE` characters; shorter lines are set phrases.

        training_lines = LineBloomFilter.from_poems(poems)
        is_copy = "床前明月光" in training_lines

    Raises:
        ValueError: `bits` or `num_hashes` cannot belong to a filter.
    """

    bits: NDArray[np.uint8]
    """The bit array, eight bits per byte, lowest bit first."""
    num_hashes: int
    """Bit positions per line, 1 to 64."""
    num_lines: int

    def __post_init__(self) -> None:
        if self.bits.dtype != np.uint8 or self.bits.ndim != 1 or not len(self.bits):
            raise ValueError(tr("the bits of a filter of training lines are not a row of bytes"))
        if not 1 <= self.num_hashes <= MAX_HASHES:
            raise ValueError(tr("a filter of training lines has {num} hashes", num=self.num_hashes))

    @classmethod
    def from_poems(
        cls,
        poems: Iterable[Poem],
        *,
        known: Sequence["LineBloomFilter"] = (),
        rate: float = FALSE_POSITIVE_RATE,
    ) -> "LineBloomFilter":
        """Return a filter of the lines of `poems` that are in none of `known`.

        `rate` is its false-positive rate; the size and number of hashes are optimal for it (Bloom 1970).
        """
        from poetgen.progress import track  # here, so that reading a model does not load tqdm

        lines = {line for poem in poems for line in poem.lines if len(line) >= MIN_SHARED_LINE}
        lines = {line for line in lines if not is_known(line, known)}
        num_bytes = math.ceil(len(lines) * -math.log(rate) / math.log(2) ** 2 / 8)
        num_hashes = max(1, round(-math.log2(rate)))
        bits = np.zeros(max(_MIN_BYTES, num_bytes), np.uint8)
        built = cls(bits, num_hashes, len(lines))
        for line in track(lines, tr("training lines")):
            for position in built.positions(*_halves(line)):
                bits[position >> 3] |= 1 << (position & 7)
        return built

    def __contains__(self, line: str) -> bool:
        return is_known(line, (self,))

    def positions(self, first: int, second: int) -> Iterable[int]:
        """Return one bit position per hash, all derived from two (Kirsch & Mitzenmacher 2006)."""
        size = len(self.bits) * 8
        return ((first + number * second) % size for number in range(self.num_hashes))


def is_known(line: str, filters: Sequence[LineBloomFilter]) -> bool:
    """Return whether a line of at least `MIN_SHARED_LINE` characters is in one of the filters."""
    if len(line) < MIN_SHARED_LINE or not filters:
        return False
    halves = _halves(line)
    return any(
        all(known.bits[bit >> 3] >> (bit & 7) & 1 for bit in known.positions(*halves))
        for known in filters
    )


def _halves(line: str) -> tuple[int, int]:
    """Return two hashes of 64 bits."""
    digest = hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")


def is_mostly_known(lines: Sequence[str], filters: Sequence[LineBloomFilter]) -> bool:
    """Return whether more than half of a poem's `lines` are in `filters`.

    A majority is required because a single match may be a false positive.
    """
    num_known = sum(is_known(line, filters) for line in lines)
    return 2 * num_known > len(lines)

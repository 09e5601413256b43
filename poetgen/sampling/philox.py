"""The random numbers of a poem: Philox4x32-10, a counter-based generator (Salmon et al. 2011).

Poem `index` of a call with `seed` reads the sequence of the 64-bit key `seed` and the counters

    (block, index mod 2³², index ÷ 2³², candidate)    block = 0, 1, 2, …

A block has four 32-bit words w₀ … w₃, and gives two numbers: (w₀ ÷ 32 · 2²⁶ + w₁ ÷ 64) / 2⁵³ with whole
quotients, and the same of w₂ and w₃.  They are the multiples of 2⁻⁵³ in [0, 1), equally likely.

No state is shared between poems, so any of them can be generated alone, anywhere.
"""

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_NUM_ROUNDS = 10
_BLOCKS_AT_ONCE = 32


def philox(counter_4N: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    """Return the four 32-bit words of each counter (of four 32-bit words), (4, N).

    >>> [hex(int(word)) for word in philox(np.zeros((4, 1), np.uint64), (0, 0))[:, 0]]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    w0, w1, w2, w3 = counter_4N
    key0, key1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(_NUM_ROUNDS):
        first, second = w0 * _MULTIPLIERS[0], w2 * _MULTIPLIERS[1]
        w0, w1, w2, w3 = (
            (second >> _HALF) ^ w1 ^ key0,
            second & _WORD,
            (first >> _HALF) ^ w3 ^ key1,
            first & _WORD,
        )
        key0, key1 = (
            np.uint64(int(key0 + _KEY_STEPS[0]) & 0xFFFFFFFF),
            np.uint64(int(key1 + _KEY_STEPS[1]) & 0xFFFFFFFF),
        )
    return np.stack([w0, w1, w2, w3])


class RandomStream:
    """The numbers of one poem, or of one of its candidates, in order.

    stream = RandomStream(seed=1, index=0)
    u = stream.random()
    """

    def __init__(self, seed: int, index: int, candidate: int = 0) -> None:
        """`seed` and `index` count modulo 2⁶⁴, `candidate` modulo 2³²."""
        self._key = (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
        self._counter = (index & 0xFFFFFFFF, index >> 32 & 0xFFFFFFFF, candidate & 0xFFFFFFFF)
        self._next_block = 0
        self._numbers: list[float] = []

    def random(self) -> float:
        """Return the next number from [0, 1)."""
        if not self._numbers:
            self._numbers = self._read()[::-1]
        return self._numbers.pop()

    def _read(self) -> list[float]:
        counter_4N = np.empty((4, _BLOCKS_AT_ONCE), np.uint64)
        counter_4N[0] = np.arange(self._next_block, self._next_block + _BLOCKS_AT_ONCE)
        counter_4N[1:] = np.array(self._counter, np.uint64)[:, None]
        self._next_block += _BLOCKS_AT_ONCE
        words_4N = philox(counter_4N, self._key)
        high_2N, low_2N = words_4N[::2] >> np.uint64(5), words_4N[1::2] >> np.uint64(6)
        numbers_2N = (high_2N * np.uint64(2**26) + low_2N) / 2.0**53
        return [float(number) for number in numbers_2N.T.ravel()]

"""The random numbers of a poem."""

import numpy as np
import pytest

from poetgen.sampling.philox import RandomStream, philox

F = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((F, F, F, F), (F, F), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox_has_the_published_words(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    """The known answers of Random123, the generator's reference implementation."""
    words = philox(np.array(counter, np.uint64)[:, None], key)
    assert tuple(map(int, words[:, 0])) == expected


def numbers(stream: RandomStream, num: int) -> list[float]:
    return [stream.random() for _ in range(num)]


def test_stream_has_known_numbers() -> None:
    """The test vectors of docs/design.md."""
    assert numbers(RandomStream(1, 0), 3) == KNOWN_NUMBERS


def test_first_numbers_are_those_of_the_first_block() -> None:
    words = philox(np.array([0, 7, 1, 2], np.uint64)[:, None], (5, 3))[:, 0].tolist()
    stream = RandomStream(5 + (3 << 32), 7 + (1 << 32), 2)
    expected = [(a // 32 * 2**26 + b // 64) / 2**53 for a, b in (words[:2], words[2:])]
    assert numbers(stream, 2) == expected


def test_streams_differ_in_seed_index_and_candidate() -> None:
    streams = [
        (1, 0, 0),
        (2, 0, 0),
        (1, 1, 0),
        (1, 0, 1),
        (-1, 0, 0),
        (1, 2**32, 0),
        (2**32 + 1, 0, 0),
    ]
    assert len({tuple(numbers(RandomStream(*one), 4)) for one in streams}) == len(streams)


def test_stream_repeats() -> None:
    assert numbers(RandomStream(7, 3), 200) == numbers(RandomStream(7, 3), 200)


def test_stream_is_uniform() -> None:
    drawn = np.array(numbers(RandomStream(1, 0), 100_000))
    assert ((drawn >= 0) & (drawn < 1)).all()
    counts = np.histogram(drawn, 100, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 150  # χ² with 99 degrees of freedom: p < 0.001
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.01


KNOWN_NUMBERS = [0.8902591757080309, 0.585725953513891, 0.6719982689180368]

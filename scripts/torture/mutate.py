"""Mutations of the bytes of a file."""

from collections.abc import Callable
from random import Random

Mutate = Callable[[bytearray, Random], None]


def mutate(content: bytes, random: Random) -> tuple[bytes, str]:
    """Return the content with one to three random mutations of one type, and the name of the type.

    >>> from random import Random
    >>> mutate(b"abcdef", Random(1)) == mutate(b"abcdef", Random(1))
    True
    """
    name, change = random.choice(list(MUTATIONS.items()))
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if changed:
            change(changed, random)
    return bytes(changed), name


def _flip(content: bytearray, random: Random) -> None:
    content[_position(content, random)] ^= 1 << random.randrange(8)


def _truncate(content: bytearray, random: Random) -> None:
    del content[_position(content, random) :]


def _insert(content: bytearray, random: Random) -> None:
    position = _position(content, random)
    content[position:position] = random.randbytes(random.choice((1, 1, 2, 16, 300)))


def _swap(content: bytearray, random: Random) -> None:
    a, b = _position(content, random), _position(content, random)
    content[a], content[b] = content[b], content[a]


def _duplicate(content: bytearray, random: Random) -> None:
    start, length = _block(content, random)
    content[start:start] = content[start : start + length]


def _zero(content: bytearray, random: Random) -> None:
    start, length = _block(content, random)
    content[start : start + length] = bytes(len(content[start : start + length]))


def _position(content: bytearray, random: Random) -> int:
    """Return a position: anywhere, or in the first or last kilobyte, where headers are."""
    size = len(content)
    near = min(size, 1024)
    return random.choice(
        (random.randrange(size), random.randrange(near), size - 1 - random.randrange(near))
    )


def _block(content: bytearray, random: Random) -> tuple[int, int]:
    return _position(content, random), random.choice((1, 8, 64, 512, 4096))


MUTATIONS: dict[str, Mutate] = {
    "flipped bit": _flip,
    "truncation": _truncate,
    "insertion": _insert,
    "swapped bytes": _swap,
    "duplicated block": _duplicate,
    "zeroed block": _zero,
}

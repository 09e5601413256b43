"""Damage to the content of a file, for tests of what reads it."""

from random import Random


def damage(content: bytes, number: int, random: Random) -> bytearray:
    """Return the content with a bit flipped, eight bytes overwritten, or its end cut off, by `number`."""
    damaged, position = bytearray(content), random.randrange(len(content))
    if number % 4 == 3:
        del damaged[position:]
    elif number % 4 == 2:
        damaged[position : position + 8] = random.randbytes(8)
    else:
        damaged[position] ^= 1 << random.randrange(8)
    return damaged

"""A poem: a text of Han characters and four marks, with a title and an author.

Independent of files, vocabularies and models.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from poetgen.prosody.marks import STOPS, split_lines


def is_hanzi(character: str) -> bool:
    """Return whether `character` is a Han character of any Unicode block.

    U+3007 (〇) is not: it is a zero.
    """
    code = ord(character)
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x3FFFF
        or 0xF900 <= code <= 0xFAFF
    )


@dataclass(frozen=True)
class Poem:
    """A normalized poem (see `normalize`): simplified characters and the marks ，。？！.

    >>> Poem("床前明月光，疑是地上霜。", "静夜思", "李白").lines
    ('床前明月光', '疑是地上霜')
    """

    text: str
    title: str = ""
    author: str = ""

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The non-empty stretches of text between marks."""
        return split_lines(self.text)

    @cached_property
    def characters(self) -> str:
        """The text without marks; two poems with equal characters are duplicates."""
        return "".join(self.lines)

    def __str__(self) -> str:
        return self.text

    def formatted(self) -> str:
        """Return the text with a line break after each sentence (usually a couplet)."""
        rows, row = [], ""
        for character in self.text:
            row += character
            if character in STOPS:
                rows.append(row)
                row = ""
        return "\n".join([*rows, row] if row else rows)


def content_hash(text: str) -> int:
    """Return the first 64 bits of the BLAKE2b of `text`; unlike `hash`, equal on every machine."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def fingerprint(poems: Iterable[Poem]) -> str:
    """Return 16 hex digits that identify a set of poems, independent of their order."""
    total = 0
    for poem in poems:
        total = (total + content_hash(poem.text)) % 2**64
    return f"{total:016x}"

"""What a poem is to this program: a text of Han characters and four marks, with a title and an author.

Knows nothing of files, vocabularies or models.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

MARKS = "，。？！"
"""The only marks that a cleaned poem holds; every other one is folded to these or dropped."""

STOPS = "。？！"
"""The marks that end a sentence."""


def is_hanzi(character: str) -> bool:
    """Whether `character` is a Han character in any Unicode block (U+3007 〇 is not: it is a zero)."""
    code = ord(character)
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x3FFFF
        or 0xF900 <= code <= 0xFAFF
    )


def split_lines(text: str) -> tuple[str, ...]:
    """The lines of a text: what stands between marks, without the marks; empty ones are left out."""
    for mark in MARKS[1:]:
        text = text.replace(mark, MARKS[0])
    return tuple(line for line in text.split(MARKS[0]) if line)


@dataclass(frozen=True)
class Poem:
    """A poem in the program's own spelling (see `normalise`): simplified characters, marks ，。？！."""

    text: str
    title: str = ""
    author: str = ""

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The text between marks, e.g. ("床前明月光", "疑是地上霜", …)."""
        return split_lines(self.text)

    @cached_property
    def characters(self) -> str:
        """The text without its marks: what makes two poems the same poem."""
        return "".join(self.lines)

    def __str__(self) -> str:
        return self.text

    def laid_out(self) -> str:
        """The poem as verse: a couplet (a sentence) on a row."""
        rows, row = [], ""
        for character in self.text:
            row += character
            if character in STOPS:
                rows.append(row)
                row = ""
        return "\n".join([*rows, row] if row else rows)


def content_hash(text: str) -> int:
    """64 bits of `text`'s BLAKE2b: the same on every machine, unlike Python's own `hash`."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def fingerprint(poems: Iterable[Poem]) -> str:
    """Sixteen hex digits that name a set of poems, whatever their order."""
    total = 0
    for poem in poems:
        total = (total + content_hash(poem.text)) % 2**64
    return f"{total:016x}"

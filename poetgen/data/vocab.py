"""Characters to ids and back.  Built from the training split alone."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from poetgen.data.poem import MARKS, Poem, is_hanzi

PAD, BOS, EOS, UNK = range(4)
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
"""Ids 0–3; the marks follow, then the characters, then the conditions that a model is trained with
(and, where it was trained further, more of both).  All but marks and characters are spelled with more
than one character."""


@dataclass(frozen=True)
class Vocabulary:
    """An ordered list of symbols; the id of a symbol is its place."""

    symbols: tuple[str, ...]

    @classmethod
    def build(
        cls, poems: Iterable[Poem], *, min_count: int, conditions: Sequence[str] = ()
    ) -> "Vocabulary":
        """The characters that stand at least `min_count` times in `poems`, then `conditions`.

        Most frequent first, then by code point: the same text gives the same ids everywhere.
        """
        counts = Counter[str]()
        for poem in poems:
            counts.update(poem.text)
        characters = [c for c, n in counts.items() if n >= min_count and c not in MARKS]
        characters.sort(key=lambda c: (-counts[c], c))
        return cls((*SPECIALS, *MARKS, *characters, *conditions))

    def extended(self, other: "Vocabulary") -> "Vocabulary":
        """This vocabulary with the symbols of `other` that it lacks at its end."""
        return Vocabulary((*self.symbols, *(s for s in other.symbols if s not in self.ids)))

    @cached_property
    def ids(self) -> dict[str, int]:
        return {symbol: index for index, symbol in enumerate(self.symbols)}

    @cached_property
    def num_hanzi(self) -> int:
        """How many Han characters have an id of their own."""
        return sum(len(symbol) == 1 and is_hanzi(symbol) for symbol in self.symbols)

    @cached_property
    def not_text(self) -> tuple[int, ...]:
        """The ids that no poem may hold: specials and conditions, all but the end."""
        return tuple(i for i, symbol in enumerate(self.symbols) if len(symbol) > 1 and i != EOS)

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str) -> list[int]:
        """An id per character of `text`; unknown characters become `UNK`."""
        return [self.ids.get(c, UNK) for c in text]

    def encode_poem(self, text: str) -> list[int]:
        """`<bos> text <eos>` as ids."""
        return [BOS, *self.encode(text), EOS]

    def unknown(self, text: str) -> list[str]:
        """The characters of `text` that have no id, each once, in order."""
        return [c for c in dict.fromkeys(text) if c not in self.ids]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; specials other than `<unk>` are left out."""
        return "".join(self.symbols[i] for i in ids if i not in (PAD, BOS, EOS))

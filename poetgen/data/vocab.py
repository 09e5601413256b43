"""The vocabulary: characters to ids and back.  Built from the training split only."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from poetgen.data.poem import Poem, is_hanzi
from poetgen.prosody.marks import MARKS

PAD, BOS, EOS, UNK = range(4)
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
"""Ids 0–3.  Marks follow, then characters, then conditions; fine-tuning appends more of the latter two.
Specials and conditions are spelled with more than one character, all other symbols with one."""


@dataclass(frozen=True)
class Vocabulary:
    """An ordered list of symbols; the id of a symbol is its index.

    >>> vocab = Vocabulary.build([Poem("春眠，春晓。")], min_count=2)
    >>> vocab.encode("春，夏"), vocab.decode([8, 4])
    ([8, 4, 3], '春，')
    """

    symbols: tuple[str, ...]

    @classmethod
    def build(
        cls, poems: Iterable[Poem], *, min_count: int, conditions: Sequence[str] = ()
    ) -> "Vocabulary":
        """Return specials, marks, characters and `conditions`, in this order.

        Characters need `min_count` occurrences in `poems`.  They are sorted by descending count, then
        by code point, so the same text gives the same ids on every machine.
        """
        counts = Counter[str]()
        for poem in poems:
            counts.update(poem.text)
        characters = [c for c, n in counts.items() if n >= min_count and c not in MARKS]
        characters.sort(key=lambda c: (-counts[c], c))
        return cls((*SPECIALS, *MARKS, *characters, *conditions))

    def extended(self, other: "Vocabulary") -> "Vocabulary":
        """Return this vocabulary with the symbols that only `other` has appended."""
        return Vocabulary((*self.symbols, *(s for s in other.symbols if s not in self.ids)))

    @cached_property
    def ids(self) -> dict[str, int]:
        return {symbol: index for index, symbol in enumerate(self.symbols)}

    @cached_property
    def num_hanzi(self) -> int:
        """Number of Han characters with an id."""
        return sum(len(symbol) == 1 and is_hanzi(symbol) for symbol in self.symbols)

    @cached_property
    def characters(self) -> tuple[str, ...]:
        """The characters with an id of their own, in the order of their ids; no marks."""
        return tuple(s for s in self.symbols if len(s) == 1 and s not in MARKS)

    @cached_property
    def not_text(self) -> tuple[int, ...]:
        """The ids that never occur in a poem: specials other than `<eos>`, and conditions."""
        return tuple(i for i, symbol in enumerate(self.symbols) if len(symbol) > 1 and i != EOS)

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str) -> list[int]:
        """Return one id per character of `text`; unknown characters become `UNK`."""
        return [self.ids.get(c, UNK) for c in text]

    def encode_poem(self, text: str) -> list[int]:
        """Return the ids of `<bos> text <eos>`."""
        return [BOS, *self.encode(text), EOS]

    def unknown(self, text: str) -> list[str]:
        """Return the distinct characters of `text` that have no id, in order."""
        return [c for c in dict.fromkeys(text) if c not in self.ids]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids` without `<pad>`, `<bos>` and `<eos>`."""
        return "".join(self.symbols[i] for i in ids if i not in (PAD, BOS, EOS))

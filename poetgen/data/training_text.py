"""The training poems as ids, epoch by epoch.  Does not import torch."""

import hashlib
from array import array
from collections.abc import Sequence
from functools import cached_property

from poetgen.config import Config
from poetgen.data.conditions import Conditions, conditions_of, drop_at_random, encode_conditions
from poetgen.data.corpus import cut
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary


def encode_for_training(
    poems: Sequence[Poem], vocab: Vocabulary, max_tokens: int
) -> list[list[int]]:
    """`<bos> text <eos>` per poem as ids.  A poem that is cut has no `<eos>`: it goes on."""
    sequences = []
    for poem in poems:
        text, was_cut = cut(poem.text, max_tokens)
        ids = vocab.encode_poem(text)
        sequences.append(ids[:-1] if was_cut else ids)
    return sequences


class TrainingText:
    """What a run reads: the same poems each epoch, each time with other conditions given."""

    def __init__(self, poems: Sequence[Poem], vocab: Vocabulary, config: Config) -> None:
        self._vocab = vocab
        self._seed = config.train.seed
        self._rates = config.conditions
        self._texts = encode_for_training(poems, vocab, config.data.max_tokens)
        self._conditions: list[Conditions] = (
            [conditions_of(poem) for poem in poems] if config.conditions.any else []
        )

    @property
    def num_tokens(self) -> int:
        """Counted tokens in an epoch; conditions are read, not counted."""
        return sum(len(ids) - 1 for ids in self._texts)

    def epoch(self, number: int) -> list[list[int]]:
        """The ids of each poem in epoch `number` (from 0), in the order of the poems."""
        if not self._conditions:
            return self._texts
        given = drop_at_random(self._conditions, self._rates, self._seed, number)
        return [
            encode_conditions(conditions, self._vocab) + ids
            for conditions, ids in zip(given, self._texts, strict=True)
        ]

    @cached_property
    def fingerprint(self) -> str:
        """Names the ids in their order: what a position in an epoch hangs on."""
        digest = hashlib.blake2b(digest_size=8)
        for ids in self.epoch(0):
            digest.update(array("i", [*ids, -1]).tobytes())
        return digest.hexdigest()

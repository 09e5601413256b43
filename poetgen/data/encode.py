"""The training poems as token ids, epoch by epoch.  Does not import torch."""

import hashlib
from array import array
from collections.abc import Sequence
from functools import cached_property

from poetgen.config import Config
from poetgen.data.conditions import Conditions, conditions_of, encode_conditions, sample_conditions
from poetgen.data.corpus import truncate
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary


def encode_poems(poems: Sequence[Poem], vocab: Vocabulary, max_tokens: int) -> list[list[int]]:
    """Return the ids of `<bos> text <eos>` per poem; a truncated poem has no `<eos>`."""
    sequences = []
    for poem in poems:
        text, is_truncated = truncate(poem.text, max_tokens)
        ids = vocab.encode_poem(text)
        sequences.append(ids[:-1] if is_truncated else ids)
    return sequences


class TrainingDataset:
    """The token ids of the training poems; each epoch samples their conditions again."""

    def __init__(self, poems: Sequence[Poem], vocab: Vocabulary, config: Config) -> None:
        self._vocab = vocab
        self._seed = config.train.seed
        self._rates = config.conditions
        self._sequences = encode_poems(poems, vocab, config.data.max_tokens)
        self._conditions: list[Conditions] = (
            [conditions_of(poem) for poem in poems] if config.conditions.any else []
        )

    @property
    def num_tokens(self) -> int:
        """Predicted tokens per epoch; conditions are input only."""
        return sum(len(ids) - 1 for ids in self._sequences)

    def epoch(self, number: int) -> list[list[int]]:
        """Return the ids of each poem in epoch `number` (from 0), in the order of the poems."""
        if not self._conditions:
            return self._sequences
        sampled = sample_conditions(self._conditions, self._rates, self._seed, number)
        return [
            encode_conditions(conditions, self._vocab) + ids
            for conditions, ids in zip(sampled, self._sequences, strict=True)
        ]

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that identify the ids in their order, and so the meaning of a batch index."""
        digest = hashlib.blake2b(digest_size=8)
        for ids in self.epoch(0):
            digest.update(array("i", [*ids, -1]).tobytes())
        return digest.hexdigest()

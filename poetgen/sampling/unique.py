"""Poems that all differ: a poem that equals an earlier one is generated again."""

import hashlib
from dataclasses import replace

from poetgen.data.poem import Poem
from poetgen.errors import ConstraintError
from poetgen.language import tr
from poetgen.sampling.generator import Failure, Generator, Sample

MAX_UNIQUE_ATTEMPTS = 32
"""How often a poem is generated before it is given up as a duplicate."""

_RETRIES_PER_BATCH = 8
"""Generated together, for a batch takes less time than its poems one by one."""


class UniquePoems:
    """The poems of a job so far, no two of which have the same text.

    unique = UniquePoems(generator)
    poems = map(unique.distinct, generator.generate(requests))

    Poem i is the first one of the streams (seed, i), (seed, i, attempt 1), (seed, i, attempt 2)… that
    differs from all earlier poems of the job.  So it depends on the seed and on the requests before it,
    not on the batch size.  Only a hash of each poem is kept.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._hashes: set[int] = set()

    def add(self, poem_hash: int) -> bool:
        """Remember a poem by its `poem_hash`; return whether it differs from all earlier ones."""
        is_new = poem_hash not in self._hashes
        self._hashes.add(poem_hash)
        return is_new

    def distinct(self, result: Sample | Failure) -> Sample | Failure:
        """Return `result`, the next poem; if it equals an earlier one, generate another and return that.

        Call it in the order of the indices.  A `Failure` if all attempts gave earlier poems.
        """
        if isinstance(result, Failure) or self.add(poem_hash(result.poem)):
            return result
        request = result.request
        retries = (replace(request, attempt=n) for n in range(1, MAX_UNIQUE_ATTEMPTS))
        for retry in self._generator.generate(retries, batch_size=_RETRIES_PER_BATCH):
            if isinstance(retry, Sample) and self.add(poem_hash(retry.poem)):
                return retry
        why = tr("{num} attempts gave only poems that occur before", num=MAX_UNIQUE_ATTEMPTS)
        fix = tr("Raise the temperature, drop a constraint, or drop --unique.")
        return Failure(request, ConstraintError(why, fix))


def poem_hash(poem: Poem) -> int:
    """Return 8 bytes, as a number, that identify the text of a poem.

    >>> poem_hash(Poem("云归山，月照人。")) == poem_hash(Poem("云归山，月照人。"))
    True
    """
    return int.from_bytes(hashlib.blake2b(poem.text.encode(), digest_size=8).digest())

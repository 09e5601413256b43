"""The likelihood of poems in nats, computed in exact arithmetic.

Convention: every character, every mark and one end-of-poem per poem count as tokens; padding,
`<bos>` and conditions do not.  Each poem starts from a zero state.  A character outside the
vocabulary costs −ln p(<unk>) + ln(20,992 − Han characters in the vocabulary), a uniform distribution
over the rest of the block U+4E00–9FFF, so that a smaller vocabulary gains nothing.  Nats and tokens
are summed separately and divided once: a mean is never a mean of means.

Shape suffixes: B rows, T positions, V vocabulary size.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from poetgen.data.conditions import NO_CONDITIONS, Conditions, encode_conditions
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import UNK, Vocabulary
from poetgen.engine.mathematics import log
from poetgen.engine.network import Network, select_rows
from poetgen.engine.softmax import token_nats

CJK_BLOCK = 0x9FFF - 0x4E00 + 1
"""Code points in Unicode's CJK Unified Ideographs block: 20,992."""
BATCH_SIZE = 64
"""Poems per batch of `score`."""


@dataclass(frozen=True)
class Likelihood:
    """Sums over poems, and the metrics derived from them.

    likelihood = total(score(bundle.engine, poems, bundle.vocab))
    print(likelihood.perplexity)
    """

    poems: int
    tokens: int
    """Counted tokens: characters, marks and one end per poem."""
    unknown_tokens: int
    """Tokens that are characters outside the vocabulary."""
    hanzi: int
    """Han characters."""
    nats: float
    """−ln p of all tokens, the surcharge of unknown characters included."""

    @property
    def nats_per_token(self) -> float:
        return self.nats / max(1, self.tokens)

    @property
    def perplexity(self) -> float:
        """exp(nats per token); infinite if that overflows."""
        return math.exp(self.nats_per_token) if self.nats_per_token < 700 else math.inf

    @property
    def bits_per_hanzi(self) -> float:
        """All nats, including those of marks and ends, in bits per Han character."""
        return self.nats / math.log(2) / max(1, self.hanzi)

    def __add__(self, other: "Likelihood") -> "Likelihood":
        return Likelihood(
            self.poems + other.poems,
            self.tokens + other.tokens,
            self.unknown_tokens + other.unknown_tokens,
            self.hanzi + other.hanzi,
            self.nats + other.nats,
        )


def score(
    network: Network,
    poems: Sequence[Poem],
    vocab: Vocabulary,
    *,
    conditions: Sequence[Conditions] = (),
    advance: Callable[[int], object] = lambda _: None,
) -> list[Likelihood]:
    """Return the likelihood of each poem, in order, by the convention of this module.

    Poems are scored whole.  `conditions`, one per poem, precede the poems; empty: unconditional.
    `advance` is called with the number of poems of each batch.

    Raises:
        ValueError: `conditions` are neither empty nor one per poem.
    """
    texts = [vocab.encode_poem(poem.text) for poem in poems]
    conditions = conditions or [NO_CONDITIONS] * len(poems)
    sequences = [
        encode_conditions(condition, vocab) + ids
        for condition, ids in zip(conditions, texts, strict=True)
    ]
    network.expect(sum(map(len, sequences)))
    surcharge = unknown_surcharge(vocab)
    scores: dict[int, Likelihood] = {}
    for members, all_nats in _batches(network, sequences):
        for index, nats_T in zip(members, all_nats, strict=True):
            ids, text = texts[index], poems[index].text
            num_unknown = ids[1:].count(UNK)
            counted_T = nats_T[len(sequences[index]) - len(ids) :]
            scores[index] = Likelihood(
                poems=1,
                tokens=len(ids) - 1,
                unknown_tokens=num_unknown,
                hanzi=sum(map(is_hanzi, text)),
                nats=math.fsum(counted_T) + num_unknown * surcharge,
            )
        advance(len(members))
    return [scores[index] for index in range(len(poems))]


def unknown_surcharge(vocab: Vocabulary) -> float:
    """Return the nats that a character outside the vocabulary costs in addition to <unk>."""
    return float(log(np.array([CJK_BLOCK - vocab.num_hanzi], np.float64))[0])


def total(scores: Sequence[Likelihood]) -> Likelihood:
    """Return the sum over poems."""
    return sum(scores, Likelihood(0, 0, 0, 0, 0.0))


def _batches(
    network: Network, sequences: Sequence[Sequence[int]]
) -> Iterator[tuple[list[int], list[list[float]]]]:
    """Yield (indices of sequences, −ln p of each id of theirs after the first), longest first."""
    longest_first = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
    for start in range(0, len(longest_first), BATCH_SIZE):
        members = longest_first[start : start + BATCH_SIZE]
        rows = [sequences[index] for index in members]
        nats: list[list[float]] = [[] for _ in rows]
        state = network.zero_state(len(rows))
        for position in range(len(rows[0]) - 1):
            num_left = sum(len(row) > position + 1 for row in rows)  # the longest come first
            if num_left < state.num_rows:
                state = select_rows(state, np.arange(num_left))
            tokens_B = np.array([row[position] for row in rows[:num_left]])
            features, state = network.step(tokens_B, state)
            targets_B = np.array([row[position + 1] for row in rows[:num_left]])
            for row, value in zip(
                nats, token_nats(network.logits(features), targets_B), strict=False
            ):
                row.append(value)
        yield members, nats

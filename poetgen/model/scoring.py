"""The likelihood of poems in nats: minimized by training, reported by validation and evaluation.

Convention: every character, every mark and one end-of-poem per poem count as tokens; padding,
`<bos>` and conditions do not.  Each poem starts from a zero state.  A character outside the
vocabulary costs −ln p(<unk>) + ln(20,992 − Han characters in the vocabulary), a uniform distribution
over the rest of the block U+4E00–9FFF, so that a smaller vocabulary gains nothing.  Nats and tokens
are summed separately and divided once: a mean is never a mean of means.

Shape suffixes: B rows, T positions, F features, N counted tokens, V vocabulary size.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from poetgen.data.batches import Batch, ordered_batches
from poetgen.data.conditions import NO_CONDITIONS, Conditions, encode_conditions
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import PAD, UNK, Vocabulary
from poetgen.model.network import PoemRNN

CJK_BLOCK = 0x9FFF - 0x4E00 + 1
"""Code points in Unicode's CJK Unified Ideographs block: 20,992."""
BATCH_TOKENS = 4096
"""Tokens per batch of `score`, padding included."""


@dataclass(frozen=True)
class Likelihood:
    """Sums over poems, and the metrics derived from them.

    likelihood = total(score(network, poems, vocab))
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


def counted_logits(network: PoemRNN, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return (logits_NV in fp32, targets_N): the logits that predict each counted token, and its id.

    Tokens are in order, row by row.  Padding is dropped before the output layer.
    """
    features_BTF, _ = network.features(batch.tokens_BT)
    counted_BT = batch.targets_BT != PAD
    logits_NV = network.logits(features_BTF[counted_BT])
    return logits_NV.float(), batch.targets_BT[counted_BT]


def token_nats(network: PoemRNN, batch: Batch) -> Tensor:
    """Return −ln p of each counted token, (N,) in fp32, row by row."""
    return cross_entropy(*counted_logits(network, batch), reduction="none")


def unknown_surcharge(vocab: Vocabulary) -> float:
    """Return the nats that a character outside the vocabulary costs in addition to <unk>."""
    return math.log(CJK_BLOCK - vocab.num_hanzi)


@torch.inference_mode()
def score(
    network: PoemRNN,
    poems: Sequence[Poem],
    vocab: Vocabulary,
    *,
    conditions: Sequence[Conditions] = (),
    batch_tokens: int = BATCH_TOKENS,
    advance: Callable[[int], object] = lambda _: None,
) -> list[Likelihood]:
    """Return the likelihood of each poem, in order, by the convention of this module.

    Poems are scored whole and in fp32, without dropout; the mode of `network` is restored.
    `conditions`, one per poem, precede the poems; empty: unconditional.  `batch_tokens` bounds the
    tokens per batch, padding included.  `advance` is called with the number of poems of each batch.

    Raises:
        ValueError: `conditions` are neither empty nor one per poem.
    """
    texts = [vocab.encode_poem(poem.text) for poem in poems]
    conditions = conditions or [NO_CONDITIONS] * len(poems)
    sequences = [
        encode_conditions(condition, vocab) + ids
        for condition, ids in zip(conditions, texts, strict=True)
    ]
    surcharge = unknown_surcharge(vocab)
    scores: dict[int, Likelihood] = {}
    was_training = network.training
    network.eval()
    for members, batch in ordered_batches(sequences, batch_tokens=batch_tokens):
        # Summed on the CPU: not every accelerator supports float64, and a transfer per batch is cheap.
        with _exact_fp32(network.device):
            nats_N = token_nats(network, batch.to(network.device)).cpu().double()
        nats_N += surcharge * (batch.targets_BT[batch.targets_BT != PAD] == UNK)
        lengths = [len(texts[i]) - 1 for i in members]
        for index, nats in zip(members, torch.split(nats_N, lengths), strict=True):
            ids, text = texts[index], poems[index].text
            scores[index] = Likelihood(
                poems=1,
                tokens=len(ids) - 1,
                unknown_tokens=ids.count(UNK),
                hanzi=sum(map(is_hanzi, text)),
                nats=float(nats.sum()),
            )
        advance(len(members))
    network.train(was_training)
    return [scores[index] for index in range(len(poems))]


def _exact_fp32(device: torch.device) -> AbstractContextManager[None]:
    """Disable TF32, which cuDNN uses by default, so that a GPU gives the same values as a CPU."""
    if device.type == "cuda":
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return nullcontext()


def total(scores: Sequence[Likelihood]) -> Likelihood:
    """Return the sum over poems."""
    return sum(scores, Likelihood(0, 0, 0, 0, 0.0))

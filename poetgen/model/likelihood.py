"""Nats and tokens of poems: what training minimises and validates with, and evaluation reports.

The convention: counted are every character, every mark and one end per poem; never padding, the
start or a condition.  Each poem starts from a zero state.  A character outside the vocabulary costs
−ln p(<unk>) + ln(20,992 − Han characters in the vocabulary): uniform over the rest of the block
U+4E00–9FFF, so that a smaller vocabulary buys nothing.  Nats and tokens are summed apart and
divided once.

Shape suffixes: B rows, T places, F features, N counted tokens, V vocabulary size.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from poetgen.data.batches import Batch, ordered_batches
from poetgen.data.conditions import NO_CONDITIONS, Conditions, encode_conditions
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import PAD, UNK, Vocabulary
from poetgen.model.lstm import PoemLSTM

CJK_BLOCK = 0x9FFF - 0x4E00 + 1
"""20,992 places in Unicode's CJK Unified Ideographs block."""


@dataclass(frozen=True)
class Likelihood:
    """Sums over poems, and the figures that follow from them."""

    poems: int
    tokens: int
    unknown_tokens: int
    hanzi: int
    nats: float

    @property
    def nats_per_token(self) -> float:
        return self.nats / max(1, self.tokens)

    @property
    def perplexity(self) -> float:
        """exp(nats per token); infinite where that overflows."""
        return math.exp(self.nats_per_token) if self.nats_per_token < 700 else math.inf

    @property
    def bits_per_hanzi(self) -> float:
        """All nats, those of marks and ends too, in bits per Han character."""
        return self.nats / math.log(2) / max(1, self.hanzi)

    def __add__(self, other: "Likelihood") -> "Likelihood":
        return Likelihood(
            self.poems + other.poems,
            self.tokens + other.tokens,
            self.unknown_tokens + other.unknown_tokens,
            self.hanzi + other.hanzi,
            self.nats + other.nats,
        )


def counted_logits(model: PoemLSTM, batch: Batch) -> tuple[Tensor, Tensor]:
    """What each counted token was foreseen from, (N, V) in fp32, and its id, (N,), row by row.

    The large product skips padding.
    """
    features_BTF, _ = model.features(batch.tokens_BT)
    counted_BT = batch.targets_BT != PAD
    logits_NV = model.logits(features_BTF[counted_BT])
    return logits_NV.float(), batch.targets_BT[counted_BT]


def token_nats(model: PoemLSTM, batch: Batch) -> Tensor:
    """−ln p of each counted token, (N,) in fp32, row by row."""
    return cross_entropy(*counted_logits(model, batch), reduction="none")


def unknown_surcharge(vocab: Vocabulary) -> float:
    """What a character outside the vocabulary costs on top of <unk>, in nats."""
    return math.log(CJK_BLOCK - vocab.num_hanzi)


@torch.inference_mode()
def score(
    model: PoemLSTM,
    poems: Sequence[Poem],
    vocab: Vocabulary,
    *,
    given: Sequence[Conditions] = (),
    batch_tokens: int = 4096,
) -> list[Likelihood]:
    """The likelihood of each poem, in order, whole and in fp32, whatever mode the model is in.

    `given` holds what the model is told of each poem; left out, it is told nothing.
    """
    texts = [vocab.encode_poem(poem.text) for poem in poems]
    told = [encode_conditions(one, vocab) for one in given or [NO_CONDITIONS] * len(poems)]
    sequences = [before + ids for before, ids in zip(told, texts, strict=True)]
    surcharge = unknown_surcharge(vocab)
    scores: dict[int, Likelihood] = {}
    was_training = model.training
    model.eval()
    for members, batch in ordered_batches(sequences, batch_tokens=batch_tokens):
        # Summed on the CPU: not every accelerator has float64, and one transfer a batch is cheap.
        with _exact_fp32(model.device):
            nats_N = token_nats(model, batch.to(model.device)).cpu().double()
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
    model.train(was_training)
    return [scores[index] for index in range(len(poems))]


def _exact_fp32(device: torch.device) -> AbstractContextManager[None]:
    """Without TF32, which cuDNN uses by default: a GPU's figures are to be those of a CPU."""
    if device.type == "cuda":
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return nullcontext()


def total(scores: Sequence[Likelihood]) -> Likelihood:
    """The sum over poems."""
    return sum(scores, Likelihood(0, 0, 0, 0, 0.0))

"""The likelihood of poems in nats by torch: minimized by training, and measured by validation.

Reported likelihoods are those of `poetgen.engine.scoring`, which also states the convention.

Shape suffixes: B rows, T positions, F features, N counted tokens, V vocabulary size.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from poetgen.data.batches import Batch, ordered_batches
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import PAD, UNK, Vocabulary
from poetgen.engine.scoring import Likelihood, unknown_surcharge
from poetgen.model.network import PoemRNN

BATCH_TOKENS = 4096
"""Tokens per batch of `validate`, padding included."""


def counted_logits(network: PoemRNN, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return (logits_NV in fp32, targets_N): the logits that predict each counted token, and its id.

    Tokens are in order, row by row.  Padding is dropped before the output layer.
    """
    features_BTF, _ = network.features(batch.tokens_BT)
    counted_BT = batch.targets_BT != PAD
    used = network.used_tokens(batch.tokens_BT, counted_BT)
    logits_NV = network.logits(features_BTF[counted_BT], used)
    return logits_NV.float(), batch.targets_BT[counted_BT]


def token_nats(network: PoemRNN, batch: Batch) -> Tensor:
    """Return −ln p of each counted token, (N,) in fp32, row by row."""
    return cross_entropy(*counted_logits(network, batch), reduction="none")


@torch.inference_mode()
def validate(
    network: PoemRNN,
    poems: Sequence[Poem],
    vocab: Vocabulary,
    *,
    batch_tokens: int = BATCH_TOKENS,
    advance: Callable[[int], object] = lambda _: None,
) -> Likelihood:
    """Return the likelihood of all poems in fp32, by the convention of `poetgen.engine.scoring`.

    Poems are read whole and without dropout; the mode of `network` is restored.  `batch_tokens` bounds
    the tokens per batch, padding included.  `advance` is called with the number of poems of each batch.
    """
    sequences = [vocab.encode_poem(poem.text) for poem in poems]
    nats = 0.0
    was_training = network.training
    network.eval()
    for members, batch in ordered_batches(sequences, batch_tokens=batch_tokens):
        # Summed on the CPU: not every accelerator supports float64, and a transfer per batch is cheap.
        with _exact_fp32(network.device):
            nats += float(token_nats(network, batch.to(network.device)).cpu().double().sum())
        advance(len(members))
    network.train(was_training)
    num_unknown = sum(ids.count(UNK) for ids in sequences)
    return Likelihood(
        poems=len(poems),
        tokens=sum(len(ids) - 1 for ids in sequences),
        unknown_tokens=num_unknown,
        hanzi=sum(is_hanzi(character) for poem in poems for character in poem.text),
        nats=nats + num_unknown * unknown_surcharge(vocab),
    )


def _exact_fp32(device: torch.device) -> AbstractContextManager[None]:
    """Disable TF32, which cuDNN uses by default, so that a GPU gives the same values as a CPU."""
    if device.type == "cuda":
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return nullcontext()

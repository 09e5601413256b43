"""The training loss: cross-entropy over tokens, plus a weighted cross-entropy over token classes.

Only a few tokens of a poem decide its form: those that end a line, a sentence or the poem.  At every
other position, a probability of 1% for "the line ends here" costs only 0.01 nats, which teaches little,
yet such errors break the form of several poems in a hundred.  The token class term is the cross-entropy
of the next token's class (character, comma, stop, end of poem), whose probability is a sum over the
same distribution.  It has the same minimum as the token term, so weighting it shifts effort to the form
without biasing the model.

Shape suffixes: N counted tokens, V vocabulary size, K token classes.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from poetgen.data.batches import Batch
from poetgen.data.vocab import EOS, SPECIALS
from poetgen.model.network import PoemRNN
from poetgen.model.scoring import counted_logits
from poetgen.prosody.marks import MARKS, STOPS

_MARK_IDS = dict(enumerate(MARKS, start=len(SPECIALS)))
TOKEN_CLASSES = (
    (EOS,),
    tuple(token for token, mark in _MARK_IDS.items() if mark not in STOPS),
    tuple(token for token, mark in _MARK_IDS.items() if mark in STOPS),
)
"""The token ids of each class but the last: end of poem, commas, stops.  All others are characters."""

_MIN_PROBABILITY = 1e-7  # in fp32, the 1 − Σp of the characters can round to 0 or below


def training_loss(
    network: PoemRNN, batch: Batch, token_class_loss_weight: float
) -> tuple[Tensor, Tensor]:
    """Return the loss, a scalar, and the nats of each counted token, (N,)."""
    logits_NV, targets_N = counted_logits(network, batch)
    nats_N = cross_entropy(logits_NV, targets_N, reduction="none")
    if not token_class_loss_weight:
        return nats_N.mean(), nats_N
    class_nats_N = token_class_nats(logits_NV, targets_N)
    return (nats_N + token_class_loss_weight * class_nats_N).mean(), nats_N


def token_class_nats(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Return −ln p of the class of each target token, (N,)."""
    log_sum_N1 = logits_NV.logsumexp(dim=-1, keepdim=True)
    probs_NK = torch.stack(
        [(logits_NV[:, list(ids)] - log_sum_N1).exp().sum(dim=-1) for ids in TOKEN_CLASSES], dim=1
    )
    class_N = torch.full_like(targets_N, len(TOKEN_CLASSES))
    for index, ids in enumerate(TOKEN_CLASSES):
        for token in ids:
            class_N[targets_N == token] = index
    probs_NK = torch.cat([probs_NK, 1 - probs_NK.sum(dim=1, keepdim=True)], dim=1)
    return -probs_NK.clamp(min=_MIN_PROBABILITY).gather(1, class_N[:, None])[:, 0].log()

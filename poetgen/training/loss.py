"""What a step minimises: the mean surprise at tokens, and if asked that at their kinds on top.

A verse's form stands in a few of its tokens: where a line ends, where a sentence, where the poem.  At
any other place 1% left for "it ends here" costs 0.01 nats, which hardly teaches, and yet such slips
spoil a few poems of a hundred.  The surprise at the kind of the next token (a character, a comma, a
stop, the end) is that of a sum over the same distribution, and least for the same true one: weighing
it more spends the model's effort otherwise without pulling it elsewhere.

Shape suffixes: N counted tokens, V vocabulary size, K kinds.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from poetgen.data.batches import Batch
from poetgen.data.poem import MARKS, STOPS
from poetgen.data.vocab import EOS, SPECIALS
from poetgen.model.likelihood import counted_logits
from poetgen.model.lstm import PoemLSTM

_MARKS = dict(enumerate(MARKS, start=len(SPECIALS)))
KINDS = (
    (EOS,),
    tuple(token for token, mark in _MARKS.items() if mark not in STOPS),
    tuple(token for token, mark in _MARKS.items() if mark in STOPS),
)
"""The ids of each kind of token that is no character: the end, commas, stops.  All else is one more."""

_LEAST = 1e-7
# A probability below it counts as this much, for 1 − Σp of single precision may be 0.


def training_loss(model: PoemLSTM, batch: Batch, kind_weight: float) -> tuple[Tensor, Tensor]:
    """The loss, a number, and the nats of each counted token, (N,)."""
    logits_NV, targets_N = counted_logits(model, batch)
    nats_N = cross_entropy(logits_NV, targets_N, reduction="none")
    if not kind_weight:
        return nats_N.mean(), nats_N
    return (nats_N + kind_weight * kind_nats(logits_NV, targets_N)).mean(), nats_N


def kind_nats(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """−ln p of the kind of each token, (N,)."""
    total_N1 = logits_NV.logsumexp(dim=-1, keepdim=True)
    probs_NK = torch.stack(
        [(logits_NV[:, list(ids)] - total_N1).exp().sum(dim=-1) for ids in KINDS], dim=1
    )
    kind_N = torch.full_like(targets_N, len(KINDS))
    for kind, ids in enumerate(KINDS):
        for token in ids:
            kind_N[targets_N == token] = kind
    probs_NK = torch.cat([probs_NK, 1 - probs_NK.sum(dim=1, keepdim=True)], dim=1)
    return -probs_NK.clamp(min=_LEAST).gather(1, kind_N[:, None])[:, 0].log()

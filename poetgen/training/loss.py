"""The training loss: cross-entropy over tokens, plus a weighted cross-entropy over token classes.

Only a few tokens of a poem decide its form: those that end a line, a sentence or the poem.  At every
other position, a probability of 1% for "the line ends here" costs only 0.01 nats, which teaches little,
yet such errors break the form of several poems in a hundred.  The token class term is the cross-entropy
of the next token's class (character, comma, stop, end of poem), whose probability is a sum over the
same distribution.  It has the same minimum as the token term, so weighting it shifts effort to the form
without biasing the model.

On the CPU, the output layer and its gradients are computed for about a thousand tokens at a time.  The
logits of a whole batch take hundreds of megabytes, which are slow to allocate and to read and write several
times; a block is in memory that is used again.

Shape suffixes: B rows, T positions, N counted tokens, J earlier positions, F features, V vocabulary size,
K token classes.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from poetgen.data.batches import Batch
from poetgen.data.vocab import EOS, PAD, SPECIALS
from poetgen.model.network import PoemRNN
from poetgen.prosody.marks import MARKS, STOPS

_MARK_IDS = dict(enumerate(MARKS, start=len(SPECIALS)))
TOKEN_CLASSES = (
    (EOS,),
    tuple(token for token, mark in _MARK_IDS.items() if mark not in STOPS),
    tuple(token for token, mark in _MARK_IDS.items() if mark in STOPS),
)
"""The token ids of each class but the last: end of poem, commas, stops.  All others are characters."""

_MIN_PROBABILITY = 1e-7  # in fp32, the 1 − Σp of the characters can round to 0 or below
_BLOCK_VALUES = 1 << 23
"""Logits in a block on the CPU: 32 MiB in fp32."""


def training_loss(
    network: PoemRNN, batch: Batch, token_class_loss_weight: float
) -> tuple[Tensor, Tensor]:
    """Return the loss, a scalar, and the nats of each counted token, (N,)."""
    features_BTF, _ = network.features(batch.tokens_BT)
    counted_BT = batch.targets_BT != PAD
    features_NF = features_BTF[counted_BT]
    device = features_NF.device.type
    if torch.is_autocast_enabled(device):
        features_NF = features_NF.to(torch.get_autocast_dtype(device))
    targets_N = batch.targets_BT[counted_BT]
    used = network.used_tokens(batch.tokens_BT, counted_BT)
    if used is None:
        used_NJ, terms_NJ = targets_N.new_empty(len(targets_N), 0), features_NF[:, :0].float()
    else:
        used_NJ, terms_NJ = used.tokens_NJ, network.reuse_terms(features_NF, used.kinds_NJ).float()
    with torch.autocast(device, enabled=False):  # the dtype of the features is that of the products
        loss, nats_N = _OutputLoss.apply(  # type: ignore[no-untyped-call]  # by torch
            features_NF,
            network.output_matrix,
            network.output_bias,
            terms_NJ,
            _Targets(targets_N, used_NJ, token_class_loss_weight),
        )
    return loss, nats_N


class _Targets(NamedTuple):
    """The targets of the loss."""

    targets_N: Tensor
    used_NJ: Tensor
    """The tokens before each; no column without a reuse term."""
    token_class_loss_weight: float


class _OutputLoss(torch.autograd.Function):
    """The output layer and the loss.  The forward pass computes the gradients, while logits are at hand."""

    @staticmethod
    def forward(
        ctx: Any,
        features_NF: Tensor,
        output_VF: Tensor,
        bias_V: Tensor,
        terms_NJ: Tensor,
        targets: _Targets,
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss, and the nats of each token, (N,) in fp32.

        `terms_NJ` are added to the logits of the tokens used before.
        """
        targets_N, used_NJ, token_class_loss_weight = targets
        num, is_cpu = len(targets_N), targets_N.device.type == "cpu"
        num_block = max(1, _BLOCK_VALUES // len(output_VF)) if is_cpu else num
        matrix_VF, cast_bias_V = (one.to(features_NF.dtype) for one in (output_VF, bias_V))
        grad_NF = torch.empty_like(features_NF)
        grad_VF, grad_V = torch.zeros_like(output_VF), torch.zeros_like(bias_V)
        losses_N, nats_N = targets_N.new_empty((2, num), dtype=torch.float32)
        grad_NJ = torch.empty_like(terms_NJ)
        block_NV = bias_V.new_empty((min(num, num_block), len(bias_V)))
        for start in range(0, num, num_block):
            rows = slice(start, start + num_block)
            x_NF = features_NF[rows]
            logits_NV = block_NV[: len(x_NF)]
            _linear(x_NF, matrix_VF, cast_bias_V, out=logits_NV)
            logits_NV.scatter_add_(1, used_NJ[rows], terms_NJ[rows])
            losses_N[rows], nats_N[rows] = _replace_by_gradient(
                logits_NV, targets_N[rows], token_class_loss_weight
            )
            grad_NJ[rows] = logits_NV.gather(1, used_NJ[rows])
            grad_V += logits_NV.sum(dim=0)
            grad_NV = logits_NV.to(features_NF.dtype)
            # Scaled before the result is rounded to the dtype.
            grad_NF[rows] = torch.addmm(x_NF, grad_NV, matrix_VF, beta=0, alpha=1 / num)
            if grad_NV.dtype == grad_VF.dtype:
                grad_VF.addmm_(grad_NV.t(), x_NF)
            else:
                grad_VF += grad_NV.t() @ x_NF
        ctx.gradients = (
            grad_NF,
            grad_VF.div_(num),
            grad_V.div_(num),
            grad_NJ.div_(num),
        )
        ctx.mark_non_differentiable(nats_N)
        return losses_N.mean(), nats_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the gradients of the mean loss times that of what follows it."""
        return *(gradient * grads[0] for gradient in ctx.gradients), None


def _linear(x_NF: Tensor, matrix_VF: Tensor, bias_V: Tensor, *, out: Tensor) -> None:
    """Write the logits into `out`, which may have another dtype than the operands."""
    if x_NF.dtype == out.dtype:
        torch.addmm(bias_V, x_NF, matrix_VF.t(), out=out)
    else:
        out.copy_(torch.addmm(bias_V, x_NF, matrix_VF.t()))


def _replace_by_gradient(
    logits_NV: Tensor, targets_N: Tensor, token_class_loss_weight: float
) -> tuple[Tensor, Tensor]:
    """Return (loss_N, nats_N); replace the logits by the gradient of the sum of losses."""
    class_nats_N = class_grad_NV = None
    if token_class_loss_weight:
        with torch.enable_grad():
            leaf_NV = logits_NV.detach().requires_grad_()
            class_nats_N = token_class_nats(leaf_NV, targets_N)
            (class_grad_NV,) = torch.autograd.grad(class_nats_N.sum(), leaf_NV)
    index_N1 = targets_N[:, None]
    torch.log_softmax(logits_NV, dim=-1, out=logits_NV)
    nats_N = -logits_NV.gather(1, index_N1)[:, 0]
    minus_one_N1 = torch.full_like(nats_N, -1.0)[:, None]
    logits_NV.exp_().scatter_add_(1, index_N1, minus_one_N1)  # softmax − one-hot
    if class_nats_N is None or class_grad_NV is None:
        return nats_N, nats_N
    logits_NV.add_(class_grad_NV, alpha=token_class_loss_weight)
    return nats_N + token_class_loss_weight * class_nats_N.detach(), nats_N


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

"""The training loss, compared with sums by hand."""

import math

import pytest
import torch

from poetgen.data.batches import Batch
from poetgen.data.vocab import BOS, EOS, PAD, Vocabulary
from poetgen.model.file import ModelBundle
from poetgen.model.scoring import token_nats
from poetgen.training.loss import TOKEN_CLASSES, token_class_nats, training_loss

VOCAB = Vocabulary.build([], min_count=1)
PROBABILITIES = [0.0, 0.0, 0.1, 0.2, 0.25, 0.05, 0.06, 0.04, 0.3]
"""The probabilities of the four special symbols, ，。？！ and one character."""


def test_token_classes_are_end_commas_and_stops() -> None:
    assert [[VOCAB.symbols[token] for token in ids] for ids in TOKEN_CLASSES] == [
        ["<eos>"],
        ["，"],
        ["。", "？", "！"],
    ]


def test_token_class_nats_sum_over_the_class() -> None:
    targets = torch.tensor([EOS, 4, 5, 6, 7, 8, 3])
    logits = torch.tensor(PROBABILITIES).clamp(min=1e-30).log().add(3.0).expand(7, -1)
    stop, character = -math.log(0.15), -math.log(0.5)
    expected = [-math.log(0.1), -math.log(0.25), stop, stop, stop, character, character]
    assert token_class_nats(logits, targets).tolist() == pytest.approx(expected, abs=1e-5)


def test_token_class_nats_are_finite() -> None:
    logits = torch.full((2, 9), -200.0)
    logits[0, EOS], logits[1, 8] = 200.0, 200.0
    found = token_class_nats(logits.requires_grad_(), torch.tensor([8, EOS]))
    torch.autograd.backward(found.sum())
    assert all(10 < nats < 20 for nats in found.tolist())
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_training_loss_is_the_mean_of_both(tiny_model: ModelBundle) -> None:
    network = tiny_model.network
    batch = Batch(
        torch.tensor([[BOS, 9, 4, 10], [BOS, 8, 5, PAD]]),
        torch.tensor([[9, 4, 10, 5], [8, 5, EOS, PAD]]),
    )
    nats = token_nats(network, batch)
    plain, found = training_loss(network, batch, 0.0)
    assert torch.equal(found, nats)
    assert float(plain.detach()) == pytest.approx(float(nats.detach().mean()))
    logits = torch.log_softmax(network(batch.tokens_BT)[0], dim=-1)
    probs = logits.exp()
    class_nats = [
        -math.log(1 - sum(float(probs[row, t, token]) for ids in TOKEN_CLASSES for token in ids))
        for row, t in ((0, 0), (0, 2), (1, 0))
    ]
    class_nats += [-float(logits[0, 1, 4]), -float(logits[1, 2, EOS])]
    class_nats += [-math.log(float(probs[row, t, [5, 6, 7]].sum())) for row, t in ((0, 3), (1, 1))]
    both, found = training_loss(network, batch, 2.5)
    assert torch.equal(found, nats)
    assert float(both.detach()) == pytest.approx(
        float(plain.detach()) + 2.5 * sum(class_nats) / 7, abs=1e-4
    )

"""What a step minimises, against sums done by hand."""

import math

import pytest
import torch

from poetgen.data.batches import Batch
from poetgen.data.vocab import BOS, EOS, PAD, Vocabulary
from poetgen.model.likelihood import token_nats
from poetgen.model.store import StoredModel
from poetgen.training.loss import KINDS, kind_nats, training_loss

VOCAB = Vocabulary.build([], min_count=1)
CHANCES = [0.0, 0.0, 0.1, 0.2, 0.25, 0.05, 0.06, 0.04, 0.3]
"""Of the four specials, ，。？！ and one character."""


def test_kinds_are_the_end_commas_and_stops() -> None:
    assert [[VOCAB.symbols[token] for token in ids] for ids in KINDS] == [
        ["<eos>"],
        ["，"],
        ["。", "？", "！"],
    ]


def test_nats_of_a_kind_are_of_the_sum_over_it() -> None:
    targets = torch.tensor([EOS, 4, 5, 6, 7, 8, 3])
    logits = torch.tensor(CHANCES).clamp(min=1e-30).log().add(3.0).expand(7, -1)
    of_stops, of_rest = -math.log(0.15), -math.log(0.5)
    expected = [-math.log(0.1), -math.log(0.25), of_stops, of_stops, of_stops, of_rest, of_rest]
    assert kind_nats(logits, targets).tolist() == pytest.approx(expected, abs=1e-5)


def test_nats_of_a_kind_stay_finite() -> None:
    logits = torch.full((2, 9), -200.0)
    logits[0, EOS], logits[1, 8] = 200.0, 200.0
    found = kind_nats(logits.requires_grad_(), torch.tensor([8, EOS]))
    torch.autograd.backward(found.sum())
    assert all(10 < nats < 20 for nats in found.tolist())
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_the_loss_is_the_mean_of_both(tiny_model: StoredModel) -> None:
    model = tiny_model.model
    batch = Batch(
        torch.tensor([[BOS, 9, 4, 10], [BOS, 8, 5, PAD]]),
        torch.tensor([[9, 4, 10, 5], [8, 5, EOS, PAD]]),
    )
    nats = token_nats(model, batch)
    plain, of_tokens = training_loss(model, batch, 0.0)
    assert torch.equal(of_tokens, nats)
    assert float(plain.detach()) == pytest.approx(float(nats.detach().mean()))
    logits = torch.log_softmax(model(batch.tokens_BT)[0], dim=-1)
    probs = logits.exp()
    kinds = [
        -math.log(1 - sum(float(probs[row, place, token]) for ids in KINDS for token in ids))
        for row, place in ((0, 0), (0, 2), (1, 0))
    ]
    kinds += [-float(logits[0, 1, 4]), -float(logits[1, 2, EOS])]
    kinds += [
        -math.log(float(probs[row, place, [5, 6, 7]].sum())) for row, place in ((0, 3), (1, 1))
    ]
    both, of_tokens = training_loss(model, batch, 2.5)
    assert torch.equal(of_tokens, nats)
    assert float(both.detach()) == pytest.approx(
        float(plain.detach()) + 2.5 * sum(kinds) / 7, abs=1e-4
    )

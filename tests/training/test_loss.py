"""The training loss, compared with sums by hand."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from poetgen.config import ModelConfig
from poetgen.data.batches import Batch
from poetgen.data.vocab import BOS, EOS, PAD, Vocabulary
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN
from poetgen.model.scoring import counted_logits, token_nats
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


def network_and_batch(*, tied: bool = True) -> tuple[PoemRNN, Batch]:
    """Return a network of 40 symbols without dropout, and poems of 9, 5 and 1 counted tokens."""
    torch.manual_seed(3)
    config = ModelConfig(
        embedding_size=12,
        hidden_size=16,
        tie_embeddings=tied,
        input_dropout=0.0,
        layer_dropout=0.0,
        output_dropout=0.0,
    )
    tokens = torch.randint(EOS, 40, (3, 10))
    targets = tokens[:, 1:].clone()
    targets[1, 5:], targets[2, 1:] = PAD, PAD
    return PoemRNN(40, config), Batch(tokens[:, :-1], targets)


def gradients(loss: Tensor, network: PoemRNN) -> dict[str, Tensor]:
    named = dict(network.named_parameters())
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


def reference_loss(network: PoemRNN, batch: Batch, weight: float) -> Tensor:
    """Return the loss by the operations of torch on all logits at once."""
    logits_NV, targets_N = counted_logits(network, batch)
    nats_N = cross_entropy(logits_NV, targets_N, reduction="none")
    return (nats_N + weight * token_class_nats(logits_NV, targets_N)).mean()


@pytest.mark.parametrize("num_block", [1, 4, 100])
@pytest.mark.parametrize("weight", [0.0, 2.5])
@pytest.mark.parametrize("tied", [True, False])
def test_training_loss_has_the_gradients_of_autograd(
    tied: bool, weight: float, num_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poetgen.training.loss._BLOCK_VALUES", 40 * num_block)
    network, batch = network_and_batch(tied=tied)
    loss, nats_N = training_loss(network, batch, weight)
    expected = reference_loss(network, batch, weight)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    assert torch.allclose(nats_N, token_nats(network, batch), atol=1e-6)
    assert not nats_N.requires_grad
    # A factor after the loss reaches the gradients.
    found, wanted = gradients(3 * loss, network), gradients(3 * expected, network)
    for name, gradient in found.items():
        assert torch.allclose(gradient, wanted[name], atol=1e-6), name


def test_training_loss_in_bf16_is_as_near_as_autograd() -> None:
    network, batch = network_and_batch()
    exact = gradients(reference_loss(network, batch, 0.0), network)

    def error(found: dict[str, Tensor]) -> float:
        return sum(float((found[name] - exact[name]).norm() / exact[name].norm()) for name in exact)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, nats_N = training_loss(network, batch, 0.0)
        by_autograd = reference_loss(network, batch, 0.0)
    assert nats_N.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(by_autograd.detach()), abs=2e-3)
    assert error(gradients(loss, network)) < 1.2 * error(gradients(by_autograd, network))


def test_training_loss_with_reuse_term_equals_cross_entropy() -> None:
    torch.manual_seed(2)
    config = ModelConfig(
        embedding_size=6, hidden_size=8, num_layers=1, verse_inputs=True, reuse_term="gated"
    )
    network = PoemRNN(40, config).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn_like(weight) * 0.4)
    tokens = torch.randint(8, 20, (3, 12))
    tokens[:, 0], tokens[:, 6] = BOS, 5
    targets = torch.roll(tokens, -1, 1)
    targets[:, -1] = PAD
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    loss, nats_N = training_loss(network, Batch(tokens, targets), 0.0)
    logits_BTV, _ = network(tokens)
    expected = cross_entropy(logits_BTV[:, :-1].flatten(0, 1), targets[:, :-1].flatten())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert nats_N.mean().item() == pytest.approx(loss.item(), rel=1e-6)
    pairs = zip(
        torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), strict=True
    )
    for found, reference in pairs:
        torch.testing.assert_close(found, reference, rtol=1e-4, atol=1e-6)

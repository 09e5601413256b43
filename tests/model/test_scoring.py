"""The likelihood by torch, by hand, and in agreement with the exact one."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from poetgen.config import ModelConfig
from poetgen.data.batches import Batch
from poetgen.data.corpus import Corpus
from poetgen.data.poem import Poem
from poetgen.data.vocab import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary
from poetgen.engine.scoring import Likelihood, score, total, unknown_surcharge
from poetgen.model.file import load_model
from poetgen.model.network import PoemRNN
from poetgen.model.scoring import token_nats, validate
from poetgen.prosody.marks import MARKS
from poetgen.runs import BUNDLED

CHARACTERS = "山水云月"
VOCAB = Vocabulary((*SPECIALS, *MARKS, *CHARACTERS))
KNOWN = Poem("山月云水，水云山月。")  # 8 Han characters, 2 marks
WITH_UNKNOWN = Poem("山雁云水，水云山鹭。")
LONG = Poem("山月云水，水云山月。" * 30)
DROPOUT = ModelConfig(
    embedding_size=8,
    hidden_size=10,
    num_layers=2,
    input_dropout=0.4,
    layer_dropout=0.4,
    output_dropout=0.4,
)


def fixed_network(probabilities: Sequence[float] | None = None) -> PoemRNN:
    """A network whose `probabilities` are the same at every position; None: uniform."""
    network = PoemRNN(len(VOCAB), DROPOUT)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        if probabilities is not None:
            network.output_bias.copy_(torch.tensor(probabilities).log())
    return network.eval()


def random_network() -> PoemRNN:
    torch.manual_seed(2)
    network = PoemRNN(len(VOCAB), DROPOUT)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.0, 0.5)
    return network.eval()


def test_token_nats_skip_padding() -> None:
    probabilities = [0.2, 0.05, 0.25, 0.05, 0.05, 0.05, 0.05, 0.05, 0.1, 0.05, 0.05, 0.05]
    shan = VOCAB.ids["山"]
    tokens = torch.tensor([[BOS, shan, PAD], [PAD, PAD, PAD], [BOS, PAD, PAD]])
    targets = torch.tensor([[shan, EOS, PAD], [PAD, PAD, PAD], [UNK, PAD, PAD]])
    nats = token_nats(fixed_network(probabilities), Batch(tokens, targets))
    expected = [-math.log(0.1), -math.log(0.25), -math.log(0.05)]
    assert nats.dtype == torch.float32
    assert nats.tolist() == pytest.approx(expected, abs=1e-5)


def test_token_nats_are_unchanged_by_padding() -> None:
    network = random_network()
    ids = VOCAB.encode_poem(KNOWN.text)
    tokens, targets = torch.tensor([ids[:-1]]), torch.tensor([ids[1:]])
    wide_tokens, wide_targets = torch.full((4, 40), PAD), torch.full((4, 40), PAD)
    wide_tokens[2, :11], wide_targets[2, :11] = tokens[0], targets[0]
    torch.testing.assert_close(
        token_nats(network, Batch(wide_tokens, wide_targets)),
        token_nats(network, Batch(tokens, targets)),
        rtol=0,
        atol=1e-5,
    )


def test_validate_sums_over_poems() -> None:
    found = validate(fixed_network(), [KNOWN, WITH_UNKNOWN], VOCAB)
    assert replace(found, nats=0.0) == Likelihood(2, 22, 2, 16, 0.0)
    assert found.nats == pytest.approx(22 * math.log(12) + 2 * math.log(20988), rel=1e-6)


@pytest.mark.parametrize("batch_tokens", [1, 60, 4096])
def test_validate_reads_poems_whole_in_any_batch(batch_tokens: int) -> None:
    network, poems = random_network(), [KNOWN, LONG, WITH_UNKNOWN, KNOWN, Poem("山。")]
    found = validate(network, poems, VOCAB, batch_tokens=batch_tokens)
    nats = 2 * unknown_surcharge(VOCAB)
    for poem in poems:
        ids = torch.tensor(VOCAB.encode_poem(poem.text))
        log_p = network(ids[None, :-1])[0][0].double().log_softmax(-1)
        nats -= log_p[torch.arange(len(ids) - 1), ids[1:]].sum().item()
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert (found.poems, found.tokens) == (5, 3 * 11 + 301 + 3)


def test_validate_restores_the_training_mode() -> None:
    network = random_network()
    expected = validate(network, [KNOWN], VOCAB)
    assert not network.training
    network.train()
    assert validate(network, [KNOWN], VOCAB) == expected
    assert network.training


def test_validate_reports_each_batch() -> None:
    validated: list[int] = []
    validate(fixed_network(), [KNOWN] * 5, VOCAB, batch_tokens=60, advance=validated.append)
    assert validated == [2, 2, 1]


def test_validate_no_poems() -> None:
    assert validate(fixed_network(), [], VOCAB) == Likelihood(0, 0, 0, 0, 0.0)


def test_validate_agrees_with_the_exact_likelihood(starter: Corpus) -> None:
    bundle = load_model(BUNDLED)
    poems = [poem for split in ("valid", "test") for poem in starter.splits[split]]
    poems += [KNOWN, WITH_UNKNOWN, Poem("龘山。")]
    found = validate(bundle.network, poems, bundle.vocab)
    exact = total(score(bundle.engine, poems, bundle.vocab))
    assert replace(found, nats=exact.nats) == exact
    assert found.nats_per_token == pytest.approx(exact.nats_per_token, abs=0.002)
    assert found.nats != exact.nats

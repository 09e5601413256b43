"""The likelihood convention, by hand, on networks with known probabilities."""

import math

import pytest
import torch

from poetgen.config import ModelConfig
from poetgen.data.batches import Batch
from poetgen.data.conditions import NO_CONDITIONS, Conditions, encode_conditions
from poetgen.data.poem import Poem
from poetgen.data.vocab import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary
from poetgen.model.network import PoemRNN
from poetgen.model.scoring import Likelihood, score, token_nats, total, unknown_surcharge
from poetgen.prosody.marks import MARKS

CHARACTERS = "山水云月"
VOCAB = Vocabulary((*SPECIALS, *MARKS, *CHARACTERS))
V = 4 + 4 + 4
KNOWN = Poem("山月云水，水云山月。")  # 8 Han characters, 2 marks
WITH_UNKNOWN = Poem("山雁云水，水云山鹭。")


def fixed_network(probabilities: list[float] | None = None) -> PoemRNN:
    """A network whose `probabilities` are the same at every position; None: uniform."""
    config = ModelConfig(
        embedding_size=5,
        hidden_size=6,
        num_layers=2,
        input_dropout=0.5,
        layer_dropout=0.5,
        output_dropout=0.5,
    )
    network = PoemRNN(V, config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        if probabilities is not None:
            network.output_bias.copy_(torch.tensor(probabilities).log())
    return network.eval()


def random_network(vocab_size: int = V) -> PoemRNN:
    torch.manual_seed(2)
    config = ModelConfig(
        embedding_size=8,
        hidden_size=10,
        num_layers=2,
        input_dropout=0.4,
        layer_dropout=0.4,
        output_dropout=0.4,
    )
    network = PoemRNN(vocab_size, config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.0, 0.5)
    return network.eval()


def verse(num_couplets: int, offset: int = 0) -> Poem:
    """Couplets of 12 symbols: two lines of five characters with their marks."""
    text = "".join(CHARACTERS[(offset + i * i + i // 3) % 4] for i in range(10 * num_couplets))
    couplets = [text[i : i + 10] for i in range(0, len(text), 10)]
    return Poem("".join(f"{c[:5]}，{c[5:]}。" for c in couplets))


def test_score_of_a_uniform_network() -> None:
    (found,) = score(fixed_network(), [KNOWN], VOCAB)
    assert (found.poems, found.tokens, found.unknown_tokens, found.hanzi) == (1, 11, 0, 8)
    assert found.nats == pytest.approx(11 * math.log(12), abs=1e-5)
    assert found.nats_per_token == pytest.approx(math.log(12), abs=1e-6)
    assert found.perplexity == pytest.approx(12, abs=1e-4)
    assert found.bits_per_hanzi == pytest.approx(11 * math.log2(12) / 8, abs=1e-5)


def test_score_sums_symbol_probabilities() -> None:
    # <pad> <bos> <eos> <unk> ，。？！ 山 水 云 月
    probabilities = [
        1 / 64,
        1 / 64,
        1 / 32,
        1 / 16,
        1 / 8,
        1 / 8,
        1 / 32,
        1 / 32,
        1 / 4,
        1 / 8,
        1 / 16,
        1 / 8,
    ]
    assert sum(probabilities) == 1
    (found,) = score(fixed_network(probabilities), [Poem("山山水水，云云月山？")], VOCAB)
    bits = 3 * 2 + 2 * 3 + 3 + 2 * 4 + 3 + 5 + 5  # 山山山 水水 ， 云云 月 ？ end
    assert found.nats == pytest.approx(bits * math.log(2), abs=1e-5)
    assert found.bits_per_hanzi == pytest.approx(bits / 8, abs=1e-5)


def test_score_of_unknown_characters() -> None:
    assert unknown_surcharge(VOCAB) == pytest.approx(math.log(20992 - 4))
    (found,) = score(fixed_network(), [WITH_UNKNOWN], VOCAB)
    assert (found.tokens, found.unknown_tokens, found.hanzi) == (11, 2, 8)
    assert found.nats == pytest.approx(11 * math.log(12) + 2 * math.log(20988), abs=1e-4)


def test_surcharge_grows_with_fewer_characters() -> None:
    """The surcharge shrinks by the characters that a vocabulary contains."""
    small = Vocabulary((*SPECIALS, *MARKS))
    assert unknown_surcharge(small) == pytest.approx(math.log(20992))
    assert unknown_surcharge(VOCAB) < unknown_surcharge(small)


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


def test_score_order_and_batching() -> None:
    network = random_network()
    poems = [verse(2, offset) for offset in range(7)] + [verse(9), WITH_UNKNOWN, verse(4), KNOWN]
    single = [score(network, [poem], VOCAB)[0] for poem in poems]
    for batch_tokens in (1, 60, 4096):
        batched = score(network, poems, VOCAB, batch_tokens=batch_tokens)
        assert [s.tokens for s in batched] == [len(poem.text) + 1 for poem in poems]
        assert [s.nats for s in batched] == pytest.approx([s.nats for s in single], abs=1e-3)
    assert len({round(s.nats, 2) for s in single}) > 5


@pytest.mark.parametrize("num_couplets", [21, 22, 50])
def test_score_of_a_long_poem_is_not_split(num_couplets: int) -> None:
    network, poem = random_network(), verse(num_couplets)
    ids = torch.tensor(VOCAB.encode_poem(poem.text))
    assert (len(ids) > 257) == (num_couplets > 21)
    logits = network(ids[:-1].unsqueeze(0))[0][0].double()
    expected = -logits.log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]].sum().item()
    (found,) = score(network, [poem, KNOWN], VOCAB)[:1]
    assert (found.tokens, found.hanzi) == (12 * num_couplets + 1, 10 * num_couplets)
    assert found.nats == pytest.approx(expected, rel=1e-5)


def test_score_restores_the_training_mode() -> None:
    network = random_network()
    expected = score(network, [KNOWN], VOCAB)
    assert not network.training
    network.train()
    assert score(network, [KNOWN], VOCAB) == expected
    assert network.training


CONDITIONED = Vocabulary((*VOCAB.symbols, "<form:五绝>", "<title>", "<author:竹客>"))
CONDITIONS = [
    Conditions("五绝"),
    Conditions(title="山月"),
    NO_CONDITIONS,
    Conditions("五绝", "竹客", "水云"),
    Conditions(author="竹客"),
]
POEMS = [verse(9), KNOWN, verse(2, 1), WITH_UNKNOWN, verse(4)]


def test_score_without_conditions_is_the_default() -> None:
    network = random_network(len(CONDITIONED))
    plain = score(network, POEMS, CONDITIONED)
    assert score(network, POEMS, CONDITIONED, conditions=()) == plain
    assert score(network, POEMS, CONDITIONED, conditions=[NO_CONDITIONS] * len(POEMS)) == plain
    for poem, found in zip(POEMS, plain, strict=True):
        ids = torch.tensor([CONDITIONED.encode_poem(poem.text)])
        nats = token_nats(network, Batch(ids[:, :-1], ids[:, 1:])).double().sum().item()
        nats += found.unknown_tokens * unknown_surcharge(CONDITIONED)
        assert found.nats == pytest.approx(nats, rel=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 60, 4096])
def test_score_does_not_count_conditions(
    batch_tokens: int,
) -> None:
    network = random_network(len(CONDITIONED))
    plain = score(network, POEMS, CONDITIONED)
    found = score(network, POEMS, CONDITIONED, conditions=CONDITIONS, batch_tokens=batch_tokens)
    for poem, condition, with_them, without in zip(POEMS, CONDITIONS, found, plain, strict=True):
        assert with_them.tokens == without.tokens == len(poem.text) + 1
        assert with_them.unknown_tokens == without.unknown_tokens
        assert with_them.hanzi == without.hanzi
        prefix = encode_conditions(condition, CONDITIONED)
        ids = torch.tensor(prefix + CONDITIONED.encode_poem(poem.text))
        log_p = network(ids[:-1].unsqueeze(0))[0][0].double().log_softmax(-1)
        positions = torch.arange(len(prefix), len(ids) - 1)
        expected = -log_p[positions, ids[positions + 1]].sum().item()
        expected += without.unknown_tokens * unknown_surcharge(CONDITIONED)
        assert with_them.nats == pytest.approx(expected, rel=1e-5)
        assert (abs(with_them.nats - without.nats) > 1e-3) is bool(condition)


def test_score_ignores_unsupported_conditions() -> None:
    network = random_network()
    conditions = [Conditions("五绝", "竹客", "山月")] * len(POEMS)
    assert score(network, POEMS, VOCAB, conditions=conditions) == score(network, POEMS, VOCAB)


@pytest.mark.parametrize("num_conditions", [1, len(POEMS) - 1, len(POEMS) + 1])
def test_score_requires_one_condition_per_poem(num_conditions: int) -> None:
    conditions = [Conditions("五绝")] * num_conditions
    with pytest.raises(ValueError, match="zip"):
        score(random_network(len(CONDITIONED)), POEMS, CONDITIONED, conditions=conditions)


def test_score_of_no_poems() -> None:
    assert score(fixed_network(), [], VOCAB) == []
    nothing = total([])
    assert nothing == Likelihood(poems=0, tokens=0, unknown_tokens=0, hanzi=0, nats=0.0)
    assert (nothing.nats_per_token, nothing.bits_per_hanzi, nothing.perplexity) == (0.0, 0.0, 1.0)


def test_score_reports_each_batch() -> None:
    scored: list[int] = []
    score(fixed_network(), [KNOWN] * 5, VOCAB, batch_tokens=60, advance=scored.append)
    assert scored == [2, 2, 1]


def test_total_divides_sums_once() -> None:
    short = Likelihood(poems=1, tokens=10, unknown_tokens=1, hanzi=8, nats=10.0)
    long = Likelihood(poems=1, tokens=90, unknown_tokens=2, hanzi=72, nats=270.0)
    both = total([short, long])
    assert both == Likelihood(poems=2, tokens=100, unknown_tokens=3, hanzi=80, nats=280.0)
    assert both.nats_per_token == pytest.approx(2.8)  # the mean of the two rates would be 2.0
    assert both.perplexity == pytest.approx(math.exp(2.8))
    assert both.bits_per_hanzi == pytest.approx(280 / math.log(2) / 80)


def test_perplexity_overflow_is_infinite() -> None:
    assert Likelihood(1, 1, 0, 1, 800.0).perplexity == math.inf

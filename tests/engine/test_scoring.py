"""The likelihood convention, by hand, on networks with known probabilities."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from poetgen.config import ModelConfig
from poetgen.data.conditions import NO_CONDITIONS, Conditions, encode_conditions
from poetgen.data.poem import Poem
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.engine import scoring
from poetgen.engine.network import Network, NetworkWeights
from poetgen.engine.scoring import BATCH_SIZE, Likelihood, score, total, unknown_surcharge
from poetgen.model.format import weight_shapes
from poetgen.prosody.marks import MARKS

CHARACTERS = "山水云月"
VOCAB = Vocabulary((*SPECIALS, *MARKS, *CHARACTERS))
V = 4 + 4 + 4
KNOWN = Poem("山月云水，水云山月。")  # 8 Han characters, 2 marks
WITH_UNKNOWN = Poem("山雁云水，水云山鹭。")
NEAR = 1e-8
"""Relative error of a likelihood by hand: exp and log of the engine are accurate to 1e-9."""


def fixed_network(probabilities: Sequence[float] | None = None) -> Network:
    """A network whose `probabilities` are the same at every position; None: uniform."""
    config = ModelConfig(embedding_size=5, hidden_size=6, num_layers=2)
    weights = {name: np.zeros(shape) for name, shape in weight_shapes(V, config).items()}
    if probabilities is not None:
        weights["output_bias"] = np.log(probabilities)
    return Network(NetworkWeights.from_arrays(weights, config), config)


def random_network(vocab_size: int = V) -> Network:
    config = ModelConfig(embedding_size=8, hidden_size=10, num_layers=2)
    random = np.random.default_rng(2)
    weights: dict[str, NDArray[np.float32]] = {
        name: random.normal(0.0, 0.5, shape).astype(np.float32)
        for name, shape in weight_shapes(vocab_size, config).items()
    }
    return Network(NetworkWeights.from_arrays(weights, config), config)


def nats_by_position(network: Network, ids: Sequence[int]) -> list[float]:
    """−ln p of each id after the first, read alone."""
    state, nats = network.zero_state(1), []
    for before, after in pairwise(ids):
        features, state = network.step(np.array([before]), state)
        (logits_V,) = network.logits(features)
        nats.append(math.log(np.exp(logits_V).sum()) - float(logits_V[after]))
    return nats


def verse(num_couplets: int, offset: int = 0) -> Poem:
    """Couplets of 12 symbols: two lines of five characters with their marks."""
    text = "".join(CHARACTERS[(offset + i * i + i // 3) % 4] for i in range(10 * num_couplets))
    couplets = [text[i : i + 10] for i in range(0, len(text), 10)]
    return Poem("".join(f"{c[:5]}，{c[5:]}。" for c in couplets))


def test_score_of_a_uniform_network() -> None:
    (found,) = score(fixed_network(), [KNOWN], VOCAB)
    assert (found.poems, found.tokens, found.unknown_tokens, found.hanzi) == (1, 11, 0, 8)
    assert found.nats == pytest.approx(11 * math.log(12), rel=NEAR)
    assert found.nats_per_token == pytest.approx(math.log(12), rel=NEAR)
    assert found.perplexity == pytest.approx(12, rel=10 * NEAR)
    assert found.bits_per_hanzi == pytest.approx(11 * math.log2(12) / 8, rel=NEAR)


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
    assert found.nats == pytest.approx(bits * math.log(2), abs=11 / 1024)
    assert found.bits_per_hanzi == pytest.approx(bits / 8, abs=11 / 1024)


def test_score_of_unknown_characters() -> None:
    assert unknown_surcharge(VOCAB) == pytest.approx(math.log(20992 - 4), rel=NEAR)
    (found,) = score(fixed_network(), [WITH_UNKNOWN], VOCAB)
    assert (found.tokens, found.unknown_tokens, found.hanzi) == (11, 2, 8)
    assert found.nats == pytest.approx(11 * math.log(12) + 2 * math.log(20988), rel=NEAR)


def test_surcharge_grows_with_fewer_characters() -> None:
    """The surcharge shrinks by the characters that a vocabulary contains."""
    small = Vocabulary((*SPECIALS, *MARKS))
    assert unknown_surcharge(small) == pytest.approx(math.log(20992), rel=NEAR)
    assert unknown_surcharge(VOCAB) < unknown_surcharge(small)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 64])
def test_score_is_the_same_in_any_batch(monkeypatch: pytest.MonkeyPatch, batch_size: int) -> None:
    network = random_network()
    poems = [verse(2, offset) for offset in range(7)] + [verse(9), WITH_UNKNOWN, verse(4), KNOWN]
    single = [score(network, [poem], VOCAB)[0] for poem in poems]
    monkeypatch.setattr(scoring, "BATCH_SIZE", batch_size)
    assert score(network, poems, VOCAB) == single
    assert score(network, poems[::-1], VOCAB) == single[::-1]
    assert [found.tokens for found in single] == [len(poem.text) + 1 for poem in poems]
    assert len({round(found.nats, 2) for found in single}) > 5


@pytest.mark.parametrize("num_couplets", [21, 22, 50])
def test_score_of_a_long_poem_is_not_split(num_couplets: int) -> None:
    network, poem = random_network(), verse(num_couplets)
    ids = VOCAB.encode_poem(poem.text)
    assert (len(ids) > 257) == (num_couplets > 21)
    (found,) = score(network, [poem, KNOWN], VOCAB)[:1]
    assert (found.tokens, found.hanzi) == (12 * num_couplets + 1, 10 * num_couplets)
    assert found.nats == pytest.approx(math.fsum(nats_by_position(network, ids)), rel=NEAR)


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
        nats = math.fsum(nats_by_position(network, CONDITIONED.encode_poem(poem.text)))
        nats += found.unknown_tokens * unknown_surcharge(CONDITIONED)
        assert found.nats == pytest.approx(nats, rel=NEAR)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_score_does_not_count_conditions(monkeypatch: pytest.MonkeyPatch, batch_size: int) -> None:
    monkeypatch.setattr(scoring, "BATCH_SIZE", batch_size)
    network = random_network(len(CONDITIONED))
    plain = score(network, POEMS, CONDITIONED)
    found = score(network, POEMS, CONDITIONED, conditions=CONDITIONS)
    for poem, condition, with_them, without in zip(POEMS, CONDITIONS, found, plain, strict=True):
        assert with_them.tokens == without.tokens == len(poem.text) + 1
        assert with_them.unknown_tokens == without.unknown_tokens
        assert with_them.hanzi == without.hanzi
        prefix = encode_conditions(condition, CONDITIONED)
        nats = nats_by_position(network, prefix + CONDITIONED.encode_poem(poem.text))
        expected = math.fsum(nats[len(prefix) :])
        expected += without.unknown_tokens * unknown_surcharge(CONDITIONED)
        assert with_them.nats == pytest.approx(expected, rel=NEAR)
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


def test_score_reports_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BATCH_SIZE > 2
    monkeypatch.setattr(scoring, "BATCH_SIZE", 2)
    scored: list[int] = []
    score(fixed_network(), [KNOWN] * 5, VOCAB, advance=scored.append)
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

"""The likelihood convention, by hand, on networks whose probabilities are known."""

import math

import pytest
import torch

from poetgen.data.batches import Batch
from poetgen.data.conditions import NO_CONDITIONS, Conditions, encode_conditions
from poetgen.data.poem import MARKS, Poem
from poetgen.data.vocab import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary
from poetgen.model.likelihood import Likelihood, score, token_nats, total, unknown_surcharge
from poetgen.model.lstm import PoemLSTM

CHARACTERS = "山水云月"
VOCAB = Vocabulary((*SPECIALS, *MARKS, *CHARACTERS))
V = 4 + 4 + 4
KNOWN = Poem("山月云水，水云山月。")  # 8 Han characters, 2 marks
WITH_UNKNOWN = Poem("山雁云水，水云山鹭。")


def fixed_model(probabilities: list[float] | None = None) -> PoemLSTM:
    """A network that gives every symbol the same probability everywhere: uniform, or as listed."""
    model = PoemLSTM(
        V,
        embedding_size=5,
        hidden_size=6,
        num_layers=2,
        input_dropout=0.5,
        layer_dropout=0.5,
        output_dropout=0.5,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        if probabilities is not None:
            model.output_bias.copy_(torch.tensor(probabilities).log())
    return model.eval()


def random_model(vocab_size: int = V) -> PoemLSTM:
    torch.manual_seed(2)
    model = PoemLSTM(
        vocab_size,
        embedding_size=8,
        hidden_size=10,
        num_layers=2,
        input_dropout=0.4,
        layer_dropout=0.4,
        output_dropout=0.4,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.5)
    return model.eval()


def verse(num_couplets: int, turn: int = 0) -> Poem:
    """Couplets of 12 symbols with a poem's rhythm and no poem's sense."""
    text = "".join(CHARACTERS[(turn + i * i + i // 3) % 4] for i in range(10 * num_couplets))
    couplets = [text[i : i + 10] for i in range(0, len(text), 10)]
    return Poem("".join(f"{c[:5]}，{c[5:]}。" for c in couplets))


def test_uniform_model_costs_ln_v_for_each_character_mark_and_end() -> None:
    (found,) = score(fixed_model(), [KNOWN], VOCAB)
    assert (found.poems, found.tokens, found.unknown_tokens, found.hanzi) == (1, 11, 0, 8)
    assert found.nats == pytest.approx(11 * math.log(12), abs=1e-5)
    assert found.nats_per_token == pytest.approx(math.log(12), abs=1e-6)
    assert found.perplexity == pytest.approx(12, abs=1e-4)
    assert found.bits_per_hanzi == pytest.approx(11 * math.log2(12) / 8, abs=1e-5)


def test_each_symbol_costs_its_own_probability() -> None:
    # <pad> <bos> <eos> <unk> ，。？！ 山 水 云 月
    chances = [
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
    assert sum(chances) == 1
    (found,) = score(fixed_model(chances), [Poem("山山水水，云云月山？")], VOCAB)
    bits = 3 * 2 + 2 * 3 + 3 + 2 * 4 + 3 + 5 + 5  # 山山山 水水 ， 云云 月 ？ end
    assert found.nats == pytest.approx(bits * math.log(2), abs=1e-5)
    assert found.bits_per_hanzi == pytest.approx(bits / 8, abs=1e-5)


def test_unknown_character_costs_unk_and_the_rest_of_the_block() -> None:
    assert unknown_surcharge(VOCAB) == pytest.approx(math.log(20992 - 4))
    (found,) = score(fixed_model(), [WITH_UNKNOWN], VOCAB)
    assert (found.tokens, found.unknown_tokens, found.hanzi) == (11, 2, 8)
    assert found.nats == pytest.approx(11 * math.log(12) + 2 * math.log(20988), abs=1e-4)


def test_smaller_vocabulary_buys_nothing() -> None:
    """Uniform over 8 marks and specials and the block: both vocabularies say the same."""
    small = Vocabulary((*SPECIALS, *MARKS))
    assert unknown_surcharge(small) == pytest.approx(math.log(20992))
    assert unknown_surcharge(VOCAB) < unknown_surcharge(small)


def test_token_nats_go_row_by_row_and_skip_padding() -> None:
    chances = [0.2, 0.05, 0.25, 0.05, 0.05, 0.05, 0.05, 0.05, 0.1, 0.05, 0.05, 0.05]
    shan = VOCAB.ids["山"]
    tokens = torch.tensor([[BOS, shan, PAD], [PAD, PAD, PAD], [BOS, PAD, PAD]])
    targets = torch.tensor([[shan, EOS, PAD], [PAD, PAD, PAD], [UNK, PAD, PAD]])
    nats = token_nats(fixed_model(chances), Batch(tokens, targets))
    expected = [-math.log(0.1), -math.log(0.25), -math.log(0.05)]
    assert nats.dtype == torch.float32
    assert nats.tolist() == pytest.approx(expected, abs=1e-5)


def test_more_padding_same_nats() -> None:
    model = random_model()
    ids = VOCAB.encode_poem(KNOWN.text)
    tokens, targets = torch.tensor([ids[:-1]]), torch.tensor([ids[1:]])
    wide_tokens, wide_targets = torch.full((4, 40), PAD), torch.full((4, 40), PAD)
    wide_tokens[2, :11], wide_targets[2, :11] = tokens[0], targets[0]
    torch.testing.assert_close(
        token_nats(model, Batch(wide_tokens, wide_targets)),
        token_nats(model, Batch(tokens, targets)),
        rtol=0,
        atol=1e-5,
    )


def test_scores_come_in_the_order_of_the_poems_whatever_the_batches() -> None:
    model = random_model()
    poems = [verse(2, turn) for turn in range(7)] + [verse(9), WITH_UNKNOWN, verse(4), KNOWN]
    alone = [score(model, [poem], VOCAB)[0] for poem in poems]
    for batch_tokens in (1, 60, 4096):
        together = score(model, poems, VOCAB, batch_tokens=batch_tokens)
        assert [s.tokens for s in together] == [len(poem.text) + 1 for poem in poems]
        assert [s.nats for s in together] == pytest.approx([s.nats for s in alone], abs=1e-3)
    assert len({round(s.nats, 2) for s in alone}) > 5


@pytest.mark.parametrize("num_couplets", [21, 22, 50])
def test_long_poem_is_scored_whole_in_one_breath(num_couplets: int) -> None:
    model, poem = random_model(), verse(num_couplets)
    ids = torch.tensor(VOCAB.encode_poem(poem.text))
    assert (len(ids) > 257) == (num_couplets > 21)
    logits = model(ids[:-1].unsqueeze(0))[0][0].double()
    expected = -logits.log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]].sum().item()
    (found,) = score(model, [poem, KNOWN], VOCAB)[:1]
    assert (found.tokens, found.hanzi) == (12 * num_couplets + 1, 10 * num_couplets)
    assert found.nats == pytest.approx(expected, rel=1e-5)


def test_scoring_leaves_the_mode_alone_and_drops_nothing_out() -> None:
    model = random_model()
    expected = score(model, [KNOWN], VOCAB)
    assert not model.training
    model.train()
    assert score(model, [KNOWN], VOCAB) == expected
    assert model.training


TOLD = Vocabulary((*VOCAB.symbols, "<form:五绝>", "<title>", "<author:竹客>"))
GIVEN = [
    Conditions("五绝"),
    Conditions(title="山月"),
    NO_CONDITIONS,
    Conditions("五绝", "竹客", "水云"),
    Conditions(author="竹客"),
]
POEMS = [verse(9), KNOWN, verse(2, 1), WITH_UNKNOWN, verse(4)]


def test_nothing_given_is_as_if_there_were_no_conditions() -> None:
    model = random_model(len(TOLD))
    plain = score(model, POEMS, TOLD)
    assert score(model, POEMS, TOLD, given=()) == plain
    assert score(model, POEMS, TOLD, given=[NO_CONDITIONS] * len(POEMS)) == plain
    for poem, found in zip(POEMS, plain, strict=True):
        ids = torch.tensor([TOLD.encode_poem(poem.text)])
        nats = token_nats(model, Batch(ids[:, :-1], ids[:, 1:])).double().sum().item()
        nats += found.unknown_tokens * unknown_surcharge(TOLD)
        assert found.nats == pytest.approx(nats, rel=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 60, 4096])
def test_each_poem_is_scored_after_its_own_conditions_which_count_for_nothing(
    batch_tokens: int,
) -> None:
    model = random_model(len(TOLD))
    plain = score(model, POEMS, TOLD)
    found = score(model, POEMS, TOLD, given=GIVEN, batch_tokens=batch_tokens)
    for poem, conditions, with_them, without in zip(POEMS, GIVEN, found, plain, strict=True):
        assert with_them.tokens == without.tokens == len(poem.text) + 1
        assert with_them.unknown_tokens == without.unknown_tokens
        assert with_them.hanzi == without.hanzi
        told = encode_conditions(conditions, TOLD)
        ids = torch.tensor(told + TOLD.encode_poem(poem.text))
        log_p = model(ids[:-1].unsqueeze(0))[0][0].double().log_softmax(-1)
        places = torch.arange(len(told), len(ids) - 1)
        expected = -log_p[places, ids[places + 1]].sum().item()
        expected += without.unknown_tokens * unknown_surcharge(TOLD)
        assert with_them.nats == pytest.approx(expected, rel=1e-5)
        assert (abs(with_them.nats - without.nats) > 1e-3) is bool(conditions)


def test_what_a_model_has_no_symbol_for_changes_no_score() -> None:
    model = random_model()
    given = [Conditions("五绝", "竹客", "山月")] * len(POEMS)
    assert score(model, POEMS, VOCAB, given=given) == score(model, POEMS, VOCAB)


@pytest.mark.parametrize("num_given", [1, len(POEMS) - 1, len(POEMS) + 1])
def test_conditions_that_do_not_match_the_poems_are_a_mistake(num_given: int) -> None:
    given = [Conditions("五绝")] * num_given
    with pytest.raises(ValueError, match="zip"):
        score(random_model(len(TOLD)), POEMS, TOLD, given=given)


def test_no_poems_no_scores() -> None:
    assert score(fixed_model(), [], VOCAB) == []
    nothing = total([])
    assert nothing == Likelihood(poems=0, tokens=0, unknown_tokens=0, hanzi=0, nats=0.0)
    assert (nothing.nats_per_token, nothing.bits_per_hanzi, nothing.perplexity) == (0.0, 0.0, 1.0)


def test_nats_and_tokens_are_summed_apart_then_divided() -> None:
    short = Likelihood(poems=1, tokens=10, unknown_tokens=1, hanzi=8, nats=10.0)
    long = Likelihood(poems=1, tokens=90, unknown_tokens=2, hanzi=72, nats=270.0)
    both = total([short, long])
    assert both == Likelihood(poems=2, tokens=100, unknown_tokens=3, hanzi=80, nats=280.0)
    assert both.nats_per_token == pytest.approx(2.8)  # the mean of the two rates would be 2.0
    assert both.perplexity == pytest.approx(math.exp(2.8))
    assert both.bits_per_hanzi == pytest.approx(280 / math.log(2) / 80)


def test_hopeless_model_has_infinite_perplexity() -> None:
    assert Likelihood(1, 1, 0, 1, 800.0).perplexity == math.inf

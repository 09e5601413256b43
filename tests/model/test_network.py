"""Fused sequences and single steps agree, and a row depends on neither its batch nor its padding."""

import pytest
import torch
from torch import Tensor, nn

from poetgen.config import Cell, ModelConfig
from poetgen.data.prefix import RELATIONS
from poetgen.data.vocab import PAD
from poetgen.model.network import PoemRNN, State

VOCAB = 23
TOLERANCE = 1e-5

shapes = pytest.mark.parametrize(
    ("cell", "tied", "num_layers"),
    [
        (cell, tied, layers)
        for cell in ("lstm", "gru", "rnn")
        for tied in (True, False)
        for layers in (1, 3)
    ],
)


def random_network(
    cell: Cell = "lstm", tied: bool = True, num_layers: int = 2, dropout: float = 0.0
) -> PoemRNN:
    torch.manual_seed(5)
    config = ModelConfig(
        cell=cell,
        embedding_size=7,
        hidden_size=12,
        num_layers=num_layers,
        tie_embeddings=tied,
        input_dropout=dropout,
        layer_dropout=dropout,
        output_dropout=dropout,
    )
    network = PoemRNN(VOCAB, config)
    with torch.no_grad():
        # Fresh weights give nearly flat logits, which could hide an error.
        for parameter in network.parameters():
            parameter.normal_(0.0, 0.3)
    return network.eval().requires_grad_(False)


def random_tokens(num_rows: int, num_positions: int, seed: int = 6) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(1, VOCAB, (num_rows, num_positions), generator=random)


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)


def assert_same_states(ours: State, theirs: State) -> None:
    assert [len(layer) for layer in ours] == [len(layer) for layer in theirs]
    for our_layer, their_layer in zip(ours, theirs, strict=True):
        for our_part, their_part in zip(our_layer, their_layer, strict=True):
            assert_same(our_part, their_part)


@shapes
def test_forward_equals_steps(cell: Cell, tied: bool, num_layers: int) -> None:
    network = random_network(cell, tied, num_layers)
    tokens = random_tokens(3, 17)
    whole, whole_state = network(tokens)
    state = network.zero_state(3)
    columns = []
    for x in network.inputs(tokens).unbind(dim=1):
        features, state = network.step(x, state)
        columns.append(network.logits(features))
    assert whole.shape == (3, 17, VOCAB)
    assert whole.dtype == torch.float32
    assert whole.std() > 0.1
    assert_same(torch.stack(columns, 1), whole)
    assert_same_states(state, whole_state)


@shapes
def test_forward_in_two_parts_equals_one(cell: Cell, tied: bool, num_layers: int) -> None:
    network = random_network(cell, tied, num_layers)
    tokens = random_tokens(2, 11)
    whole, whole_state = network(tokens)
    first, between = network(tokens[:, :4])
    second, state = network(tokens[:, 4:], between)
    assert_same(torch.cat([first, second], 1), whole)
    assert_same_states(state, whole_state)


@shapes
def test_forward_is_unchanged_by_padding(cell: Cell, tied: bool, num_layers: int) -> None:
    network = random_network(cell, tied, num_layers)
    tokens = random_tokens(2, 9)
    padded = torch.full((5, 25), PAD)
    padded[1:3, :9] = tokens
    assert_same(network(padded)[0][1:3, :9], network(tokens)[0])


@shapes
def test_forward_batch_equals_single_rows(cell: Cell, tied: bool, num_layers: int) -> None:
    network = random_network(cell, tied, num_layers)
    tokens = random_tokens(4, 8)
    together = network(tokens)[0]
    for row in range(4):
        assert_same(network(tokens[row : row + 1])[0][0], together[row])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_logits_depend_on_past_tokens_only(cell: Cell) -> None:
    network = random_network(cell)
    tokens = random_tokens(1, 10)
    other = tokens.clone()
    other[0, 6] = 1 + tokens[0, 6] % (VOCAB - 1)
    before, after = network(tokens)[0][0], network(other)[0][0]
    torch.testing.assert_close(before[:6], after[:6], rtol=0, atol=0)
    assert bool(((before[6:] - after[6:]).abs().amax(dim=-1) > 1e-4).all())


@pytest.mark.parametrize(("cell", "parts"), [("lstm", 2), ("gru", 1), ("rnn", 1)])
def test_zero_state_is_the_default(cell: Cell, parts: int) -> None:
    network = random_network(cell, num_layers=3)
    zero = network.zero_state(2)
    assert [[tuple(part.shape) for part in layer] for layer in zero] == [[(2, 12)] * parts] * 3
    assert not any(part.any() for layer in zero for part in layer)
    tokens = random_tokens(2, 3)
    torch.testing.assert_close(network(tokens, zero)[0], network(tokens)[0], rtol=0, atol=0)


def test_network_number_of_weights() -> None:
    def count(cell: Cell, *, tied: bool) -> int:
        config = ModelConfig(cell=cell, embedding_size=6, hidden_size=8, tie_embeddings=tied)
        return sum(parameter.numel() for parameter in PoemRNN(11, config).parameters())

    embedding, output_bias, projection, output = 11 * 6, 11, 8 * 6 + 6, 11 * 8
    rows = (8 * (6 + 8 + 2)) + (8 * (8 + 8 + 2))  # one gate of both layers, with two biases each
    assert count("lstm", tied=True) == embedding + 4 * rows + projection + output_bias
    assert count("lstm", tied=False) == embedding + 4 * rows + output + output_bias
    assert count("gru", tied=True) == embedding + 3 * rows + projection + output_bias
    assert count("rnn", tied=True) == embedding + rows + projection + output_bias


def test_tied_output_is_the_embedding() -> None:
    tied, untied = random_network(tied=True), random_network(tied=False)
    features = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    assert_same(tied.logits(features), features @ tied.embedding.T + tied.output_bias)
    assert tied.output is None
    assert untied.output is not None
    assert untied.output.shape == (VOCAB, 12)


def test_new_lstm_has_an_open_forget_gate() -> None:
    network = PoemRNN(9, ModelConfig(embedding_size=4, hidden_size=3, num_layers=2))
    for layer in network.layers:
        assert isinstance(layer, nn.LSTM)
        biases = layer.all_weights[0][2] + layer.all_weights[0][3]
        assert biases[3:6].tolist() == [1.0, 1.0, 1.0]  # i, f, g, o
        assert not (biases[:3] == 1).any()


def test_dropout_acts_in_training_mode_only() -> None:
    network = random_network(dropout=0.5)
    tokens = random_tokens(2, 6)
    expected = network(tokens)[0]
    assert_same(network(tokens)[0], expected)
    x = network.inputs(tokens)[:, 0]
    first = network.step(x, network.zero_state(2))[0]
    network.train()
    assert (network(tokens)[0] - expected).abs().max() > 1e-2
    assert not torch.equal(network(tokens)[0], network(tokens)[0])
    assert_same(network.step(x, network.zero_state(2))[0], first)


def test_dropout_positions_in_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def spy(x: Tensor, rate: float) -> Tensor:
        calls.append((tuple(x.shape), rate))
        return x

    monkeypatch.setattr("poetgen.model.network.dropout", spy)
    random_network(dropout=0.3).train()(random_tokens(2, 5))
    assert calls == [((2, 5, 7), 0.3), ((2, 5, 12), 0.3), ((2, 5, 12), 0.3)]


def test_seed_fixes_weights_and_all_get_gradients() -> None:
    def fresh() -> PoemRNN:
        torch.manual_seed(8)
        config = ModelConfig(embedding_size=7, hidden_size=12, num_layers=2)
        return PoemRNN(VOCAB, config).eval()

    one, two = fresh(), fresh()
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, two.state_dict()[name]), name
    logits = one(random_tokens(3, 6))[0]
    torch.autograd.backward(logits.square().sum())
    for name, parameter in one.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_network_reports_vocabulary_size_and_device() -> None:
    network = random_network()
    assert len(network.embedding) == VOCAB
    assert network.device == torch.device("cpu")


def verse_network(**changes: object) -> PoemRNN:
    """Return a network with verse inputs and a reuse term, whose weights are all random."""
    config = ModelConfig(embedding_size=6, hidden_size=8, verse_inputs=True, reuse_term="gated")
    torch.manual_seed(4)
    network = PoemRNN(30, config.model_copy(update=changes))
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn_like(weight) * 0.5)
    return network.eval().requires_grad_(False)


POEM = torch.tensor([[1, 8, 9, 4, 10, 9, 5, 8, 8, 4, 11, 12, 5]])  # 甲乙，丙乙。甲甲，丁戊。


def test_new_verse_inputs_and_reuse_term_change_nothing() -> None:
    plain = random_network()
    torch.manual_seed(1)
    config = plain.config.model_copy(update={"verse_inputs": True, "reuse_term": "gated"})
    network = PoemRNN(VOCAB, config).eval()
    network.load_state_dict(plain.state_dict(), strict=False)
    tokens = random_tokens(3, 9)
    assert torch.equal(network(tokens)[0], plain(tokens)[0])


def test_verse_inputs_are_facing_rhyme_line_and_position() -> None:
    network = verse_network()
    (after_fourth,) = network.inputs(POEM[:, :5])[
        :, 4
    ]  # 甲乙，丙: the next faces 乙, the rhyme is 乙
    expected = network.embedding[10] + network.facing @ network.embedding[9]
    expected += network.rhyme @ network.embedding[9] + network.line[1] + network.position[1]
    assert_same(after_fourth, expected)


def test_reuse_term_is_added_once_per_use() -> None:
    network = verse_network()
    features, _ = network.features(POEM)
    plain = network.logits(features[0])
    difference = (network(POEM)[0][0] - plain)[9]  # 甲乙，丙乙。甲甲，: line 3, place 0
    terms = network.reuse_gate @ features[0, 9] + network.reuse_bias
    two_before, before, facing = (
        terms[3 * RELATIONS.index(name)] for name in ("two lines before", "line before", "facing")
    )
    earlier = terms[3 * RELATIONS.index("earlier")]
    assert_same(difference[8], earlier + facing + before)  # 甲 of lines 0 and 2
    assert_same(difference[9], earlier + two_before)  # 乙 of lines 0 and 1
    assert_same(difference[10], two_before)
    assert difference[:8].abs().max() < 1e-6
    assert difference[11:].abs().max() < 1e-6


def test_fixed_reuse_term_does_not_depend_on_the_features() -> None:
    network = verse_network(reuse_term="fixed")
    kinds = torch.tensor([[0, 20, -1]])
    terms = network.reuse_terms(torch.randn(1, 6), kinds)
    assert terms.tolist() == [[*network.reuse_bias[[0, 20]].tolist(), 0.0]]

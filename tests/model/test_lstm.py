"""The two ways through the network agree, and neither company nor padding changes a row."""

import pytest
import torch
from torch import Tensor, nn

from poetgen.data.vocab import PAD
from poetgen.model.lstm import PoemLSTM, State

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


def network(
    cell: str = "lstm", tied: bool = True, num_layers: int = 2, dropout: float = 0.0
) -> PoemLSTM:
    torch.manual_seed(5)
    model = PoemLSTM(
        VOCAB,
        cell=cell,
        embedding_size=7,
        hidden_size=12,
        num_layers=num_layers,
        tied=tied,
        input_dropout=dropout,
        layer_dropout=dropout,
        output_dropout=dropout,
    )
    with torch.no_grad():
        # Fresh weights give nearly flat scores, under which a wrong one could hide.
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3)
    return model.eval().requires_grad_(False)


def some_tokens(rows: int, places: int, seed: int = 6) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(1, VOCAB, (rows, places), generator=random)


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)


def assert_same_states(ours: State, theirs: State) -> None:
    assert [len(layer) for layer in ours] == [len(layer) for layer in theirs]
    for our_layer, their_layer in zip(ours, theirs, strict=True):
        for our_part, their_part in zip(our_layer, their_layer, strict=True):
            assert_same(our_part, their_part)


@shapes
def test_whole_sequence_and_single_steps_agree(cell: str, tied: bool, num_layers: int) -> None:
    model = network(cell, tied, num_layers)
    tokens = some_tokens(3, 17)
    whole, whole_state = model(tokens)
    state = model.zero_state(3)
    columns = []
    for place in range(17):
        logits, state = model.step(tokens[:, place], state)
        columns.append(logits)
    assert whole.shape == (3, 17, VOCAB)
    assert whole.dtype == torch.float32
    assert whole.std() > 0.1
    assert_same(torch.stack(columns, 1), whole)
    assert_same_states(state, whole_state)


@shapes
def test_sequence_in_two_parts_equals_the_whole(cell: str, tied: bool, num_layers: int) -> None:
    model = network(cell, tied, num_layers)
    tokens = some_tokens(2, 11)
    whole, whole_state = model(tokens)
    first, between = model(tokens[:, :4])
    second, state = model(tokens[:, 4:], between)
    assert_same(torch.cat([first, second], 1), whole)
    assert_same_states(state, whole_state)


@shapes
def test_padding_changes_no_real_place(cell: str, tied: bool, num_layers: int) -> None:
    model = network(cell, tied, num_layers)
    tokens = some_tokens(2, 9)
    padded = torch.full((5, 25), PAD)
    padded[1:3, :9] = tokens
    assert_same(model(padded)[0][1:3, :9], model(tokens)[0])


@shapes
def test_batch_and_single_agree(cell: str, tied: bool, num_layers: int) -> None:
    model = network(cell, tied, num_layers)
    tokens = some_tokens(4, 8)
    together = model(tokens)[0]
    for row in range(4):
        assert_same(model(tokens[row : row + 1])[0][0], together[row])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_scores_depend_on_the_past_alone(cell: str) -> None:
    model = network(cell)
    tokens = some_tokens(1, 10)
    other = tokens.clone()
    other[0, 6] = 1 + tokens[0, 6] % (VOCAB - 1)
    before, after = model(tokens)[0][0], model(other)[0][0]
    torch.testing.assert_close(before[:6], after[:6], rtol=0, atol=0)
    assert all((before[place] - after[place]).abs().max() > 1e-4 for place in range(6, 10))


@pytest.mark.parametrize(("cell", "parts"), [("lstm", 2), ("gru", 1), ("rnn", 1)])
def test_zero_state_is_what_a_sequence_starts_from(cell: str, parts: int) -> None:
    model = network(cell, num_layers=3)
    zero = model.zero_state(2)
    assert [[tuple(part.shape) for part in layer] for layer in zero] == [[(2, 12)] * parts] * 3
    assert not any(part.any() for layer in zero for part in layer)
    tokens = some_tokens(2, 3)
    torch.testing.assert_close(model(tokens, zero)[0], model(tokens)[0], rtol=0, atol=0)


def test_number_of_weights_by_hand() -> None:
    def count(**shape: object) -> int:
        model = PoemLSTM(11, embedding_size=6, hidden_size=8, num_layers=2, **shape)  # type: ignore[arg-type]
        return sum(parameter.numel() for parameter in model.parameters())

    embedding, output_bias, projection, output = 11 * 6, 11, 8 * 6 + 6, 11 * 8
    rows = (8 * (6 + 8 + 2)) + (8 * (8 + 8 + 2))  # a gate of each layer, with its two biases
    assert count(cell="lstm", tied=True) == embedding + 4 * rows + projection + output_bias
    assert count(cell="lstm", tied=False) == embedding + 4 * rows + output + output_bias
    assert count(cell="gru", tied=True) == embedding + 3 * rows + projection + output_bias
    assert count(cell="rnn", tied=True) == embedding + rows + projection + output_bias


def test_tied_output_is_the_embedding_itself() -> None:
    tied, untied = network(tied=True), network(tied=False)
    features = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    assert_same(tied.logits(features), features @ tied.embedding.T + tied.output_bias)
    assert tied.output is None
    assert untied.output is not None
    assert untied.output.shape == (VOCAB, 12)


def test_forget_gate_of_a_new_lstm_starts_open() -> None:
    model = PoemLSTM(9, embedding_size=4, hidden_size=3, num_layers=2)
    for layer in model.layers:
        assert isinstance(layer, nn.LSTM)
        biases = layer.all_weights[0][2] + layer.all_weights[0][3]
        assert biases[3:6].tolist() == [1.0, 1.0, 1.0]  # i, f, g, o
        assert not (biases[:3] == 1).any()


def test_dropout_acts_in_training_alone_and_never_in_single_steps() -> None:
    model = network(dropout=0.5)
    tokens = some_tokens(2, 6)
    expected = model(tokens)[0]
    assert_same(model(tokens)[0], expected)
    first = model.step(tokens[:, 0], model.zero_state(2))[0]
    model.train()
    assert (model(tokens)[0] - expected).abs().max() > 1e-2
    assert not torch.equal(model(tokens)[0], model(tokens)[0])
    assert_same(model.step(tokens[:, 0], model.zero_state(2))[0], first)


def test_dropout_stands_after_the_embedding_between_layers_and_before_the_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def spy(x: Tensor, rate: float) -> Tensor:
        calls.append((tuple(x.shape), rate))
        return x

    monkeypatch.setattr("poetgen.model.lstm.dropout", spy)
    network(dropout=0.3).train()(some_tokens(2, 5))
    assert calls == [((2, 5, 7), 0.3), ((2, 5, 12), 0.3), ((2, 5, 12), 0.3)]


def test_same_seed_same_weights_and_every_weight_learns() -> None:
    def fresh() -> PoemLSTM:
        torch.manual_seed(8)
        return PoemLSTM(VOCAB, embedding_size=7, hidden_size=12, num_layers=2)

    one, two = fresh(), fresh()
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, two.state_dict()[name]), name
    logits = one(some_tokens(3, 6))[0]
    torch.autograd.backward(logits.square().sum())
    for name, parameter in one.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_it_says_its_size_and_place() -> None:
    model = network()
    assert len(model.embedding) == VOCAB
    assert model.device == torch.device("cpu")

"""Traces, compared with the equations by hand, with torch, with generation and with `score`."""

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from poetgen.api import Poet
from poetgen.config import Config
from poetgen.data.vocab import BOS, EOS
from poetgen.engine.scoring import score, unknown_surcharge
from poetgen.inspection.result import END, GATES, START
from poetgen.inspection.trace import continue_text, inspect_text, opening, read, stack, trace
from poetgen.model.file import ModelBundle
from poetgen.model.network import layer_step
from poetgen.sampling.generator import Generator, Sample
from poetgen.sampling.options import Options
from tests.inspection.networks import (
    LSTM_SERIES,
    TOKENS,
    bundle_with_cell,
    compute_by_hand,
    perturbed,
)

TEXT = "床前明月光，疑是地上霜。"


@pytest.mark.parametrize(("is_rounded", "tolerance"), [(True, 1e-3), (False, 0.03)])
def test_read_matches_lstm_equations(
    tiny_model: ModelBundle, is_rounded: bool, tolerance: float
) -> None:
    bundle = perturbed(tiny_model)
    layers = stack(step.layers for step in read(bundle.engine, TOKENS))
    expected = compute_by_hand(bundle, TOKENS, is_rounded=is_rounded)
    assert len(layers) == len(expected) == 2
    for series, by_hand in zip(layers, expected, strict=True):
        assert set(series) == set(LSTM_SERIES)
        for name, values in by_hand.items():
            assert series[name].shape == (len(TOKENS), bundle.config.model.hidden_size)
            np.testing.assert_allclose(series[name], values, rtol=0, atol=tolerance)
    assert float(layers[0]["forget"].std()) > 0.05  # otherwise the test would show little


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_read_agrees_with_torch(cell: str, tiny_config: Config, tiny_model: ModelBundle) -> None:
    bundle = perturbed(bundle_with_cell(cell, tiny_config, tiny_model))
    steps = list(read(bundle.engine, TOKENS))
    state = bundle.network.zero_state(1)
    for token, step in zip(TOKENS, steps, strict=True):
        x_1E = bundle.network.embedding[token][None]
        for number, layer in enumerate(bundle.network.layers):
            expected, state[number] = layer_step(cell, x_1E, state[number], layer)
            x_1E = expected["hidden"]
            assert set(step.layers[number]) == set(expected)
            for name, value in expected.items():
                # Weights and activations are rounded to a 254th of the largest in their row.
                np.testing.assert_allclose(step.layers[number][name], value[0], rtol=0, atol=0.05)
    logits_1TV, _ = bundle.network(torch.tensor([TOKENS]))
    log_probs_TV = torch.log_softmax(logits_1TV[0].double(), dim=-1).numpy()
    found_TV = np.stack([step.log_probs_V for step in steps])
    np.testing.assert_allclose(found_TV, log_probs_TV, rtol=0, atol=0.01)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_read_has_the_bits_of_generation(
    cell: str, tiny_config: Config, tiny_model: ModelBundle
) -> None:
    bundle = perturbed(bundle_with_cell(cell, tiny_config, tiny_model))
    generator = Generator(bundle)
    requests = [generator.request(Options(seed=1), seed=1, index=index) for index in range(5)]
    for sample in generator.generate(requests):
        assert isinstance(sample, Sample)
        tokens = [step.token for step in sample.tokens]
        steps = read(bundle.engine, [BOS, *tokens[:-1]])
        nats = [-float(step.log_probs_V[token]) for step, token in zip(steps, tokens, strict=True)]
        assert nats == [step.nats for step in sample.tokens]
        if sample.ended:
            assert score(bundle.engine, [sample.poem], bundle.vocab) == [sample.likelihood]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_read_has_the_states_of_a_batch(
    cell: str, tiny_config: Config, tiny_model: ModelBundle
) -> None:
    bundle = perturbed(bundle_with_cell(cell, tiny_config, tiny_model))
    network = bundle.engine
    state = network.zero_state(9)
    for token, step in zip(TOKENS, read(network, TOKENS), strict=True):
        tokens_B = np.arange(4, 13)
        tokens_B[6] = token
        _, state = network.step(tokens_B, state)
        for layer, series in zip(state.layers, step.layers, strict=True):
            assert series["hidden"].tobytes() == layer.hidden_BH[6].tobytes()
            if layer.cell_BH is not None:
                assert series["cell"].tobytes() == layer.cell_BH[6].tobytes()


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_trace_has_series_of_its_cell(
    cell: str, tiny_config: Config, tiny_model: ModelBundle
) -> None:
    found = trace(bundle_with_cell(cell, tiny_config, tiny_model), TEXT)
    gates = {"lstm": GATES, "gru": ("reset", "update"), "rnn": ()}[cell]
    others = {"lstm": {"candidate", "cell", "hidden"}, "gru": {"candidate", "hidden"}}
    assert (found.cell, found.gates) == (cell, gates)
    assert set(found.layers[0]) == {*gates, *others.get(cell, {"hidden"})}
    assert found.state == ("cell" if cell == "lstm" else "hidden")


def test_trace_gru_gates_yield_hidden_state(tiny_config: Config, tiny_model: ModelBundle) -> None:
    for layer in trace(bundle_with_cell("gru", tiny_config, tiny_model), TEXT).layers:
        before = np.concatenate([np.zeros_like(layer["hidden"][:1]), layer["hidden"][:-1]])
        expected = layer["update"] * before + (1 - layer["update"]) * layer["candidate"]
        np.testing.assert_allclose(layer["hidden"], expected, rtol=0, atol=1e-15)


def test_trace_means_and_state_norms(tiny_model: ModelBundle) -> None:
    found = trace(perturbed(tiny_model), TEXT)
    forget = found.layers[0]["forget"]
    assert found.mean(0, "forget")[2] == pytest.approx(float(forget[2].sum()) / 16)
    cell = found.layers[1]["cell"]
    assert found.state_norms(1)[4] == pytest.approx(float((cell[4] ** 2).sum()) ** 0.5)


def test_trace_surprise_matches_score(tiny_model: ModelBundle) -> None:
    text = TEXT + "龘"  # the last is unknown, with the surcharge of unknown characters
    found = trace(tiny_model, text)
    assert "".join(found.characters) == START + text
    assert found.text == text
    assert (found.nats[0], len(found.nats), len(found.next_characters)) == (None, 14, 14)
    scored = Poet(Generator(tiny_model)).score(text)
    tokens = [BOS, *tiny_model.vocab.encode(text)]
    end = -float(list(read(tiny_model.engine, tokens))[-1].log_probs_V[EOS])
    assert found.unknown == {"龘"}
    surcharge = unknown_surcharge(tiny_model.vocab)
    assert found.nats[-1] is not None
    without_surcharge = [*found.nats[1:-1], found.nats[-1] - surcharge, end]
    assert math.fsum(nats or 0 for nats in without_surcharge) + surcharge == pytest.approx(
        scored.nats, rel=1e-15
    )
    assert found.nats_per_character == pytest.approx((scored.nats - end) / len(text), rel=1e-14)


def test_trace_next_characters(tiny_model: ModelBundle) -> None:
    found = trace(tiny_model, TEXT)
    for best in found.next_characters:
        assert len(best) == 5
        assert all(len(symbol) == 1 for symbol, _ in best), best
        probabilities = [probability for _, probability in best]
        assert probabilities == sorted(probabilities, reverse=True)
    step = list(read(tiny_model.engine, [BOS, *tiny_model.vocab.encode(TEXT[:1])]))[-1]
    for symbol, probability in found.next_characters[1]:
        if symbol in tiny_model.vocab.ids:
            expected = float(np.exp(step.log_probs_V[tiny_model.vocab.ids[symbol]]))
            assert probability == pytest.approx(expected)
    assert END not in tiny_model.vocab.ids


def test_inspect_text_generates_like_sample(tiny_model: ModelBundle) -> None:
    found, options = inspect_text(tiny_model, "床前", Options(seed=1), generate=True)
    poem = Poet(Generator(tiny_model)).sample("床前", seed=1)[0]
    assert found.text == poem.text
    assert options.prompt == "床前"
    assert poem.text.startswith("床前" + continue_text(tiny_model, options).text)


def test_inspect_text_prompts_with_first_line(tiny_model: ModelBundle) -> None:
    found, options = inspect_text(tiny_model, "床前明月光,疑是地上霜.", Options(seed=1))
    assert found.text == TEXT
    assert options.prompt == "床前明月光，"


def test_inspect_text_logs_warnings(
    tiny_model: ModelBundle, tiny_config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "poetgen")
    inspect_text(tiny_model, "床☃", Options())
    inspect_text(bundle_with_cell("gru", tiny_config, tiny_model), "床前", Options())
    warning, note = caplog.records
    assert warning.levelno == logging.WARNING
    assert "not in the model's vocabulary" in warning.getMessage()
    assert note.getMessage().startswith("note: a GRU has neither a cell nor")


def test_continue_text_stops_at_limit(tiny_model: ModelBundle) -> None:
    continuation = continue_text(tiny_model, Options("床前", temperature=0))
    assert continuation.ended or len(continuation.text) == 64
    again = continue_text(tiny_model, replace(Options("床前", temperature=0), seed=7))
    assert continuation == again


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("床前", "床前"),
        ("床？前，", "床？"),
        (TEXT, "床前明月光，"),
        ("，床前，", "，床前，"),
        ("龘龘，床前。明月", "龘龘，床前。"),
    ],
)
def test_opening(text: str, expected: str, tiny_model: ModelBundle) -> None:
    assert opening(text, tiny_model.vocab) == expected

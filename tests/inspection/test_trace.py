"""Traces, compared with the equations by hand, with `forward` and with `score`."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from poetgen.api import Poet
from poetgen.config import Config
from poetgen.data.vocab import BOS, EOS
from poetgen.inspection.result import END, GATES, START
from poetgen.inspection.trace import continue_text, inspect_text, opening, read, stack, trace
from poetgen.model.file import ModelBundle
from poetgen.sampling.generator import Generator
from poetgen.sampling.options import Options
from tests.inspection.networks import (
    LSTM_SERIES,
    TOKENS,
    bundle_with_cell,
    compute_by_hand,
    perturb,
)

TEXT = "床前明月光，疑是地上霜。"


def test_read_matches_lstm_equations(tiny_model: ModelBundle) -> None:
    network = perturb(tiny_model.network)
    layers = stack(step.layers for step in read(network, TOKENS))
    expected = compute_by_hand(network, TOKENS)
    assert len(layers) == len(expected) == 2
    for series, by_hand in zip(layers, expected, strict=True):
        assert set(series) == set(LSTM_SERIES)
        for name, values in by_hand.items():
            assert series[name].shape == (len(TOKENS), network.hidden_size)
            np.testing.assert_allclose(series[name], values.numpy(), rtol=0, atol=1e-5)
    assert float(layers[0]["forget"].std()) > 0.05  # otherwise the test would show little


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_read_matches_forward(cell: str, tiny_config: Config, tiny_model: ModelBundle) -> None:
    network = bundle_with_cell(cell, tiny_config, tiny_model).network
    found = torch.stack([step.log_probs_V for step in read(network, TOKENS)])
    logits_1TV, _ = network(torch.tensor([TOKENS]))
    expected = torch.log_softmax(logits_1TV[0].double(), dim=-1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


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
        np.testing.assert_allclose(layer["hidden"], expected, rtol=1e-5, atol=1e-6)


def test_trace_means_and_state_norms(tiny_model: ModelBundle) -> None:
    perturb(tiny_model.network)
    found = trace(tiny_model, TEXT)
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
    end = -float(list(read(tiny_model.network, tokens))[-1].log_probs_V[EOS])
    assert found.unknown == {"龘"}
    assert sum(nats or 0 for nats in found.nats) + end == pytest.approx(scored.nats, abs=1e-3)
    assert found.nats_per_character == pytest.approx((scored.nats - end) / len(text), abs=1e-4)


def test_trace_next_characters(tiny_model: ModelBundle) -> None:
    found = trace(tiny_model, TEXT)
    for best in found.next_characters:
        assert len(best) == 5
        assert all(len(symbol) == 1 for symbol, _ in best), best
        probabilities = [probability for _, probability in best]
        assert probabilities == sorted(probabilities, reverse=True)
    step = list(read(tiny_model.network, [BOS, *tiny_model.vocab.encode(TEXT[:1])]))[-1]
    for symbol, probability in found.next_characters[1]:
        if symbol in tiny_model.vocab.ids:
            expected = float(step.log_probs_V[tiny_model.vocab.ids[symbol]].exp())
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

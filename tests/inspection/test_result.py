"""JSON of traces and of gradient decay: the keys, and the numbers of the results."""

import json

import pytest

from poetgen.config import Config
from poetgen.inspection.result import (
    NUM_NEXT,
    SERIES,
    GradientComparison,
    GradientDecay,
    gradients_to_json,
    trace_to_json,
)
from poetgen.inspection.trace import trace
from poetgen.model.file import ModelBundle
from tests.inspection.networks import LSTM_SERIES, bundle_with_cell

TEXT = "床前明月龘。"


def test_trace_to_json_holds_the_trace(tiny_model: ModelBundle) -> None:
    found = trace(tiny_model, TEXT)
    values = json.loads(json.dumps(trace_to_json(found, "tiny")))
    assert list(values) == [
        "model",
        "cell",
        "text",
        "unknown",
        "nats_per_character",
        "characters",
        "nats",
        "next",
        "layers",
    ]
    assert (values["model"], values["cell"], values["text"]) == ("tiny", "lstm", TEXT)
    assert values["unknown"] == ["龘"]
    assert values["characters"] == ["<bos>", *TEXT]
    assert values["nats"] == list(found.nats)
    assert values["nats_per_character"] == found.nats_per_character
    assert [len(best) for best in values["next"]] == [NUM_NEXT] * 7
    # The signs for the end and for unknown characters stay out of the data.
    symbols = {one["character"] for best in values["next"] for one in best}
    assert not symbols & {"＾", "＄", "＃"}
    assert values["next"][2][0]["probability"] == found.next_characters[2][0][1]
    for number, layer in enumerate(values["layers"]):
        assert set(layer) == {*LSTM_SERIES, "state_norm"}
        assert layer["input"] == found.mean(number, "input")
        assert layer["state_norm"] == found.state_norms(number)


@pytest.mark.parametrize(
    ("cell", "series"), [("gru", {"reset", "update", "candidate", "hidden"}), ("rnn", {"hidden"})]
)
def test_trace_to_json_of_other_cells(
    cell: str, series: set[str], tiny_config: Config, tiny_model: ModelBundle
) -> None:
    values = trace_to_json(trace(bundle_with_cell(cell, tiny_config, tiny_model), TEXT), "other")
    assert values["cell"] == cell
    (layer, _) = json.loads(json.dumps(values["layers"]))
    assert set(layer) == {*series, "state_norm"}
    assert set(layer) - {"state_norm"} <= set(SERIES)


def test_gradients_to_json() -> None:
    decays = (GradientDecay("tang", "lstm", (1.0, 0.5)), GradientDecay(None, "gru", (1.0, 0.25)))
    assert gradients_to_json(GradientComparison(("床前",), True, decays)) == {
        "texts": ("床前",),
        "generated": True,
        "decays": [
            {"model": "tang", "cell": "lstm", "norms": (1.0, 0.5)},
            {"model": None, "cell": "gru", "norms": (1.0, 0.25)},
        ],
    }

"""The experiments of scripts/: their equations, their data, and their --quick mode."""

import importlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from poetgen.config import Config
from poetgen.model.cell import gru_step, lstm_step, rnn_step
from poetgen.model.file import ModelBundle, save_model
from poetgen.model.network import PoemRNN, network_arrays

SCRIPTS = Path(__file__).parent.parent.parent / "scripts" / "experiments"
PAPER_HERE_CONTROL = ("paper: LSTM of 1997", "here: LSTM", "control: plain RNN")
EXPERIMENTS = {
    "worked_example": ("argument", "by hand", "Three steps from a zero state"),
    "sine": ("control: persistence", *PAPER_HERE_CONTROL[1:], "of persistence"),
    "long_lag": ("2c, lag 50", *PAPER_HERE_CONTROL, "control: LSTM, bias 1"),
    "adding": ("Adding, 100 steps", *PAPER_HERE_CONTROL, "control: LSTM, bias 1"),
    "temporal_order": ("Temporal order", *PAPER_HERE_CONTROL, "control: LSTM, bias 1"),
    "reber": ("Embedded Reber grammar", *PAPER_HERE_CONTROL, "strings seen"),
    "constant_error_carousel": ("1997: no forget gate", "forget bias 1", "gradient"),
    "gradient_flow": ("plain RNN", "LSTM, forget bias 5", "spectral norm 1.5", "100, near 0"),
}
"""Words that the tables of each experiment must contain."""


@pytest.fixture(autouse=True)
def _environment_of_scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the experiments importable by name, and use one thread as they do."""
    monkeypatch.syspath_prepend(SCRIPTS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def load(name: str) -> Any:
    module = importlib.import_module(name)
    assert isinstance(module, ModuleType)
    return module


def run(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Run an experiment as from the command line."""
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_quick_mode_prints_tables(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(name, monkeypatch, "--quick")
    shown = capsys.readouterr()
    assert shown.err == ""
    for wanted in EXPERIMENTS[name]:
        assert wanted in shown.out


@pytest.mark.parametrize(
    "name", ["worked_example", "constant_error_carousel", "gradient_flow", "sine"]
)
def test_experiment_draws_plot(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "plot.svg"
    run(name, monkeypatch, "--quick", "--plot", str(path))
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) >= 3
    assert capsys.readouterr().err == f"wrote {path}\n"


def test_plot_to_unwritable_path_exits_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="cannot be written"):
        run("sine", monkeypatch, "--plot", str(tmp_path / "file" / "plot.svg"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", [*EXPERIMENTS, "model_finding"])
def test_experiment_is_one_short_file(name: str) -> None:
    assert len((SCRIPTS / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 160


def test_worked_example_matches_by_hand_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("worked_example", monkeypatch)
    cells = [line.split() for line in capsys.readouterr().out.splitlines()]
    by_hand = ["0.620", "0.603", "0.336", "0.451", "0.652", "0.276"]
    # The last two columns: by hand, and as computed by the cell.
    found = [row[-2:] for row in cells if row and row[-1] in by_hand]
    assert found == [[value, value] for value in by_hand]
    assert ["0.2", "0.53", "0.535", "0.05", "0.053", "0.03", "0.029"] in cells
    rows = [row for row in cells if row and row[0] in ("0.2", "0.4", "0.6")]
    assert [[row[i] for i in (1, 3, 5)] for row in rows] == [
        ["0.53", "0.05", "0.03"],
        ["0.57", "0.15", "0.09"],
        ["0.62", "0.29", "0.18"],
    ]
    for row in rows:
        for wanted, here in zip(row[1::2], row[2::2], strict=True):
            assert abs(float(wanted) - float(here)) <= 0.0055


def unrolled(memory: Any, x_BTI: torch.Tensor) -> torch.Tensor:
    """Return the hidden states, computed step by step with the equations of the cell."""
    hidden = cell = torch.zeros(len(x_BTI), 5, dtype=torch.float64)
    steps = []
    for x in x_BTI.unbind(dim=1):
        if memory.cell == "lstm":
            step = lstm_step(x, hidden, cell, memory.weights)
            hidden, cell = step.hidden, step.cell
        elif memory.cell == "gru":
            hidden = gru_step(x, hidden, memory.weights).hidden
        else:
            hidden = rnn_step(x, hidden, memory.weights)
        steps.append(hidden)
    return torch.stack(steps, dim=1)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_fused_layer_equals_cell_equations(cell: str) -> None:
    torch.manual_seed(2)
    memory = load("learning").Memory(cell, 3, 5, 2, chrono=20).double()
    x = torch.randn(4, 9, 3, dtype=torch.float64)
    torch.testing.assert_close(memory(x), unrolled(memory, x), rtol=0, atol=1e-12)
    last = torch.tensor([8, 3, 0, 5])
    outputs = memory.at(x, last)
    torch.testing.assert_close(outputs[1], memory.readout(memory(x[1:2, :4])[0, -1]))


def test_chrono_sets_time_scales() -> None:
    memory = load("learning").Memory("lstm", 1, 400, 1, chrono=50)
    bias = memory.weights.input_bias + memory.weights.hidden_bias
    forget = bias[400:800]
    assert torch.equal(bias[:400], -forget)
    scales = forget.detach().exp()  # uniform over [1, 49]
    assert 1 <= float(scales.min()) < 4 < 46 < float(scales.max()) <= 49
    assert float(scales.mean()) == pytest.approx(25, abs=2)
    plain = load("learning").Memory("lstm", 1, 4, 1, forget_bias=2.5)
    both = plain.weights.input_bias + plain.weights.hidden_bias
    assert both[4:8].tolist() == [2.5] * 4
    assert both[:4].tolist() == [0.0] * 4


def test_long_lag_sequences() -> None:
    ids, last, which = load("long_lag").draw(20, 500, torch.Generator().manual_seed(1))
    rows = torch.arange(500)
    assert set(ids[:, 0].tolist()) == {3}
    assert torch.equal(ids[:, 1], which.long())
    assert set(ids[rows, last].tolist()) == {2}
    assert int(last.min()) == 22
    assert float(last.float().mean()) == pytest.approx(22 + 9, abs=1)
    for row, end in enumerate(last.tolist()):
        between = ids[row, 2:end]
        assert int(between.min()) >= 4
        assert int(between.max()) < 24
    assert float(which.mean()) == pytest.approx(0.5, abs=0.07)


def test_adding_sequences() -> None:
    x, last, target = load("adding").draw(500, torch.Generator().manual_seed(1))
    assert set(last.tolist()) == set(range(99, 110))
    for row, end in enumerate(last.tolist()):
        values, markers = x[row, :, 0], x[row, :, 1]
        marked = [i for i, m in enumerate(markers.tolist()) if m == 1]
        assert markers[0] == markers[end] == -1
        assert len(marked) <= 2
        assert all(i <= 48 for i in marked)
        assert len(marked) < 2 or min(marked) < 10
        assert target[row] == pytest.approx(0.5 + float(values[marked].sum()) / 4, abs=1e-6)


def test_temporal_order_sequences() -> None:
    ids, last, order = load("temporal_order").draw(500, torch.Generator().manual_seed(1))
    assert set(last.tolist()) == set(range(99, 110))
    assert set(order.tolist()) == {0, 1, 2, 3}
    for row, end in enumerate(last.tolist()):
        symbols = [(i, s) for i, s in enumerate(ids[row, : end + 1].tolist()) if s < 2]
        (first, a), (second, b) = symbols
        assert 10 <= first <= 20
        assert 50 <= second <= 60
        assert order[row] == 2 * a + b
        assert (ids[row, 0], ids[row, end]) == (3, 2)


def test_reber_strings() -> None:
    reber = load("reber")
    strings = reber.strings(200, 3)
    for ids, legal in zip(strings.ids_NT, strings.legal_NTS, strict=True):
        num_positions = int(legal.any(dim=-1).sum())
        text = "".join(reber.SYMBOLS[i] for i in ids[: num_positions + 1])
        assert text[0] == "B"
        assert text[1] in "TP"
        assert text[-2:] == text[1] + "E"
        assert text[2] == "B"
        assert text[-3] == "E"
        for position in range(num_positions):
            assert legal[position, ids[position + 1]]
        counts = legal.sum(dim=-1)[:num_positions].tolist()
        assert counts[0] == 2
        assert counts[1] == counts[-1] == counts[-2] == 1
        assert max(counts) == 2
    texts = ["".join(reber.SYMBOLS[i] for i in ids) for ids in strings.ids_NT]
    assert len(set(texts)) == 200
    train, test = reber.halves(strings)
    assert {len(train.ids_NT), len(test.legal_NTS)} == {100}
    assert not set(map(tuple, train.ids_NT.tolist())) & set(map(tuple, test.ids_NT.tolist()))
    known = [string for string, _ in (reber.one_string(reber.random.Random(i)) for i in range(300))]
    assert {"BTBTXSETE", "BPBPVVEPE"} <= set(known)  # the two shortest inner strings


class Oracle:
    """Logits that favor legal symbols; only with `remembers` they favor the correct last T or P."""

    def __init__(self, strings: Any, remembers: bool) -> None:
        self.logits: torch.Tensor = strings.legal_NTS.float()
        if not remembers:
            last_N = strings.legal_NTS.any(dim=-1).sum(dim=-1) - 2
            self.logits[torch.arange(len(last_N)), last_N, 1:3] = 1.0

    def __call__(self, _: torch.Tensor) -> torch.Tensor:
        return self.logits

    def readout(self, logits: torch.Tensor) -> torch.Tensor:
        return logits


def test_reber_needs_second_symbol() -> None:
    reber = load("reber")
    strings = reber.strings(50, 3)
    assert reber.num_wrong(Oracle(strings, remembers=True), strings) == 0
    assert reber.num_wrong(Oracle(strings, remembers=False), strings) == 50


def test_carousel_keeps_value_exactly() -> None:
    carousel = load("constant_error_carousel")
    x = carousel.inputs(1000, seed=1)
    kept = carousel.run(1000.0, x)
    assert set(kept.cell) == {kept.cell[0]}
    assert kept.cell[0] == pytest.approx(0.8, abs=1e-12)
    assert kept.gradient == 1.0
    assert max(map(abs, kept.hidden[:-1])) < 1e-20
    assert kept.hidden[-1] == pytest.approx(0.664037, abs=1e-6)  # tanh .8
    faded = carousel.run(1.0, x)
    assert faded.cell[10] == pytest.approx(0.8 * 0.731059**10, rel=1e-4)
    assert faded.gradient < 1e-130


def test_gradient_flow_follows_spectral_norm() -> None:
    flow = load("gradient_flow")

    # Near zero tanh is the identity, and an orthogonal matrix preserves lengths: the gradient is the norm
    # to the power of the lag.
    for norm in (0.5, 0.9, 1.0, 1.1, 1.5, 2.0):
        found = flow.decay("rnn", flow.rnn_of_norm(norm, 1), 1, input_scale=flow.NEARLY_ZERO)
        for lag in (10, 50, 100):
            assert found[lag] == pytest.approx(norm**lag, rel=1e-9)


def test_sine_test_windows_are_new() -> None:
    sine = load("sine")
    samples, given, truth = sine.split_samples()
    trained = sine.windows(samples, sine.WINDOW)
    assert len(given) == len(truth) == 64
    for window in given:
        assert float((trained - window).abs().amax(dim=1).min()) > 1e-4
    assert float(samples.std()) == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_sine_error_is_tenth_of_persistence() -> None:
    sine = load("sine")
    _, given, truth = sine.split_samples()
    persistence = sine.total(sine.errors(given[:, -1:].expand_as(truth), truth))
    _, errors = sine.run("lstm", 1)
    assert sine.total(errors) <= persistence / 10


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most_wrong"), [("adding", 3), ("temporal_order", 10)])
def test_task_is_solved(name: str, most_wrong: int) -> None:
    outcome = load(name).run("lstm", 1, chrono=True)
    assert outcome.solved is not None
    assert outcome.solved <= load(name).PAPER
    assert outcome.tested == 2560
    assert outcome.wrong <= most_wrong


@pytest.mark.slow
def test_reber_is_solved() -> None:
    outcome = load("reber").run("lstm", 1)
    assert outcome.solved is not None
    assert outcome.wrong == 0


@pytest.mark.slow
def test_long_lag_is_solved_at_1000_steps() -> None:
    outcome = load("long_lag").run(1000, "lstm", 1, chrono=True, tests=320)
    assert outcome.solved is not None
    assert outcome.solved <= 49_000


def test_model_finding_needs_no_corpus(
    tiny_model: ModelBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_model(tmp_path / "tiny.safetensors", tiny_model)
    # An untrained model generates no marks: each poem is one line, and most table cells are empty.
    finding = load("model_finding")
    assert finding.line_positions("床前。月，") == [1, 2, 0, 1, 0]
    position = torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0])
    values = torch.stack([2 * position + 1, -position, torch.ones(5)], dim=1)
    assert finding.correlations(values, position).tolist() == pytest.approx([1, -1, 0], abs=1e-6)
    sizes = torch.tensor([5.0, 1.0, 4.0, 2.0, 9.0, 3.0])
    counts = torch.tensor([0.9, 0.8, 0.3, -0.1, 0.2, -0.7])
    assert finding.matched_units([0, 1], counts, sizes) == [2, 3]  # of units 2, 3 and 4
    run("model_finding", monkeypatch, "--quick", "--model", str(tmp_path / "tiny.safetensors"))
    shown = capsys.readouterr().out
    assert "silenced in layer" in shown
    assert shown.count("matched units: ") == shown.count("best counters: ") == 2
    assert "nan" not in shown


def test_model_finding_refuses_gru(
    tiny_model: ModelBundle, tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = tiny_config.model.model_copy(update={"cell": "gru"})
    config = tiny_config.model_copy(update={"model": shape})
    weights = network_arrays(PoemRNN(len(tiny_model.vocab), config.model))
    other = ModelBundle(weights, tiny_model.vocab, config, "")
    save_model(tmp_path / "gru.safetensors", other)
    with pytest.raises(SystemExit, match="a GRU has neither"):
        run("model_finding", monkeypatch, "-m", str(tmp_path / "gru.safetensors"))

"""Steps, and `fit` with given validations."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from poetgen.config import ConditionsConfig, Config, build_config
from poetgen.data.batches import num_batches, training_batches
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.encode import TrainingDataset
from poetgen.data.poem import Poem
from poetgen.data.vocab import BOS, EOS, Vocabulary
from poetgen.engine.scoring import Likelihood
from poetgen.errors import PoetgenError
from poetgen.model.file import load_model
from poetgen.model.network import PoemRNN
from poetgen.model.scoring import token_nats, validate
from poetgen.runs import Run
from poetgen.training import loop
from poetgen.training.checkpoint import read_training_state
from poetgen.training.loop import fit, train_steps
from poetgen.training.optim import learning_rate_at
from poetgen.training.state import Progress, Trainer
from tests.training.trainers import NO_DROPOUT, TINY, VOCAB, new_trainer

CONDITIONED = Vocabulary((*VOCAB.symbols, "<form:五绝>", "<author:云>"))
POEMS = [
    Poem(
        "".join(
            "，。"[i // 5 % 2] if i % 6 == 5 else VOCAB.symbols[8 + (row + i) % 8]
            for i in range(24)
        )
    )
    for row in range(10)
]
LINES = (LineBloomFilter.from_poems(POEMS),)
VALID = [Poem("山水云月风，花雪夜山水。"), Poem("月夜花山云，风雪水云山。")]


def sequences(count: int, length: int = 20) -> list[list[int]]:
    """Rows that count through the characters, each from another start."""
    return [[BOS, *(4 + (row + i) % 12 for i in range(length)), EOS] for row in range(count)]


def test_loss_starts_uniform_and_falls() -> None:
    trainer = new_trainer(sequences(12), epochs=40, learning_rate=0.02)
    losses = []
    for _ in range(40):
        losses += [report.nats / report.tokens for report in train_steps(trainer)]
        trainer.progress.finish_epoch(0.0)
    assert losses[0] == pytest.approx(math.log(len(VOCAB)), abs=0.15)
    assert losses[-1] < 0.3 * losses[0]


def test_train_steps_follows_the_schedule_of_the_run() -> None:
    rows = sequences(20)  # 20 rows of 25 positions, 5 in a batch: 4 batches per epoch
    assert num_batches(rows, batch_tokens=128) == 4
    trainer = new_trainer(rows, epochs=2, warmup_steps=2, learning_rate=0.01)
    seen = []
    for report in train_steps(trainer):
        assert {group["lr"] for group in trainer.optimizer.param_groups} == {report.learning_rate}
        seen.append(report.learning_rate)
    trainer.progress.finish_epoch(0.0)
    seen += [report.learning_rate for report in train_steps(trainer)]
    decay = [0.005 * (1 + math.cos(math.pi * done / 6)) for done in range(6)]
    assert seen == pytest.approx([0.005, 0.01, *decay])


def test_train_steps_updates_progress() -> None:
    trainer = new_trainer(sequences(7))
    reports = list(train_steps(trainer))
    assert [report.step for report in reports] == [1, 2]
    assert sorted(report.tokens for report in reports) == [2 * 21, 5 * 21]
    progress = trainer.progress
    assert (progress.step, progress.batch, progress.epoch) == (2, 2, 0)
    assert progress.epoch_tokens == 7 * 21
    assert progress.epoch_nats == sum(report.nats for report in reports)
    assert progress.train_nats_per_token == progress.epoch_nats / 147


def test_train_steps_starts_at_the_batch_of_progress() -> None:
    rows = sequences(20)
    trainer = new_trainer(rows)
    trainer.progress.batch = trainer.progress.step = 3
    (report,) = train_steps(trainer)
    last = list(training_batches(rows, batch_tokens=128, seed=1, epoch=0))[3]
    expected = token_nats(new_trainer(rows).network, last).sum().item()
    assert report.nats == pytest.approx(expected, rel=1e-5)
    assert list(train_steps(trainer)) == []


def test_padding_has_no_effect_on_loss_and_gradient() -> None:
    """Two poems of 12 positions share a batch of 5 rows and 25 positions."""
    rows = sequences(2, length=11)
    trainer = new_trainer(rows, clip_norm=0)
    ids = torch.tensor(rows)
    logits = trainer.network(ids[:, :-1])[0]
    nats = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    gradients = torch.autograd.grad(nats.mean(), list(trainer.network.parameters()))
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
    (report,) = train_steps(trainer)
    assert report.tokens == 24
    assert report.nats == pytest.approx(nats.sum().item(), rel=1e-5)
    assert report.gradient_norm == pytest.approx(norm, rel=1e-4)


def applied_gradient_norms(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A list that receives the norm of the gradient that each optimizer step uses."""
    norms = []
    step = trainer.optimizer.step

    def spy() -> None:
        gradients = [p.grad.flatten() for p in trainer.network.parameters() if p.grad is not None]
        norms.append(torch.cat(gradients).norm().item())
        step()

    monkeypatch.setattr(trainer.optimizer, "step", spy)
    return norms


def test_gradient_is_clipped_and_reported_unclipped(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = new_trainer(sequences(5), clip_norm=0.01)
    norms = applied_gradient_norms(trainer, monkeypatch)
    (report,) = train_steps(trainer)
    assert norms == pytest.approx([0.01], rel=1e-3)
    assert report.gradient_norm > 0.05


def test_clip_norm_zero_is_unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = new_trainer(sequences(5), clip_norm=0)
    norms = applied_gradient_norms(trainer, monkeypatch)
    (report,) = train_steps(trainer)
    assert norms == pytest.approx([report.gradient_norm], rel=1e-6)
    assert norms[0] > 0.05


def test_gradients_are_cleared_after_each_step() -> None:
    trainer = new_trainer(sequences(8))
    for _ in train_steps(trainer):
        assert all(parameter.grad is None for parameter in trainer.network.parameters())


def test_diverged_step_is_not_taken() -> None:
    trainer = new_trainer(sequences(5))
    with torch.no_grad():
        trainer.network.output_bias[7] = math.nan
    before = {name: w.clone() for name, w in trainer.network.state_dict().items()}
    why = r"the loss of step 1 \(epoch 1, batch 1\) is nan"
    with pytest.raises(PoetgenError, match=why) as caught:
        next(train_steps(trainer))
    assert "--set train.learning_rate=2.5e-04" in caught.value.fix
    assert trainer.progress == Progress()
    for name, weight in trainer.network.state_dict().items():
        assert torch.equal(weight.nan_to_num(), before[name].nan_to_num()), name


def test_gradient_that_is_not_finite_stops_training(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = new_trainer(sequences(5))
    norm = torch.tensor(math.inf)
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", lambda *_: norm)
    with pytest.raises(PoetgenError, match=r"the gradient of step 1 \(.*\) is inf"):
        next(train_steps(trainer))
    assert trainer.progress == Progress()


def test_train_steps_drops_out_after_an_evaluation() -> None:
    """An interrupted `validate` leaves the network in evaluation mode."""
    nats = []
    for dropout in (0.0, 0.6):
        model = {"input_dropout": dropout, "output_dropout": dropout}
        trainer = new_trainer(sequences(5), model=model)
        trainer.network.eval()
        nats.append(next(train_steps(trainer)).nats)
    assert abs(nats[0] - nats[1]) > 1e-3


def test_bf16_step_keeps_weights_and_loss_in_fp32() -> None:
    rows = sequences(5)
    exact = next(train_steps(new_trainer(rows))).nats
    trainer = new_trainer(rows, precision="bf16")
    rounded = next(train_steps(trainer)).nats
    assert rounded == pytest.approx(exact, rel=1e-2)
    assert rounded != exact
    assert {parameter.dtype for parameter in trainer.network.parameters()} == {torch.float32}


def config(**train: Any) -> Config:
    given = {"warmup_steps": 2, "precision": "fp32", "batch_tokens": 128, "epochs": 3, **train}
    return build_config({"model": TINY | NO_DROPOUT, "train": given})


def poem_trainer(config: Config) -> Trainer:
    """A new trainer on `POEMS`."""
    torch.manual_seed(1)
    dataset = TrainingDataset(POEMS, VOCAB, config)
    return Trainer(
        PoemRNN(len(VOCAB), config.model), config, VOCAB, dataset, VALID, "c0ffee", LINES
    )


def fit_in(path: Path, config: Config) -> tuple[Progress, Run]:
    """Fit a new trainer in the run folder `path`."""
    trainer, run = poem_trainer(config), Run(path)
    fit(trainer, run)
    return trainer.progress, run


def fit_with_validations(
    path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, validations: Sequence[float]
) -> tuple[Progress, Run, list[dict[str, torch.Tensor]]]:
    """Fit with the given validation of each epoch; also return the weights after each epoch."""
    weights = []
    results = iter(validations)

    def scripted(network: PoemRNN, poems: list[Poem], vocab: Vocabulary, **_: object) -> Likelihood:
        assert (poems, vocab) == (VALID, VOCAB)
        weights.append({name: w.detach().clone() for name, w in network.state_dict().items()})
        return Likelihood(1, 1, 0, 1, next(results))

    monkeypatch.setattr(loop, "validate", scripted)
    progress, run = fit_in(path, config)
    return progress, run, weights


def test_fit_keeps_the_model_of_the_best_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = config(epochs=4)
    validations = [5.0, 3.0, 4.0, 3.0]
    progress, run, weights = fit_with_validations(tmp_path, chosen, monkeypatch, validations)
    assert (progress.epoch, progress.step) == (4, 8)
    assert (progress.best_epoch, progress.best_nats_per_token) == (2, 3.0)
    best = load_model(run.best)
    assert best.metrics["epoch"] == 2.0
    assert best.metrics["valid_nats_per_token"] == 3.0
    assert best.metrics["valid_perplexity"] == pytest.approx(math.exp(3))
    assert (best.vocab, best.config, best.corpus_fingerprint) == (VOCAB, chosen, "c0ffee")
    for name, weight in best.network.state_dict().items():
        assert torch.equal(weight, weights[1][name])
        assert not torch.equal(weight, weights[2][name])


def test_fit_saves_the_training_lines(tmp_path: Path) -> None:
    _, run = fit_in(tmp_path, config(epochs=1))
    (lines,) = load_model(run.best).training_lines
    assert lines.num_lines == LINES[0].num_lines > 0
    assert all(line in lines for poem in POEMS for line in poem.lines)
    assert "云月风花雪夜山" not in lines


@pytest.mark.parametrize(
    ("patience", "validations", "epochs"),
    [
        (0, [5.0, 6.0, 7.0, 8.0, 9.0], 5),
        (1, [5.0, 6.0], 2),
        (2, [5.0, 6.0, 4.0, 4.5, 4.5], 5),
        (2, [5.0, 5.0, 5.0], 3),
    ],
    ids=["never", "at once", "two after the best", "equal is not better"],
)
def test_fit_stops_early(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: int,
    validations: list[float],
    epochs: int,
) -> None:
    chosen = config(epochs=5, patience=patience)
    progress, run, _ = fit_with_validations(tmp_path, chosen, monkeypatch, validations)
    assert progress.epoch == epochs
    assert run.last.is_file()


def test_fit_validates_by_likelihood(tmp_path: Path) -> None:
    progress, run = fit_in(tmp_path, config(epochs=1))
    expected = validate(load_model(run.best).network, VALID, VOCAB).nats_per_token
    assert progress.best_nats_per_token == pytest.approx(expected, rel=1e-6)


def test_fit_with_conditions_ends_at_the_lowest_rate(tmp_path: Path) -> None:
    """The schedule covers exactly the steps of epochs that differ in length."""
    chosen = config(
        epochs=6, learning_rate=1.0e-3, warmup_steps=0, save_interval_seconds=1e6
    ).model_copy(update={"conditions": ConditionsConfig(form_rate=0.5, author_rate=0.5)})
    poems = [Poem(poem.text, "", "云") for poem in POEMS] * 4
    dataset = TrainingDataset(poems, CONDITIONED, chosen)
    torch.manual_seed(1)
    trainer = Trainer(PoemRNN(len(CONDITIONED), chosen.model), chosen, CONDITIONED, dataset, VALID)
    fit(trainer, Run(tmp_path))
    steps = trainer.total_steps
    assert trainer.progress.step == steps
    (rate,) = {group["lr"] for group in trainer.optimizer.param_groups}
    assert rate == learning_rate_at(steps - 1, steps, chosen.train)
    assert 0 < rate < 1e-5


def test_fit_saves_at_the_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[tuple[int, int]] = []

    def note(_: Path, trainer: Trainer) -> None:
        saved.append((trainer.progress.epoch, trainer.progress.step))

    monkeypatch.setattr(loop, "save_training_state", note)
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=clock))
    rarely = config(epochs=2, save_interval_seconds=1e6)
    fit_with_validations(tmp_path, rarely, monkeypatch, [1.0, 1.0])
    assert saved == [(1, 2), (2, 4)]
    saved.clear()
    often = config(epochs=2, save_interval_seconds=0.5)
    fit_with_validations(tmp_path, often, monkeypatch, [1.0, 1.0])
    assert saved == [(0, 1), (0, 2), (1, 2), (1, 3), (1, 4), (2, 4)]


def test_fit_names_the_last_good_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss of NaN in the second epoch leaves the state of the first one to resume from."""
    trainer, run = poem_trainer(config()), Run(tmp_path)
    steps = train_steps

    def diverging(trainer: Trainer) -> Any:
        if trainer.progress.epoch == 1:
            with torch.no_grad():
                trainer.network.output_bias[7] = math.nan
        return steps(trainer)

    monkeypatch.setattr(loop, "train_steps", diverging)
    with pytest.raises(PoetgenError, match=r"\(epoch 2, batch 1\) is nan") as caught:
        fit(trainer, run)
    step = trainer.progress.step
    assert f"{run.last} has the state after step {step}: resume from it" in caught.value.fix
    assert read_training_state(run.last).parts.progress.step == step
    run.last.unlink()
    with pytest.raises(PoetgenError) as caught:
        fit(trainer, run)
    assert "--resume" not in caught.value.fix


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
    ids=["python", "cuda", "cpu"],
)
def test_memory_error_says_what_to_lower(error: Exception) -> None:
    with (
        pytest.raises(PoetgenError, match="not enough memory on cpu") as caught,
        loop._memory_errors_explained(torch.device("cpu"), 4096),
    ):
        raise error
    assert "train.batch_tokens=2048" in caught.value.fix
    assert "model.hidden_size" in caught.value.fix


def test_other_runtime_errors_pass() -> None:
    with (
        pytest.raises(RuntimeError, match="illegal memory access"),
        loop._memory_errors_explained(torch.device("cpu"), 4096),
    ):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

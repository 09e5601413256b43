"""Training step by step: what a step does, what a run keeps."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from poetgen.config import ConditionsConfig, Config, TrainConfig, build_config
from poetgen.data.batches import num_batches, training_batches
from poetgen.data.lines import LineSet
from poetgen.data.poem import MARKS, Poem
from poetgen.data.training_text import TrainingText
from poetgen.data.vocab import BOS, EOS, SPECIALS, Vocabulary
from poetgen.model.likelihood import Likelihood, score, token_nats, total
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import load_model, new_model
from poetgen.training import loop
from poetgen.training.checkpoint import Progress
from poetgen.training.loop import (
    StepReport,
    Trainer,
    autocast,
    count_steps,
    fit,
    learning_rate_at,
    new_optimiser,
    train_steps,
    uses_bf16,
)
from poetgen.training.run_folder import RunFolder

VOCAB = Vocabulary((*SPECIALS, *MARKS, *"山水云月风花雪夜"))
CPU = torch.device("cpu")
TOLD = Vocabulary((*VOCAB.symbols, "<form:五绝>", "<author:云>"))
POEMS = [
    Poem(
        "".join(
            "，。"[i // 5 % 2] if i % 6 == 5 else VOCAB.symbols[8 + (row + i) % 8]
            for i in range(24)
        )
    )
    for row in range(10)
]
LINES = (LineSet.of(POEMS),)
VALID = [Poem("山水云月风，花雪夜山水。"), Poem("月夜花山云，风雪水云山。")]


def config(**train: Any) -> Config:
    given = {"warmup_steps": 2, "precision": "fp32", "batch_tokens": 128, "epochs": 3, **train}
    shape = {
        "embedding_size": 8,
        "hidden_size": 16,
        "num_layers": 1,
        "input_dropout": 0.0,
        "layer_dropout": 0.0,
        "output_dropout": 0.0,
    }
    return build_config({"model": shape, "train": given})


def train_config(**train: Any) -> TrainConfig:
    return config(**train).train


def trainer(dropout: float = 0.0, **train: Any) -> Trainer:
    torch.manual_seed(1)
    chosen = config(**train)
    model = PoemLSTM(
        len(VOCAB),
        embedding_size=8,
        hidden_size=16,
        num_layers=1,
        input_dropout=dropout,
        output_dropout=dropout,
    )
    return Trainer(model, new_optimiser(model, chosen.train), chosen.train, Progress())


def sequences(count: int, length: int = 20) -> list[list[int]]:
    """Rows that count through the characters, each from its own place."""
    return [[BOS, *(4 + (row + i) % 12 for i in range(length)), EOS] for row in range(count)]


def steps(work: Trainer, rows: Sequence[Sequence[int]]) -> Iterator[StepReport]:
    """The rest of an epoch of a run that reads the same `rows` in every one."""
    total_steps = work.config.epochs * num_batches(rows, batch_tokens=work.config.batch_tokens)
    return train_steps(work, rows, total_steps)


def test_loss_starts_at_uniform_and_falls() -> None:
    work = trainer(epochs=40, learning_rate=0.02)
    rows = sequences(12)
    losses = []
    for _ in range(40):
        losses += [report.nats / report.tokens for report in steps(work, rows)]
        work.progress.finish_epoch(0.0)
    assert losses[0] == pytest.approx(math.log(len(VOCAB)), abs=0.15)
    assert losses[-1] < 0.3 * losses[0]


def test_schedule_rises_in_a_line_and_falls_along_half_a_cosine() -> None:
    chosen = train_config(learning_rate=1.0, warmup_steps=4, final_rate=0.1)
    rates = {step: learning_rate_at(step, 14, chosen) for step in (0, 1, 2, 3, 4, 9, 14, 99)}
    # Half-way down, at step 9 of 4…14, is the mean of 1 and .1.
    assert rates == pytest.approx(
        {0: 0.25, 1: 0.5, 2: 0.75, 3: 1.0, 4: 1.0, 9: 0.55, 14: 0.1, 99: 0.1}
    )
    sixth = 0.1 + 0.9 * (1 + math.cos(math.pi / 5)) / 2
    assert learning_rate_at(6, 14, chosen) == pytest.approx(sixth)


def test_schedule_without_warm_up_and_with_nothing_but_warm_up() -> None:
    chosen = train_config(learning_rate=2.0, warmup_steps=0)
    assert learning_rate_at(0, 10, chosen) == 2.0
    assert learning_rate_at(5, 10, chosen) == pytest.approx(1.0)
    assert learning_rate_at(10, 10, chosen) == pytest.approx(0.0)
    long = train_config(learning_rate=2.0, warmup_steps=100)
    assert learning_rate_at(9, 10, long) == pytest.approx(0.2)
    assert learning_rate_at(99, 10, long) == pytest.approx(2.0)


def test_steps_follow_the_schedule_of_the_whole_run() -> None:
    work = trainer(epochs=2, warmup_steps=2, learning_rate=0.01)
    rows = sequences(20)  # 20 rows of 25 places, 5 in a batch: 4 batches an epoch
    assert num_batches(rows, batch_tokens=128) == 4
    seen = []
    for report in steps(work, rows):
        assert {group["lr"] for group in work.optimiser.param_groups} == {report.learning_rate}
        seen.append(report.learning_rate)
    work.progress.finish_epoch(0.0)
    seen += [report.learning_rate for report in steps(work, rows)]
    fall = [0.005 * (1 + math.cos(math.pi * done / 6)) for done in range(6)]
    assert seen == pytest.approx([0.005, 0.01, *fall])


def test_reports_and_progress_count_the_same() -> None:
    work = trainer()
    rows = sequences(7)
    reports = list(steps(work, rows))
    assert [report.step for report in reports] == [1, 2]
    assert sorted(report.tokens for report in reports) == [2 * 21, 5 * 21]
    progress = work.progress
    assert (progress.step, progress.batch, progress.epoch) == (2, 2, 0)
    assert progress.epoch_tokens == 7 * 21
    assert progress.epoch_nats == sum(report.nats for report in reports)
    assert progress.train_nats_per_token == progress.epoch_nats / 147


def test_epoch_goes_on_from_the_batch_where_progress_stands() -> None:
    rows = sequences(20)
    work = trainer()
    work.progress.batch = work.progress.step = 3
    (report,) = steps(work, rows)
    fresh = trainer()
    last = list(training_batches(rows, batch_tokens=128, seed=1, epoch=0))[3]
    expected = token_nats(fresh.model, last).sum().item()
    assert report.nats == pytest.approx(expected, rel=1e-5)
    assert list(steps(work, rows)) == []


def test_padding_counts_neither_in_the_loss_nor_in_the_gradient() -> None:
    """Two poems of 12 places stand in a batch of 5 rows and 25 places."""
    rows = sequences(2, length=11)
    work = trainer(clip_norm=0)
    ids = torch.tensor(rows)
    logits = work.model(ids[:, :-1])[0]
    nats = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    gradients = torch.autograd.grad(nats.mean(), list(work.model.parameters()))
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
    (report,) = steps(work, rows)
    assert report.tokens == 24
    assert report.nats == pytest.approx(nats.sum().item(), rel=1e-5)
    assert report.gradient_norm == pytest.approx(norm, rel=1e-4)


def gradient_norm_at_the_step(work: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seen = []
    step = work.optimiser.step

    def spy() -> None:
        gradients = [p.grad.flatten() for p in work.model.parameters() if p.grad is not None]
        seen.append(torch.cat(gradients).norm().item())
        step()

    monkeypatch.setattr(work.optimiser, "step", spy)
    return seen


def test_gradient_is_clipped_and_reported_unclipped(monkeypatch: pytest.MonkeyPatch) -> None:
    work = trainer(clip_norm=0.01)
    used = gradient_norm_at_the_step(work, monkeypatch)
    reports = list(steps(work, sequences(5)))
    assert used == pytest.approx([0.01], rel=1e-3)
    assert reports[0].gradient_norm > 0.05


def test_clip_norm_zero_means_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    work = trainer(clip_norm=0)
    used = gradient_norm_at_the_step(work, monkeypatch)
    (report,) = steps(work, sequences(5))
    assert used == pytest.approx([report.gradient_norm], rel=1e-6)
    assert used[0] > 0.05


def test_gradients_of_one_step_do_not_reach_the_next() -> None:
    work = trainer()
    for _ in steps(work, sequences(8)):
        assert all(parameter.grad is None for parameter in work.model.parameters())


def test_weight_decay_is_on_matrices_alone() -> None:
    work = trainer(weight_decay=0.25, betas=[0.8, 0.95])
    matrices, vectors = work.optimiser.param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.25, 0.0)
    assert matrices["betas"] == vectors["betas"] == (0.8, 0.95)
    assert {p.ndim for p in matrices["params"]} == {2}
    assert {p.ndim for p in vectors["params"]} == {1}
    both = [*matrices["params"], *vectors["params"]]
    assert len(both) == len(list(work.model.parameters()))


def test_training_drops_out_even_after_an_evaluation() -> None:
    """`score` leaves a model in evaluation mode when it is broken off."""
    rows = sequences(5)
    nats = []
    for dropout in (0.0, 0.6):
        work = trainer(dropout=dropout)
        work.model.eval()
        nats.append(next(steps(work, rows)).nats)
    assert abs(nats[0] - nats[1]) > 1e-3


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_precision_that_is_named_is_taken(device: str) -> None:
    assert uses_bf16(torch.device(device), "bf16")
    assert not uses_bf16(torch.device(device), "fp32")


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"),
    [(False, False, False), (True, False, True), (False, True, True)],
)
def test_auto_is_bf16_on_a_cpu_that_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, avx512: bool, amx: bool, expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert uses_bf16(CPU, "auto") is expected


def test_auto_is_fp32_where_torch_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert not uses_bf16(CPU, "auto")
    assert not uses_bf16(torch.device("mps"), "auto")


@pytest.mark.parametrize("native", [True, False])
def test_auto_on_cuda_asks_for_native_bf16(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert uses_bf16(torch.device("cuda"), "auto") is native


def test_autocast_computes_in_the_precision_chosen() -> None:
    weight = torch.ones(2, 2)
    for precision, expected in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with autocast(CPU, precision):
            assert (weight @ weight).dtype == expected


def test_step_in_bf16_keeps_weights_and_loss_in_fp32() -> None:
    rows = sequences(5)
    exact = next(steps(trainer(), rows)).nats
    work = trainer(precision="bf16")
    rounded = next(steps(work, rows)).nats
    assert rounded == pytest.approx(exact, rel=1e-2)
    assert rounded != exact
    assert {parameter.dtype for parameter in work.model.parameters()} == {torch.float32}


def fit_in(path: Path, chosen: Config) -> tuple[Progress, RunFolder]:
    """`fit` of a fresh model in the run folder `path`."""
    torch.manual_seed(1)
    model = new_model(chosen, VOCAB)
    work = Trainer(model, new_optimiser(model, chosen.train), chosen.train, Progress())
    folder = RunFolder(path)
    progress = fit(
        work,
        text=TrainingText(POEMS, VOCAB, chosen),
        valid=VALID,
        vocab=VOCAB,
        config=chosen,
        corpus="c0ffee",
        lines=LINES,
        folder=folder,
    )
    return progress, folder


def run_fit(
    path: Path, chosen: Config, monkeypatch: pytest.MonkeyPatch, validations: Sequence[float]
) -> tuple[Progress, RunFolder, list[dict[str, torch.Tensor]]]:
    """`fit` with the validations given, one an epoch; and the weights after each epoch."""
    weights = []
    results = iter(validations)

    def scripted(model: PoemLSTM, poems: list[Poem], vocab: Vocabulary) -> list[Likelihood]:
        assert (poems, vocab) == (VALID, VOCAB)
        weights.append({name: w.detach().clone() for name, w in model.state_dict().items()})
        return [Likelihood(1, 1, 0, 1, next(results))]

    monkeypatch.setattr(loop, "score", scripted)
    progress, folder = fit_in(path, chosen)
    return progress, folder, weights


def test_best_model_is_that_of_the_best_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = config(epochs=4)
    progress, folder, weights = run_fit(tmp_path, chosen, monkeypatch, [5.0, 3.0, 4.0, 3.0])
    assert (progress.epoch, progress.step) == (4, 8)
    assert (progress.best_epoch, progress.best_nats_per_token) == (2, 3.0)
    best = load_model(folder.best)
    assert best.metrics["epoch"] == 2.0
    assert best.metrics["valid_nats_per_token"] == 3.0
    assert best.metrics["valid_perplexity"] == pytest.approx(math.exp(3))
    assert (best.vocab, best.config, best.corpus) == (VOCAB, chosen, "c0ffee")
    for name, weight in best.model.state_dict().items():
        assert torch.equal(weight, weights[1][name])
        assert not torch.equal(weight, weights[2][name])


def test_training_lines_go_into_the_model_file(tmp_path: Path) -> None:
    _, folder = fit_in(tmp_path, config(epochs=1))
    (lines,) = load_model(folder.best).lines
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
    ids=["never", "at once", "after two since the best", "equal is no better"],
)
def test_early_stop(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: int,
    validations: list[float],
    epochs: int,
) -> None:
    chosen = config(epochs=5, early_stop_epochs=patience)
    progress, folder, _ = run_fit(tmp_path, chosen, monkeypatch, validations)
    assert progress.epoch == epochs
    assert folder.last.is_file()


def test_validation_is_the_likelihood_of_the_validation_poems(tmp_path: Path) -> None:
    chosen = config(epochs=1)
    progress, folder = fit_in(tmp_path, chosen)
    expected = total(score(load_model(folder.best).model, VALID, VOCAB)).nats_per_token
    assert progress.best_nats_per_token == pytest.approx(expected, rel=1e-6)


def told_text(chosen: Config) -> TrainingText:
    """Poems of which some are told a form and an author, which puts them into other buckets."""
    poems = [Poem(poem.text, "", "云") for poem in POEMS] * 4
    return TrainingText(poems, TOLD, chosen)


def test_steps_of_a_run_are_those_of_its_epochs_whose_conditions_differ() -> None:
    whole = config(epochs=6)
    chosen = whole.model_copy(update={"conditions": ConditionsConfig(form=0.5, author=0.5)})
    text = told_text(chosen)
    steps_of = [num_batches(text.epoch(number), batch_tokens=128) for number in range(6)]
    assert len(set(steps_of)) > 1, "the epochs should differ in their number of steps"
    assert count_steps(text, chosen.train) == sum(steps_of)


def test_last_step_of_a_run_with_conditions_has_almost_the_lowest_rate(tmp_path: Path) -> None:
    """The schedule is laid over the steps that there really are."""
    chosen = config(epochs=6, learning_rate=1.0e-3, warmup_steps=0, save_every=1e6).model_copy(
        update={"conditions": ConditionsConfig(form=0.5, author=0.5)}
    )
    text = told_text(chosen)
    total_steps = count_steps(text, chosen.train)
    torch.manual_seed(1)
    model = new_model(chosen, TOLD)
    work = Trainer(model, new_optimiser(model, chosen.train), chosen.train, Progress())
    progress = fit(
        work,
        text=text,
        valid=VALID,
        vocab=TOLD,
        config=chosen,
        corpus="c0ffee",
        lines=(),
        folder=RunFolder(tmp_path),
    )
    assert progress.step == total_steps
    (rate,) = {group["lr"] for group in work.optimiser.param_groups}
    assert rate == learning_rate_at(total_steps - 1, total_steps, chosen.train)
    assert 0 < rate < 1e-5


def test_training_state_is_saved_as_often_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[tuple[int, int]] = []

    def note(_p: Path, _m: object, _o: object, progress: Progress, *_rest: object) -> None:
        saved.append((progress.epoch, progress.step))

    monkeypatch.setattr(loop, "save_training_state", note)
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=clock))
    run_fit(tmp_path, config(epochs=2, save_every=1e6), monkeypatch, [1.0, 1.0])
    assert saved == [(1, 2), (2, 4)]
    saved.clear()
    run_fit(tmp_path, config(epochs=2, save_every=0.5), monkeypatch, [1.0, 1.0])
    assert saved == [(0, 1), (0, 2), (1, 2), (1, 3), (1, 4), (2, 4)]

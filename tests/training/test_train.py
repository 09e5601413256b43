"""Whole runs: finished, stopped and resumed, migrated, and refused."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from poetgen.config import RENAMED_KEYS, ConditionsConfig, Config, build_config, load_config
from poetgen.data.clean import CleaningReport
from poetgen.data.corpus import Corpus
from poetgen.data.poem import Poem
from poetgen.errors import CorpusError, ModelFileError, PoetgenError
from poetgen.model.file import load_model
from poetgen.model.scoring import validate
from poetgen.runs import RUNS, Run
from poetgen.training import init, loop
from poetgen.training.log import RunLog
from poetgen.training.loop import train
from poetgen.training.prepare import RunPlan, TrainOptions, prepare
from poetgen.training.signals import Interrupted
from poetgen.training.state import Progress, StepReport, Trainer
from tests.training.trainers import write_version_2

CPU = torch.device("cpu")
STEPS_PER_EPOCH = 16  # of `tiny_config` on the starter verses
TIMES = ("seconds", "tokens_per_second")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, logger="poetgen")


@dataclass(frozen=True)
class Result:
    """A finished run."""

    run: Run
    progress: Progress


def start(config: Config, corpus: Corpus, name: str, *, overwrite: bool = False) -> Result:
    run = Run.reserve(name, overwrite=overwrite)
    return Result(run, train(RunPlan(config, corpus, run, overwrite=overwrite), CPU))


def resume(config: Config, corpus: Corpus, name: str) -> Result:
    run = Run.open(name)
    return Result(run, train(RunPlan(config, corpus, run, resume=True), CPU))


def best_weights(run: Run) -> dict[str, Tensor]:
    return dict(load_model(run.best).network.state_dict())


def metrics(run: Run) -> list[dict[str, Any]]:
    """The entries of the metrics file without the values that depend on the clock."""
    entries = map(json.loads, run.metrics.read_text(encoding="utf-8").splitlines())
    return [{k: v for k, v in entry.items() if k not in TIMES} for entry in entries]


def contents(run: Run) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in run.path.iterdir()}


def with_train(config: Config, **changes: Any) -> Config:
    assert set(changes) <= set(type(config.train).model_fields)
    return config.model_copy(update={"train": config.train.model_copy(update=changes)})


def with_conditions(config: Config) -> Config:
    conditions = ConditionsConfig(
        form_rate=0.5, author_rate=0.5, title_rate=0.5, author_min_poems=20
    )
    return config.model_copy(update={"conditions": conditions})


@pytest.fixture(scope="module")
def attributed(starter: Corpus) -> Corpus:
    """The starter verses with titles and authors."""
    splits = {
        split: [
            replace(poem, title=poem.text[: i % 5], author=("竹客", "溪翁", "")[i % 3])
            for i, poem in enumerate(poems)
        ]
        for split, poems in starter.splits.items()
    }
    return Corpus(splits, starter.cleaning)


def assert_same_run(ours: Result, theirs: Result) -> None:
    assert ours.progress == theirs.progress
    assert metrics(ours.run) == metrics(theirs.run)
    expected = best_weights(theirs.run)
    for name, weight in best_weights(ours.run).items():
        assert torch.equal(weight, expected[name]), name
    one, other = (
        torch.load(result.run.last, weights_only=True)["network"] for result in (ours, theirs)
    )
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], object]) -> None:
    """Call `act` once, after step `step`."""
    original = RunLog.step

    def hook(log: RunLog, report: StepReport) -> None:
        original(log, report)
        if report.step == step:
            monkeypatch.setattr(RunLog, "step", original)
            act()

    monkeypatch.setattr(RunLog, "step", hook)


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def test_train_writes_all_files_and_logs_a_summary(
    tiny_config: Config, starter: Corpus, caplog: pytest.LogCaptureFixture
) -> None:
    result = start(tiny_config, starter, "spring")
    run = result.run
    assert sorted(contents(run)) == ["best.safetensors", "config.yaml", "last.pt", "metrics.jsonl"]
    assert (RUNS / "latest").read_text(encoding="utf-8") == "spring\n"
    assert load_config(str(run.config)) == tiny_config
    assert (result.progress.epoch, result.progress.step) == (2, 2 * STEPS_PER_EPOCH)
    assert [(entry["kind"], entry["step"], entry["epoch"]) for entry in metrics(run)] == [
        ("step", 10, 1),
        ("validation", 16, 1),
        ("step", 20, 2),
        ("step", 30, 2),
        ("validation", 32, 2),
    ]
    preparing, message, *epochs = caplog.messages
    assert preparing == "preparing 372 training poems"
    assert [text.partition("  ")[0] for text in epochs if "epoch " in text] == [
        "epoch 1/2",
        "epoch 2/2",
    ]
    assert "checkpoints/spring" in message
    assert "cpu, fp32" in message
    assert "from step" not in message


def test_validation_reports_each_poem(
    tiny_config: Config, starter: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[int] = []
    monkeypatch.setattr(RunLog, "validated", lambda _, num_poems: scored.append(num_poems))
    start(tiny_config, starter, "spring")
    assert sum(scored) == 2 * len(starter.splits["valid"])


def test_train_writes_a_tensorboard_log(
    tiny_config: Config, starter: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[str] = []

    class Writer:
        def __init__(self, folder: str, **_: object) -> None:
            folders.append(folder)

        def add_scalar(self, tag: str, value: float, step: int) -> None: ...

        def close(self) -> None: ...

    fake = SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    start(with_train(tiny_config, tensorboard=True), starter, "spring")
    start(tiny_config, starter, "autumn")
    assert folders == [str(RUNS / "spring")]


def test_best_model_has_the_lowest_validation(tiny_config: Config, starter: Corpus) -> None:
    run = start(tiny_config, starter, "spring").run
    best = load_model(run.best)
    validations = [entry for entry in metrics(run) if entry["kind"] == "validation"]
    lowest = min(entry["valid_nats_per_token"] for entry in validations)
    assert best.corpus_fingerprint == starter.fingerprint
    assert best.config.model == tiny_config.model
    assert best.config.data.corpus == []  # the owner's paths are private
    assert best.metrics["valid_nats_per_token"] == pytest.approx(lowest, abs=1e-5)
    trained_on = {character for poem in starter.splits["train"] for character in poem.text}
    assert set(best.vocab.symbols[4:]) == trained_on | set("，。？！")


def test_seed_determines_the_run(tiny_config: Config, starter: Corpus) -> None:
    first, second = (start(tiny_config, starter, name) for name in ("spring", "autumn"))
    assert_same_run(first, second)
    third = start(with_train(tiny_config, seed=2), starter, "winter")
    assert metrics(third.run) != metrics(first.run)


@pytest.mark.parametrize(
    ("number", "code", "step"),
    [
        (signal.SIGTERM, 143, 5),
        (signal.SIGINT, 130, STEPS_PER_EPOCH),
        (signal.SIGINT, 130, 15),
        (signal.SIGTERM, 143, 2 * STEPS_PER_EPOCH),
    ],
    ids=["first epoch", "last step of an epoch", "second epoch", "last step of all"],
)
def test_stopped_and_resumed_run_equals_a_straight_one(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tiny_config: Config,
    starter: Corpus,
    number: signal.Signals,
    code: int,
    step: int,
) -> None:
    straight = start(tiny_config, starter, "straight")
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    at_step(monkeypatch, step, send(number))
    with pytest.raises(Interrupted) as caught:
        start(tiny_config, starter, "stopped")
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert caught.value.exit_code == code
    assert f"{number.name} after step {step};" in caught.value.why
    assert "poetgen train --run stopped --resume" in caught.value.fix

    resumed = resume(tiny_config, starter, "stopped")
    assert f"from step {step}" in caplog.text
    assert_same_run(resumed, straight)


def test_run_stopped_in_validation_repeats_it(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, starter: Corpus
) -> None:
    straight = start(tiny_config, starter, "straight")

    def stopped_validation(*_: Any, **__: Any) -> Any:
        send(signal.SIGTERM)()
        pytest.fail("the signal should have stopped the validation immediately")

    monkeypatch.setattr(loop, "validate", stopped_validation)
    with pytest.raises(Interrupted) as caught:
        start(tiny_config, starter, "stopped")
    assert caught.value.exit_code == 143
    assert not Run(RUNS / "stopped").best.exists()
    monkeypatch.setattr(loop, "validate", validate)
    assert_same_run(resume(tiny_config, starter, "stopped"), straight)


def test_run_stopped_between_epochs(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, starter: Corpus
) -> None:
    """The signal is not deferred to the first step of the next epoch."""
    straight = start(tiny_config, starter, "straight")
    original = RunLog.epoch

    def stopped_epoch(*args: Any) -> None:
        original(*args)
        monkeypatch.setattr(RunLog, "epoch", original)
        send(signal.SIGTERM)()

    monkeypatch.setattr(RunLog, "epoch", stopped_epoch)
    with pytest.raises(Interrupted) as caught:
        start(tiny_config, starter, "stopped")
    assert f"after step {STEPS_PER_EPOCH};" in caught.value.why
    assert_same_run(resume(tiny_config, starter, "stopped"), straight)


def test_run_stopped_twice_equals_a_straight_one(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, starter: Corpus
) -> None:
    straight = start(tiny_config, starter, "straight")
    at_step(monkeypatch, 3, send(signal.SIGINT))
    with pytest.raises(Interrupted):
        start(tiny_config, starter, "stopped")
    at_step(monkeypatch, 13, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        resume(tiny_config, starter, "stopped")
    assert_same_run(resume(tiny_config, starter, "stopped"), straight)


@pytest.mark.parametrize("step", [5, 20], ids=["first epoch", "second epoch"])
def test_resumed_run_draws_the_same_conditions(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, attributed: Corpus, step: int
) -> None:
    config = with_conditions(tiny_config)
    straight = start(config, attributed, "straight")
    assert straight.progress.step > 20, "the second stop should be in the second epoch"
    at_step(monkeypatch, step, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        start(config, attributed, "stopped")
    assert_same_run(resume(config, attributed, "stopped"), straight)


def test_conditions_add_symbols_and_change_the_run(tiny_config: Config, attributed: Corpus) -> None:
    bare = start(tiny_config, attributed, "bare")
    conditioned = start(with_conditions(tiny_config), attributed, "conditioned")
    symbols = load_model(conditioned.run.best).vocab.symbols
    assert "<title>" in symbols
    assert "<author:竹客>" in symbols
    assert "<title>" not in load_model(bare.run.best).vocab.symbols
    assert metrics(conditioned.run) != metrics(bare.run)


def test_resume_with_other_authors_is_refused(tiny_config: Config, attributed: Corpus) -> None:
    config = with_conditions(tiny_config)
    start(config, attributed, "spring")
    train_split = [replace(poem, author="溪翁") for poem in attributed.splits["train"]]
    other = Corpus({**attributed.splits, "train": train_split}, attributed.cleaning)
    with pytest.raises(ModelFileError) as caught:
        resume(config, other, "spring")
    assert "another corpus" in caught.value.why


def test_finetuning_resumes_without_pretrained_file(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tiny_config: Config,
    starter: Corpus,
    attributed: Corpus,
) -> None:
    origin = start(with_train(tiny_config, epochs=1), starter, "origin").run
    config = with_conditions(with_train(tiny_config, init_from="origin"))
    straight = start(config, attributed, "straight")
    at_step(monkeypatch, 13, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        start(config, attributed, "stopped")
    origin.best.unlink()
    resumed = resume(load_config("checkpoints/stopped/config.yaml"), attributed, "stopped")
    assert "from step 13" in caplog.text
    assert_same_run(resumed, straight)


def test_init_from_is_in_the_run_but_not_in_its_model(tiny_config: Config, starter: Corpus) -> None:
    start(with_train(tiny_config, epochs=1), starter, "origin")
    without_architecture = build_config(
        {
            "data": {"min_count": 1},
            "train": {"init_from": "origin", "epochs": 1, "precision": "fp32"},
        }
    )
    run = start(without_architecture, starter, "spring").run
    saved = load_config(str(run.config))
    assert saved.train.init_from == "origin"
    assert saved.model.hidden_size == tiny_config.model.hidden_size
    bundle = load_model(run.best)
    assert bundle.config.train.init_from == ""
    assert bundle.config.model.hidden_size == tiny_config.model.hidden_size


def test_overwrite_can_start_from_the_run_itself(tiny_config: Config, starter: Corpus) -> None:
    before = best_weights(start(tiny_config, starter, "spring").run)
    config = with_train(
        tiny_config, init_from="spring", learning_rate=1e-9, epochs=1, ema_decay=0.0
    )
    run = start(config, starter, "spring", overwrite=True).run
    for name, weight in best_weights(run).items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=1e-6)


def test_overwrite_keeps_the_run_if_model_is_missing(tiny_config: Config, starter: Corpus) -> None:
    run = start(with_train(tiny_config, epochs=1), starter, "spring").run
    before = contents(run)
    with pytest.raises(ModelFileError) as caught:
        start(with_train(tiny_config, init_from="gone"), starter, "spring", overwrite=True)
    assert "there is no model gone" in caught.value.why
    assert contents(run) == before


def test_killed_run_resumes_from_its_last_save(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tiny_config: Config,
    starter: Corpus,
) -> None:
    config = with_train(tiny_config, save_interval_seconds=1e-9)
    straight = start(config, starter, "straight")

    def die() -> None:
        raise ZeroDivisionError

    at_step(monkeypatch, 13, die)
    with pytest.raises(ZeroDivisionError):
        start(config, starter, "killed")
    resumed = resume(config, starter, "killed")
    assert "from step 12" in caplog.text
    assert_same_run(resumed, straight)


def test_resume_of_a_finished_run_changes_nothing(
    tiny_config: Config, starter: Corpus, caplog: pytest.LogCaptureFixture
) -> None:
    first = start(tiny_config, starter, "spring")
    before = first.run.best.read_bytes(), first.run.metrics.read_bytes()
    again = resume(tiny_config, starter, "spring")
    assert again.progress == first.progress
    assert caplog.messages[-1] == (
        "this run has finished; to train further: "
        "poetgen train --run spring --resume --set train.epochs=4"
    )
    assert (again.run.best.read_bytes(), again.run.metrics.read_bytes()) == before


def test_resume_of_a_finished_run_for_more_epochs(tiny_config: Config, starter: Corpus) -> None:
    start(tiny_config, starter, "spring")
    result = resume(with_train(tiny_config, epochs=3), starter, "spring")
    assert (result.progress.epoch, result.progress.step) == (3, 3 * STEPS_PER_EPOCH)
    validations = [e["epoch"] for e in metrics(result.run) if e["kind"] == "validation"]
    assert validations == [1, 2, 3]
    assert load_config(str(result.run.config)).train.epochs == 3


def write_old_config(run: Run) -> None:
    """Rewrite the configuration of a run with the keys of format version 1."""
    values = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    old = {}
    for section, keys in values.items():
        names = {new: before for before, new in RENAMED_KEYS[section].items()}
        old[section] = {names.get(key, key): value for key, value in keys.items()}
    assert "average_decay" in old["train"]
    run.config.write_text(yaml.safe_dump(old), encoding="utf-8")


def test_run_of_an_older_version_resumes(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, starter: Corpus
) -> None:
    straight = start(tiny_config, starter, "straight")
    at_step(monkeypatch, 13, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        start(tiny_config, starter, "old")
    run = Run.open("old")
    write_old_config(run)
    write_version_2(run.last)
    plan = prepare(TrainOptions(run="old", resume=True))
    assert plan.config.train == tiny_config.train
    resumed = Result(run, train(plan, CPU))
    assert_same_run(resumed, straight)
    assert load_config(str(run.config)) == tiny_config


def test_resume_applies_a_changed_weight_decay(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, starter: Corpus
) -> None:
    at_step(monkeypatch, 2, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        start(tiny_config, starter, "spring")
    seen: list[float] = []

    def look(trainer: Trainer, _: Run) -> None:
        seen.extend(group["weight_decay"] for group in trainer.optimizer.param_groups)

    monkeypatch.setattr(loop, "fit", look)
    resume(with_train(tiny_config, weight_decay=0.5), starter, "spring")
    assert seen == [0.5, 0.0]


def test_resume_with_another_corpus_is_refused(tiny_config: Config, starter: Corpus) -> None:
    first = start(tiny_config, starter, "spring")
    before = contents(first.run)
    splits = {split: list(poems) for split, poems in starter.splits.items()}
    splits["train"] = splits["train"][:-1]
    with pytest.raises(ModelFileError) as caught:
        resume(tiny_config, Corpus(splits, starter.cleaning), "spring")
    assert "another corpus" in caught.value.why
    assert contents(first.run) == before


def test_resume_of_a_damaged_state_is_refused(tiny_config: Config, starter: Corpus) -> None:
    first = start(tiny_config, starter, "spring")
    first.run.last.write_bytes(first.run.last.read_bytes()[:1000])
    before = contents(first.run)
    with pytest.raises(ModelFileError):
        resume(tiny_config, starter, "spring")
    assert contents(first.run) == before


@pytest.mark.parametrize("empty", ["train", "valid"])
def test_train_refuses_an_empty_split(tiny_config: Config, empty: str) -> None:
    poem = Poem("山月照松林，溪声入夜深。")
    splits = {"train": [poem], "valid": [poem], "test": []}
    splits[empty] = []
    corpus = Corpus(splits, CleaningReport())  # type: ignore[arg-type]
    with pytest.raises(CorpusError) as caught:
        start(tiny_config, corpus, "spring")
    assert caught.value.exit_code == 1
    assert caught.value.why == f"the corpus has 1 poem, and its {empty} split is empty"
    assert "more poems" in caught.value.fix
    assert not RUNS.exists()


def test_overwrite_replaces_the_run(tiny_config: Config, starter: Corpus) -> None:
    start(tiny_config, starter, "spring")
    run = start(with_train(tiny_config, epochs=1), starter, "spring", overwrite=True).run
    assert [entry["kind"] for entry in metrics(run)] == ["step", "validation"]
    assert load_config(str(run.config)).train.epochs == 1


def test_overwrite_keeps_the_run_if_a_split_is_empty(tiny_config: Config, starter: Corpus) -> None:
    run = start(tiny_config, starter, "spring").run
    before = contents(run)
    few = Corpus({**starter.splits, "valid": []}, starter.cleaning)
    with pytest.raises(CorpusError):
        start(tiny_config, few, "spring", overwrite=True)
    assert contents(run) == before


def test_train_warns_of_known_validation_poems(
    tiny_config: Config, starter: Corpus, caplog: pytest.LogCaptureFixture
) -> None:
    first = start(with_train(tiny_config, epochs=1), starter, "first").run
    config = with_train(tiny_config, epochs=1, init_from=str(first.best))
    known = replace(starter, splits={**starter.splits, "valid": starter.splits["train"][:7]})

    def warnings(corpus: Corpus, name: str) -> list[str]:
        caplog.clear()
        start(config, corpus, name)
        return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]

    assert warnings(starter, "fair") == []
    (warning,) = warnings(known, "unfair")
    assert "trained on 7 of the 7 validation poems" in warning


def test_out_of_memory_is_explained(
    tiny_config: Config, starter: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(init, "initial_state", full)
    with pytest.raises(PoetgenError, match="not enough memory on cpu"):
        start(tiny_config, starter, "large")
    assert not Path("checkpoints/large").exists()

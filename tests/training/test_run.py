"""Whole runs: to their end, stopped and resumed, and refused."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from poetgen.config import ConditionsConfig, Config, build_config, load_config
from poetgen.data.clean import CleaningReport
from poetgen.data.corpus import Corpus
from poetgen.data.poem import Poem
from poetgen.errors import CorpusError, ModelFileError, PoetgenError
from poetgen.model.likelihood import score
from poetgen.model.store import load_model
from poetgen.training import loop, run
from poetgen.training.run import RunResult, train
from poetgen.training.run_folder import RunFolder, new_run, old_run
from poetgen.training.runlog import RunLog
from poetgen.training.signals import Interrupted

CPU = torch.device("cpu")
STEPS_PER_EPOCH = 16  # of `tiny_config` on the starter verses
TIMES = ("seconds", "tokens_per_second")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def start(config: Config, corpus: Corpus, name: str) -> RunResult:
    folder = new_run(name, fresh=False)
    return train(config, corpus, folder, resume=False, device=CPU, tell=lambda _: None)


def resume(config: Config, corpus: Corpus, name: str) -> tuple[RunResult, list[str]]:
    told: list[str] = []
    folder = old_run(name)
    return train(config, corpus, folder, resume=True, device=CPU, tell=told.append), told


def best_weights(folder: RunFolder) -> dict[str, Tensor]:
    return dict(load_model(folder.best).model.state_dict())


def logged(folder: RunFolder) -> list[dict[str, Any]]:
    """The metrics without what the clock decides."""
    lines = folder.metrics.read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


def with_train(config: Config, **changes: Any) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update=changes)})


def with_conditions(config: Config) -> Config:
    conditions = ConditionsConfig(form=0.5, author=0.5, title=0.5, author_min_poems=20)
    return config.model_copy(update={"conditions": conditions})


@pytest.fixture(scope="module")
def told(starter: Corpus) -> Corpus:
    """The starter verses under titles, by authors."""
    splits = {
        split: [
            replace(poem, title=poem.text[: i % 5], author=("竹客", "溪翁", "")[i % 3])
            for i, poem in enumerate(side)
        ]
        for split, side in starter.splits.items()
    }
    return Corpus(splits, starter.cleaning)


def assert_same_run(ours: RunResult, theirs: RunResult) -> None:
    assert ours.progress == theirs.progress
    assert logged(ours.folder) == logged(theirs.folder)
    expected = best_weights(theirs.folder)
    for name, weight in best_weights(ours.folder).items():
        assert torch.equal(weight, expected[name]), name
    one, other = (
        torch.load(result.folder.last, weights_only=True)["model"] for result in (ours, theirs)
    )
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], object]) -> None:
    """Have `act` happen once, after step number `step`."""
    original = RunLog.step

    def hook(log: RunLog, report: loop.StepReport) -> None:
        original(log, report)
        if report.step == step:
            monkeypatch.setattr(RunLog, "step", original)
            act()

    monkeypatch.setattr(RunLog, "step", hook)


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def test_run_leaves_all_its_files_and_says_what_it_is(tiny_config: Config, starter: Corpus) -> None:
    told: list[str] = []
    folder = new_run("spring", fresh=False)
    result = train(tiny_config, starter, folder, resume=False, device=CPU, tell=told.append)
    assert sorted(file.name for file in folder.path.iterdir()) == [
        "best.safetensors",
        "config.yaml",
        "last.pt",
        "metrics.jsonl",
    ]
    assert Path("checkpoints/latest").read_text(encoding="utf-8") == "spring\n"
    assert load_config(str(folder.config)) == tiny_config
    assert result.folder == folder
    assert (result.progress.epoch, result.progress.step) == (2, 2 * STEPS_PER_EPOCH)
    kinds = [(entry["kind"], entry["step"], entry["epoch"]) for entry in logged(folder)]
    assert kinds == [
        ("step", 10, 1),
        ("validation", 16, 1),
        ("step", 20, 2),
        ("step", 30, 2),
        ("validation", 32, 2),
    ]
    (line,) = told
    assert "checkpoints/spring" in line
    assert "cpu, fp32" in line
    assert "from step" not in line


def test_best_model_belongs_to_the_corpus_and_was_measured(
    tiny_config: Config, starter: Corpus
) -> None:
    result = start(tiny_config, starter, "spring")
    best = load_model(result.folder.best)
    validations = [entry for entry in logged(result.folder) if entry["kind"] == "validation"]
    lowest = min(entry["valid_nats_per_token"] for entry in validations)
    assert best.corpus == starter.fingerprint
    assert best.config.model == tiny_config.model
    assert best.config.data.corpus == []  # where it lay is its owner's business
    assert best.metrics["valid_nats_per_token"] == pytest.approx(lowest, abs=1e-5)
    trained_on = {character for poem in starter.splits["train"] for character in poem.text}
    assert set(best.vocab.symbols[4:]) == trained_on | set("，。？！")


def test_same_seed_same_run_and_another_seed_another(tiny_config: Config, starter: Corpus) -> None:
    first, second = (start(tiny_config, starter, name) for name in ("spring", "autumn"))
    assert_same_run(first, second)
    other = tiny_config.train.model_copy(update={"seed": 2})
    third = start(tiny_config.model_copy(update={"train": other}), starter, "winter")
    assert logged(third.folder) != logged(first.folder)


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
def test_stopped_and_resumed_run_is_the_run_that_was_not(
    monkeypatch: pytest.MonkeyPatch,
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
    assert old_run("stopped").last.is_file()

    resumed, told = resume(tiny_config, starter, "stopped")
    assert f"from step {step}" in told[0]
    assert_same_run(resumed, straight)


def test_run_stopped_in_its_validation_validates_again(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, starter: Corpus
) -> None:
    straight = start(tiny_config, starter, "straight")

    def stopped_score(*_: Any) -> Any:
        send(signal.SIGTERM)()
        pytest.fail("the signal should have stopped the validation at once")

    monkeypatch.setattr(loop, "score", stopped_score)
    with pytest.raises(Interrupted) as caught:
        start(tiny_config, starter, "stopped")
    assert caught.value.exit_code == 143
    assert not RunFolder(Path("checkpoints/stopped")).best.exists()
    monkeypatch.setattr(loop, "score", score)
    resumed, _ = resume(tiny_config, starter, "stopped")
    assert_same_run(resumed, straight)


def test_signal_between_two_epochs_is_not_left_to_the_next_one(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, starter: Corpus
) -> None:
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
    resumed, _ = resume(tiny_config, starter, "stopped")
    assert_same_run(resumed, straight)


def test_run_stopped_twice_is_still_the_same(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, starter: Corpus
) -> None:
    straight = start(tiny_config, starter, "straight")
    at_step(monkeypatch, 3, send(signal.SIGINT))
    with pytest.raises(Interrupted):
        start(tiny_config, starter, "stopped")
    at_step(monkeypatch, 13, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        resume(tiny_config, starter, "stopped")
    resumed, _ = resume(tiny_config, starter, "stopped")
    assert_same_run(resumed, straight)


@pytest.mark.parametrize("step", [5, 20], ids=["first epoch", "second epoch"])
def test_stopped_and_resumed_run_is_told_the_same_conditions(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, told: Corpus, step: int
) -> None:
    config = with_conditions(tiny_config)
    straight = start(config, told, "straight")
    assert straight.progress.step > 20, "the second stop should come in the second epoch"
    at_step(monkeypatch, step, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        start(config, told, "stopped")
    resumed, _ = resume(config, told, "stopped")
    assert_same_run(resumed, straight)


def test_run_with_conditions_has_their_symbols_and_learns_otherwise(
    tiny_config: Config, told: Corpus
) -> None:
    bare = start(tiny_config, told, "bare")
    result = start(with_conditions(tiny_config), told, "told")
    symbols = load_model(result.folder.best).vocab.symbols
    assert "<title>" in symbols
    assert "<author:竹客>" in symbols
    assert "<title>" not in load_model(bare.folder.best).vocab.symbols
    assert logged(result.folder) != logged(bare.folder)


def test_resume_with_other_authors_is_refused(tiny_config: Config, told: Corpus) -> None:
    config = with_conditions(tiny_config)
    start(config, told, "spring")
    train_split = [replace(poem, author="溪翁") for poem in told.splits["train"]]
    other = Corpus({**told.splits, "train": train_split}, told.cleaning)
    with pytest.raises(ModelFileError) as caught:
        resume(config, other, "spring")
    assert "another corpus" in caught.value.why


def test_run_that_starts_from_a_model_goes_on_bit_for_bit_without_its_file(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, starter: Corpus, told: Corpus
) -> None:
    origin = start(with_train(tiny_config, epochs=1), starter, "origin").folder
    config = with_conditions(with_train(tiny_config, init="origin"))
    straight = start(config, told, "straight")
    at_step(monkeypatch, 13, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        start(config, told, "stopped")
    origin.best.unlink()
    resumed, messages = resume(load_config("checkpoints/stopped/config.yaml"), told, "stopped")
    assert "from step 13" in messages[0]
    assert_same_run(resumed, straight)


def test_run_that_starts_from_a_model_says_so_in_its_folder_and_not_in_its_model_file(
    tiny_config: Config, starter: Corpus
) -> None:
    start(with_train(tiny_config, epochs=1), starter, "origin")
    shapeless = build_config(
        {"data": {"min_count": 1}, "train": {"init": "origin", "epochs": 1, "precision": "fp32"}}
    )
    folder = start(shapeless, starter, "spring").folder
    saved = load_config(str(folder.config))
    assert saved.train.init == "origin"
    assert saved.model.hidden_size == tiny_config.model.hidden_size
    stored = load_model(folder.best)
    assert stored.config.train.init == ""
    assert stored.config.model.hidden_size == tiny_config.model.hidden_size


def test_run_can_begin_anew_from_its_own_model(tiny_config: Config, starter: Corpus) -> None:
    start(tiny_config, starter, "spring")
    before = best_weights(RunFolder(Path("checkpoints/spring")))
    config = with_train(tiny_config, init="spring", learning_rate=1e-9, epochs=1)
    folder = new_run("spring", fresh=True)
    train(config, starter, folder, resume=False, fresh=True, device=CPU, tell=lambda _: None)
    for name, weight in best_weights(folder).items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=1e-6)


def test_fresh_run_from_a_model_that_is_missing_costs_no_old_one(
    tiny_config: Config, starter: Corpus
) -> None:
    first = start(with_train(tiny_config, epochs=1), starter, "spring")
    before = {file.name: file.read_bytes() for file in first.folder.path.iterdir()}
    config = with_train(tiny_config, init="gone")
    folder = new_run("spring", fresh=True)
    with pytest.raises(ModelFileError) as caught:
        train(config, starter, folder, resume=False, fresh=True, device=CPU, tell=lambda _: None)
    assert "there is no model gone" in caught.value.why
    assert {file.name: file.read_bytes() for file in first.folder.path.iterdir()} == before


def test_run_that_died_goes_on_from_its_last_save(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, starter: Corpus
) -> None:
    often = tiny_config.model_copy(
        update={"train": tiny_config.train.model_copy(update={"save_every": 1e-9})}
    )
    straight = start(often, starter, "straight")

    def die() -> None:
        raise ZeroDivisionError

    at_step(monkeypatch, 13, die)
    with pytest.raises(ZeroDivisionError):
        start(often, starter, "died")
    resumed, told = resume(often, starter, "died")
    assert "from step 12" in told[0]
    assert_same_run(resumed, straight)


def test_finished_run_resumed_changes_nothing(tiny_config: Config, starter: Corpus) -> None:
    first = start(tiny_config, starter, "spring")
    before = first.folder.best.read_bytes(), first.folder.metrics.read_bytes()
    again, _ = resume(tiny_config, starter, "spring")
    assert again.progress == first.progress
    assert (again.folder.best.read_bytes(), again.folder.metrics.read_bytes()) == before


def test_finished_run_can_be_given_more_epochs(tiny_config: Config, starter: Corpus) -> None:
    start(tiny_config, starter, "spring")
    longer = tiny_config.model_copy(
        update={"train": tiny_config.train.model_copy(update={"epochs": 3})}
    )
    result, _ = resume(longer, starter, "spring")
    assert (result.progress.epoch, result.progress.step) == (3, 3 * STEPS_PER_EPOCH)
    validations = [e["epoch"] for e in logged(result.folder) if e["kind"] == "validation"]
    assert validations == [1, 2, 3]
    assert load_config(str(result.folder.config)).train.epochs == 3


def test_weight_decay_changed_on_resume_takes_effect(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Config, starter: Corpus
) -> None:
    at_step(monkeypatch, 2, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        start(tiny_config, starter, "spring")
    changed = tiny_config.model_copy(
        update={"train": tiny_config.train.model_copy(update={"weight_decay": 0.5})}
    )
    seen: list[float] = []

    def look(trainer: loop.Trainer, **_: Any) -> Any:
        seen.extend(group["weight_decay"] for group in trainer.optimiser.param_groups)
        return trainer.progress

    monkeypatch.setattr(run, "fit", look)
    resume(changed, starter, "spring")
    assert seen == [0.5, 0.0]


def test_resume_with_another_corpus_is_refused_and_harms_nothing(
    tiny_config: Config, starter: Corpus
) -> None:
    first = start(tiny_config, starter, "spring")
    before = {file.name: file.read_bytes() for file in first.folder.path.iterdir()}
    splits = {split: list(poems) for split, poems in starter.splits.items()}
    splits["train"] = splits["train"][:-1]
    other = Corpus(splits, starter.cleaning)
    with pytest.raises(ModelFileError) as caught:
        resume(tiny_config, other, "spring")
    assert "another corpus" in caught.value.why
    assert {file.name: file.read_bytes() for file in first.folder.path.iterdir()} == before


def test_resume_of_a_damaged_state_is_refused_and_harms_nothing(
    tiny_config: Config, starter: Corpus
) -> None:
    first = start(tiny_config, starter, "spring")
    first.folder.last.write_bytes(first.folder.last.read_bytes()[:1000])
    before = {file.name: file.read_bytes() for file in first.folder.path.iterdir()}
    with pytest.raises(ModelFileError):
        resume(tiny_config, starter, "spring")
    assert {file.name: file.read_bytes() for file in first.folder.path.iterdir()} == before


@pytest.mark.parametrize("empty", ["train", "valid"])
def test_too_few_poems_to_train_and_validate(tiny_config: Config, empty: str) -> None:
    poem = Poem("山月照松林，溪声入夜深。")
    sides = {"train": [poem], "valid": [poem], "test": []}
    sides[empty] = []
    corpus = Corpus(sides, CleaningReport())  # type: ignore[arg-type]
    with pytest.raises(CorpusError) as caught:
        start(tiny_config, corpus, "spring")
    assert caught.value.exit_code == 1
    assert "1 poems" in caught.value.why
    assert f"{empty} split" in caught.value.why
    assert "more poems" in caught.value.fix
    assert not Path("checkpoints").exists()


def test_fresh_run_replaces_the_old_one(tiny_config: Config, starter: Corpus) -> None:
    start(tiny_config, starter, "spring")
    shorter = tiny_config.model_copy(
        update={"train": tiny_config.train.model_copy(update={"epochs": 1})}
    )
    folder = new_run("spring", fresh=True)
    train(shorter, starter, folder, resume=False, fresh=True, device=CPU, tell=lambda _: None)
    assert [entry["kind"] for entry in logged(folder)] == ["step", "validation"]
    assert load_config(str(folder.config)).train.epochs == 1


def test_fresh_run_that_cannot_begin_costs_no_old_one(tiny_config: Config, starter: Corpus) -> None:
    first = start(tiny_config, starter, "spring")
    before = {file.name: file.read_bytes() for file in first.folder.path.iterdir()}
    few = Corpus({**starter.splits, "valid": []}, starter.cleaning)
    with pytest.raises(CorpusError):
        train(
            tiny_config,
            few,
            new_run("spring", fresh=True),
            resume=False,
            fresh=True,
            device=CPU,
            tell=lambda _: None,
        )
    assert {file.name: file.read_bytes() for file in first.folder.path.iterdir()} == before


def test_validation_poems_that_the_first_model_knows_are_told(
    tiny_config: Config, starter: Corpus
) -> None:
    folder = start(with_train(tiny_config, epochs=1), starter, "first").folder
    config = with_train(tiny_config, epochs=1, init=str(folder.best))
    known = replace(starter, splits={**starter.splits, "valid": starter.splits["train"][:7]})

    def warnings(corpus: Corpus, name: str) -> list[str]:
        told: list[str] = []
        run_folder = new_run(name, fresh=False)
        train(config, corpus, run_folder, resume=False, device=CPU, tell=told.append)
        return [line for line in told if line.startswith("warning")]

    assert warnings(starter, "fair") == []
    (warning,) = warnings(known, "unfair")
    assert "trained on 7 of the 7 validation poems" in warning


def test_too_little_memory_for_the_model_itself_is_told_too(
    tiny_config: Config, starter: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(run, "starting_point", full)
    with pytest.raises(PoetgenError, match="not enough memory on cpu"):
        start(tiny_config, starter, "large")
    assert not Path("checkpoints/large").exists()

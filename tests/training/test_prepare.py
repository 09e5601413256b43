"""Preparing a run: which setting wins, which corpus, which run."""

import hashlib
import logging
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from poetgen.config import Config, build_config
from poetgen.data.corpus import load_corpus
from poetgen.data.fetch import CorpusFile, Manifest
from poetgen.errors import ConfigError, CorpusError, ModelFileError, PoetgenError, UsageError
from poetgen.runs import RUNS, Run
from poetgen.training import prepare as module
from poetgen.training.prepare import RunPlan, TrainOptions, prepare, resumed_config

VERSES = "春山多雨色，夜水有松声。\n孤灯照客眠，远雁度江城。\n柳暗溪桥晚，花明野寺晴。\n"
STARTER = [Path("starter")]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, logger="poetgen")

    def no_fetch(collection: str, folder: Path) -> None:
        pytest.fail(f"nothing should be fetched, but {collection} was, to {folder}")

    monkeypatch.setattr(module, "fetch", no_fetch)


def plan(
    config: str | None = "tiny", *overrides: str, run: str | None = "spring", **options: Any
) -> RunPlan:
    return prepare(TrainOptions(config, overrides, run=run, **options))


def verses(path: str, text: str = VERSES) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def existing_run(name: str = "spring", **sections: Any) -> Run:
    """A run that can be resumed."""
    run = Run(RUNS / name)
    run.create(build_config({"data": {"corpus": ["starter"]}, **sections}))
    run.last.write_bytes(b"")
    return run


def test_set_beats_file_beats_default() -> None:
    Path("mine.yaml").write_text(
        "data: {corpus: [starter]}\ntrain: {epochs: 5, warmup_steps: 7}\n", encoding="utf-8"
    )
    config = plan("mine.yaml", "train.epochs=3").config
    assert config.train.epochs == 3
    assert config.train.warmup_steps == 7
    assert config.train.batch_tokens == Config().train.batch_tokens


def test_default_config_is_base() -> None:
    named = plan("base", corpus=STARTER).config
    assert plan(None, corpus=STARTER).config == named
    assert plan(None, corpus=STARTER, run=None).run.name.startswith("base-")


def test_prepare_writes_nothing() -> None:
    assert plan().run == Run(RUNS / "spring")
    assert list(Path.cwd().iterdir()) == []


def test_wrong_setting_is_refused_first() -> None:
    existing_run()
    with pytest.raises(ConfigError) as caught:
        plan("tiny", "train.epoch=3", overwrite=True)
    assert "did you mean 'epochs'?" in caught.value.why
    assert Path("checkpoints/spring/last.pt").exists()


def test_existing_run_is_refused() -> None:
    existing_run()
    with pytest.raises(UsageError) as caught:
        plan()
    assert "--resume" in caught.value.fix
    assert "--overwrite" in caught.value.fix


def test_resume_and_overwrite_exclude_each_other() -> None:
    run = existing_run()
    with pytest.raises(UsageError) as caught:
        plan(resume=True, overwrite=True)
    assert caught.value.exit_code == 2
    assert "exclude" in caught.value.why
    assert caught.value.fix
    assert run.last.exists()


def test_overwrite_deletes_nothing_yet() -> None:
    run = existing_run()
    assert plan(overwrite=True).run == run
    assert run.last.exists()


def test_overwrite_keeps_the_run_on_an_error() -> None:
    run = existing_run()
    with pytest.raises(CorpusError):
        plan(corpus=[Path("mistyped")], overwrite=True)
    assert run.last.exists()


def test_corpus_option_beats_config_beats_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    verses("given.txt")
    verses("config.txt", VERSES.splitlines()[0])
    verses("environment.txt", "\n".join(VERSES.splitlines()[:2]))
    monkeypatch.setenv("POETGEN_CORPUS", "environment.txt")
    from_environment = plan("base", run="a")
    from_config = plan("base", "data.corpus=[config.txt]", run="b")
    given = plan("base", "data.corpus=[config.txt]", corpus=[Path("given.txt")], run="c")
    assert [len(p.corpus.poems) for p in (from_environment, from_config, given)] == [2, 1, 3]


def test_corpus_paths_are_saved_as_absolute() -> None:
    verses("mine/given.txt")
    config = plan(corpus=[Path("mine/given.txt"), Path("starter")]).config
    assert config.data.corpus == [str(Path.cwd() / "mine/given.txt"), "starter"]


def test_corpus_counts_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    loaded = load_corpus([verses("mine.txt")])
    plan(corpus=[Path("mine.txt")])
    sizes = ", ".join(f"{len(poems)} {split}" for split, poems in loaded.splits.items())
    assert caplog.messages == ["reading mine.txt", f"corpus mine.txt: 3 poems ({sizes})"]


def test_broken_records_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    record = '{"paragraphs": ["春山多雨色，夜水有松声。"]}\n'
    verses("broken.jsonl", record + "{\n" * 7)
    plan(corpus=[Path("broken.jsonl")])
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 6
    assert all(f"broken.jsonl: line {i + 2}" in warnings[i] for i in range(5))
    assert "2 more broken records" in warnings[5]


def test_missing_corpus_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POETGEN_CORPUS", "gone")
    with pytest.raises(CorpusError) as caught:
        plan("base")
    assert "gone" in caught.value.why
    assert caught.value.fix


FILES = {
    f"poet.tang.{i}.json": f'[{{"title": "", "author": "", "paragraphs": ["{verse}"]}}]'.encode()
    for i, verse in enumerate(VERSES.splitlines())
}


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """A collection of three small files, and the calls that fetch it."""
    manifest = Manifest(
        collection="tang",
        repository="someone/verses",
        commit="0" * 40,
        licence="MIT",
        num_poems=3,
        files=tuple(
            CorpusFile(f"all/{name}", len(content), hashlib.sha256(content).hexdigest())
            for name, content in FILES.items()
        ),
    )
    calls: list[tuple[str, Path]] = []

    def fetch(collection: str, folder: Path) -> None:
        calls.append((collection, folder))
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in FILES.items():
            (folder / name).write_bytes(content)

    monkeypatch.setattr(module, "load_manifest", {"tang": manifest}.__getitem__)
    monkeypatch.setattr(module, "fetch", fetch)
    return calls


TANG = Path("data/tang")


def test_missing_default_corpus_is_fetched(
    fetched: list[tuple[str, Path]], caplog: pytest.LogCaptureFixture
) -> None:
    result = plan("base")
    assert fetched == [("tang", TANG)]
    assert caplog.messages[0] == f"{TANG} has no complete corpus: fetching the Tang poems, 25 MB"
    assert len(result.corpus.poems) == 3


def test_complete_default_corpus_is_not_fetched(
    fetched: list[tuple[str, Path]], caplog: pytest.LogCaptureFixture
) -> None:
    TANG.mkdir(parents=True)
    for name, content in FILES.items():
        (TANG / name).write_bytes(content)
    plan("base")
    assert fetched == []
    assert not any("fetching" in message for message in caplog.messages)


def test_interrupted_fetch_is_completed(fetched: list[tuple[str, Path]]) -> None:
    TANG.mkdir(parents=True)
    first, *_ = FILES
    (TANG / first).write_bytes(FILES[first])
    assert len(plan("base").corpus.poems) == 3
    assert fetched == [("tang", TANG)]


def test_fetch_into_an_empty_folder(
    fetched: list[tuple[str, Path]],
) -> None:
    TANG.mkdir(parents=True)
    assert len(plan("base").corpus.poems) == 3
    assert fetched == [("tang", TANG)]


def test_corrected_file_is_not_fetched_again(fetched: list[tuple[str, Path]]) -> None:
    TANG.mkdir(parents=True)
    first, second, _ = FILES
    (TANG / first).write_bytes(FILES[first])
    (TANG / second).write_bytes(FILES[second] + b"\n")
    assert len(plan("base").corpus.poems) == 2
    assert fetched == []


@pytest.mark.parametrize("name", ["mine.txt", "mine.json"])
def test_own_poems_in_the_default_folder_are_used(
    fetched: list[tuple[str, Path]], name: str
) -> None:
    verses("data/tang/mine.txt", VERSES.splitlines()[0])
    if name == "mine.json":
        Path("data/tang/mine.txt").rename(TANG / "mine.json")
        (TANG / "mine.json").write_bytes(next(iter(FILES.values())))
    assert len(plan("base").corpus.poems) == 1
    assert fetched == []


def test_other_corpora_are_not_fetched(
    fetched: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan("base", corpus=STARTER, run="a")
    plan("tiny", run="b")
    verses("environment.txt")
    monkeypatch.setenv("POETGEN_CORPUS", "environment.txt")
    plan("base", run="c")
    assert fetched == []


def test_resume_uses_the_config_of_the_run(caplog: pytest.LogCaptureFixture) -> None:
    existing_run(train={"epochs": 5}, model={"hidden_size": 32})
    result = plan(None, resume=True)
    assert result.config.train.epochs == 5
    assert result.config.model.hidden_size == 32
    assert result.run.name == "spring"
    assert not any("→" in message or "is kept" in message for message in caplog.messages)


def test_resume_without_a_name_is_the_newest_run() -> None:
    existing_run("spring", train={"epochs": 5})
    existing_run("autumn", train={"epochs": 6})
    result = plan(None, run=None, resume=True)
    assert result.run.name == "autumn"
    assert result.config.train.epochs == 6


@pytest.mark.parametrize(
    ("override", "remark"),
    [
        ("train.epochs=9", "train.epochs: 5 → 9"),
        ("train.learning_rate=1e-4", "train.learning_rate: 0.002 → 0.0001"),
        ("train.precision=fp32", "train.precision: auto → fp32"),
    ],
)
def test_resume_accepts_changes_of_training(
    override: str, remark: str, caplog: pytest.LogCaptureFixture
) -> None:
    existing_run(train={"epochs": 5})
    result = plan(None, override, resume=True)
    path, value = override.split("=")
    chosen = getattr(result.config.train, path.removeprefix("train."))
    assert str(chosen) == str({"1e-4": 1e-4}.get(value, value))
    assert f"{remark} (from the command line)" in caplog.messages


@pytest.mark.parametrize(
    "override",
    [
        "model.hidden_size=64",
        "model.input_dropout=0.5",
        "train.batch_tokens=64",
        "train.seed=7",
        "data.min_count=9",
        "train.init_from=other",
        "conditions.form_rate=0.5",
        "conditions.author_min_poems=2",
    ],
)
def test_resume_refuses_changes_of_the_model(
    override: str, caplog: pytest.LogCaptureFixture
) -> None:
    existing_run()
    before = plan(None, resume=True).config
    result = plan(None, override, resume=True)
    assert result.config == before
    path, value = override.split("=")
    (message,) = [message for message in caplog.messages if "is kept" in message]
    assert path in message
    assert f"{value} is ignored" in message


def test_resume_with_a_config_logs_each_difference(caplog: pytest.LogCaptureFixture) -> None:
    existing_run(train={"epochs": 5})
    Path("new.yaml").write_text(
        "data: {corpus: [starter]}\nmodel: {hidden_size: 9}\ntrain: {epochs: 6}\n",
        encoding="utf-8",
    )
    plan("new.yaml", resume=True)
    assert caplog.messages[:2] == [
        "model.hidden_size: 640 is kept, 9 is ignored (fixed since the start of the run)",
        "train.epochs: 5 → 6 (from the command line)",
    ]


def test_resume_with_a_bad_setting() -> None:
    existing_run()
    with pytest.raises(ConfigError):
        plan(None, "train.epochs=0", resume=True)


def test_resume_of_a_missing_run() -> None:
    with pytest.raises(UsageError) as caught:
        plan(None, resume=True)
    assert "spring" in caught.value.why


@pytest.fixture
def winter() -> None:
    """The best model of a run of that name."""
    best = Path("checkpoints/winter/best.safetensors")
    best.parent.mkdir(parents=True)
    best.touch()


@pytest.mark.usefixtures("winter")
def test_default_config_with_init_is_finetune() -> None:
    unnamed = plan(None, corpus=STARTER, run=None, init="winter")
    assert unnamed.run.name.startswith("finetune-")
    assert unnamed.config.train.init_from == "winter"
    by_hand = plan("finetune", "train.init_from=winter", corpus=STARTER)
    assert unnamed.config == by_hand.config
    named = plan("tiny", init="winter")
    assert named.config.train.init_from == "winter"
    assert named.config.train.epochs == plan("tiny").config.train.epochs


@pytest.mark.usefixtures("winter")
def test_init_leaves_the_architecture_unset() -> None:
    config = plan(None, corpus=STARTER, init="winter").config
    assert not config.model.model_fields_set


@pytest.mark.parametrize("by_set", [False, True])
def test_missing_init_model_is_reported_first(by_set: bool) -> None:
    missing = [Path("no-such-corpus")]
    with pytest.raises(ModelFileError, match="winter"):
        plan(
            "tiny",
            *(["train.init_from=winter"] if by_set else []),
            corpus=missing,
            init=None if by_set else "winter",
        )


@pytest.mark.usefixtures("winter")
def test_init_option_beats_the_config() -> None:
    assert plan("tiny", "train.init_from=autumn", init="winter").config.train.init_from == "winter"


def test_resume_and_init_exclude_each_other() -> None:
    run = existing_run()
    with pytest.raises(UsageError) as caught:
        plan(None, resume=True, init="winter")
    assert caught.value.exit_code == 2
    assert "--resume and --init exclude" in caught.value.why
    assert "--run NAME --init MODEL" in caught.value.fix
    assert run.last.exists()


def test_resume_keeps_init_from(caplog: pytest.LogCaptureFixture) -> None:
    existing_run(train={"init_from": "winter"})
    result = plan(None, resume=True)
    assert result.config.train.init_from == "winter"
    assert not any("→" in message or "is kept" in message for message in caplog.messages)


def test_extra_poems_are_logged_and_saved_as_absolute(caplog: pytest.LogCaptureFixture) -> None:
    verses("more.txt", "雨过春山绿，云开夜月明。\n")
    result = plan("tiny", "data.extra_train=[more.txt]")
    assert result.config.data.extra_train == [str(Path.cwd() / "more.txt")]
    assert [poem.text for poem in result.corpus.extra] == ["雨过春山绿，云开夜月明。"]
    assert any("1 additional training poem (" in message for message in caplog.messages)


def test_missing_extra_poems_are_reported_first() -> None:
    with pytest.raises(CorpusError, match="there is no corpus at nowhere/song") as caught:
        plan("base", "data.extra_train=[nowhere/song]")
    assert "--collection song" in caught.value.fix


def test_extra_poems_can_be_the_starter_verses() -> None:
    corpus = [verses("mine.txt")]
    result = plan("tiny", "data.extra_train=[starter]", corpus=corpus)
    assert len(result.corpus.extra) == 400
    assert result.config.data.extra_train == ["starter"]


def test_dropped_records_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    plan(corpus=[verses("mine.txt", VERSES + "春。\n")])
    assert "1 record was dropped; `poetgen corpus report` lists the reasons" in caplog.messages
    caplog.clear()
    plan(corpus=[verses("mine.txt")], run="b")
    assert "dropped" not in caplog.text


def test_resume_migrates_a_config_of_version_1() -> None:
    run = existing_run()
    run.config.write_text(
        "data: {corpus: [starter], extra: []}\n"
        "model: {tied: false, embedding_init: relations}\n"
        "train: {average_decay: 0.5, final_rate: 0.25}\n",
        encoding="utf-8",
    )
    config = plan(None, "train.epochs=3", resume=True).config
    assert (config.model.tie_embeddings, config.model.embedding_init) == (False, "cooccurrence")
    assert (config.train.ema_decay, config.train.min_lr_ratio) == (0.5, 0.25)
    assert config.train.epochs == 3


def test_resumed_config_lists_each_difference() -> None:
    saved = build_config({"model": {"hidden_size": 8}})
    wanted = build_config({"model": {"hidden_size": 9}, "train": {"epochs": 3, "seed": 2}})
    config, remarks = resumed_config(saved, wanted)
    assert config == build_config({"model": {"hidden_size": 8}, "train": {"epochs": 3}})
    assert remarks == [
        "model.hidden_size: 8 is kept, 9 is ignored (fixed since the start of the run)",
        "train.epochs: 8 → 3 (from the command line)",
        "train.seed: 1 is kept, 2 is ignored (fixed since the start of the run)",
    ]


@pytest.mark.parametrize("is_installed", [False, True])
def test_tensorboard_is_required_before_anything_is_read(
    is_installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: ModuleSpec("tensorboard", None))
    if is_installed:
        assert plan("tiny", "train.tensorboard=true").config.train.tensorboard
        return
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(PoetgenError, match="tensorboard is not installed") as caught:
        plan("tiny", "train.tensorboard=true", corpus=[Path("mistyped")])
    assert "pip install 'poetgen[tensorboard]'" in caught.value.fix
    plan("tiny", "train.tensorboard=false")

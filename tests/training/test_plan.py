"""What a run is to be: which setting wins, which corpus, which folder."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from poetgen.config import Config, build_config
from poetgen.data.corpus import load_corpus
from poetgen.data.fetch import CorpusFile, Manifest
from poetgen.errors import ConfigError, CorpusError, ModelFileError, UsageError
from poetgen.training import plan
from poetgen.training.plan import RunPlan, plan_run
from poetgen.training.run_folder import RunFolder, begin

VERSES = "春山多雨色，夜水有松声。\n孤灯照客眠，远雁度江城。\n柳暗溪桥晚，花明野寺晴。\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def no_fetch(collection: str, folder: Path) -> None:
        pytest.fail(f"nothing should be fetched, yet {collection} was, to {folder}")

    monkeypatch.setattr(plan, "fetch", no_fetch)


@dataclass
class Planned:
    plan: RunPlan
    told: list[str] = field(default_factory=list)


def planned(
    source: str | None = "tiny",
    *overrides: str,
    corpus: list[Path] | None = None,
    run: str | None = "spring",
    resume: bool = False,
    fresh: bool = False,
    init: str | None = None,
) -> Planned:
    told: list[str] = []
    result = plan_run(
        source,
        overrides,
        corpus or [],
        run=run,
        resume=resume,
        fresh=fresh,
        init=init,
        tell=told.append,
    )
    return Planned(result, told)


def verses(path: str, text: str = VERSES) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def old_run(name: str = "spring", **sections: Any) -> RunFolder:
    """A run that can be resumed."""
    folder = RunFolder(Path("checkpoints") / name)
    begin(folder, build_config({"data": {"corpus": ["starter"]}, **sections}), resume=False)
    folder.last.write_bytes(b"")
    return folder


def test_set_beats_the_file_beats_the_default() -> None:
    Path("mine.yaml").write_text(
        "data: {corpus: [starter]}\ntrain: {epochs: 5, warmup_steps: 7}\n", encoding="utf-8"
    )
    config = planned("mine.yaml", "train.epochs=3").plan.config
    assert config.train.epochs == 3
    assert config.train.warmup_steps == 7
    assert config.train.batch_tokens == Config().train.batch_tokens


def test_base_is_the_configuration_that_is_taken_unnamed() -> None:
    named = planned("base", corpus=[Path("starter")]).plan.config
    assert planned(None, corpus=[Path("starter")]).plan.config == named
    assert planned(None, corpus=[Path("starter")], run=None).plan.folder.name.startswith("base-")


def test_nothing_is_made_by_planning() -> None:
    assert planned().plan.folder == RunFolder(Path("checkpoints/spring"))
    assert list(Path.cwd().iterdir()) == []


def test_wrong_setting_is_refused_before_anything_else() -> None:
    old_run()
    with pytest.raises(ConfigError) as caught:
        planned("tiny", "train.epoch=3", fresh=True)
    assert "did you mean 'epochs'?" in caught.value.why
    assert Path("checkpoints/spring/last.pt").exists()


def test_existing_run_without_resume_or_fresh() -> None:
    old_run()
    with pytest.raises(UsageError) as caught:
        planned()
    assert "--resume" in caught.value.fix
    assert "--fresh" in caught.value.fix


def test_resume_and_fresh_contradict_each_other() -> None:
    folder = old_run()
    with pytest.raises(UsageError) as caught:
        planned(resume=True, fresh=True)
    assert caught.value.exit_code == 2
    assert "contradict" in caught.value.why
    assert caught.value.fix
    assert folder.last.exists()


def test_fresh_takes_the_folder_of_the_old_run_and_empties_it_only_as_training_begins() -> None:
    folder = old_run()
    assert planned(fresh=True).plan.folder == folder
    assert folder.last.exists()


def test_fresh_run_that_cannot_begin_costs_no_old_one() -> None:
    folder = old_run()
    with pytest.raises(CorpusError):
        planned(corpus=[Path("mistyped")], fresh=True)
    assert folder.last.exists()


def test_corpus_given_beats_config_beats_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    verses("given.txt")
    verses("config.txt", VERSES.splitlines()[0])
    verses("environment.txt", "\n".join(VERSES.splitlines()[:2]))
    monkeypatch.setenv("POETGEN_CORPUS", "environment.txt")
    from_environment = planned("base", run="a").plan
    from_config = planned("base", "data.corpus=[config.txt]", run="b").plan
    given = planned("base", "data.corpus=[config.txt]", corpus=[Path("given.txt")], run="c").plan
    assert [len(p.corpus.poems) for p in (from_environment, from_config, given)] == [2, 1, 3]


def test_corpus_given_is_saved_so_that_it_is_found_from_elsewhere() -> None:
    verses("mine/given.txt")
    config = planned(corpus=[Path("mine/given.txt"), Path("starter")]).plan.config
    assert config.data.corpus == [str(Path.cwd() / "mine/given.txt"), "starter"]


def test_corpus_is_told_with_its_counts() -> None:
    loaded = load_corpus([verses("mine.txt")])
    (line,) = planned(corpus=[Path("mine.txt")]).told
    assert "mine.txt" in line
    assert "3 poems" in line
    assert f"{len(loaded.splits['train'])} train" in line


def test_broken_records_are_told_the_first_by_place_the_rest_by_count() -> None:
    record = '{"paragraphs": ["春山多雨色，夜水有松声。"]}\n'
    verses("broken.jsonl", record + "{\n" * 7)
    told = planned(corpus=[Path("broken.jsonl")]).told
    warnings = [line for line in told if line.startswith("warning")]
    assert len(warnings) == 6
    assert all(f"broken.jsonl: line {i + 2}" in warnings[i] for i in range(5))
    assert "2 more broken records" in warnings[5]


def test_missing_corpus_other_than_the_default_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POETGEN_CORPUS", "gone")
    with pytest.raises(CorpusError) as caught:
        planned("base")
    assert "gone" in caught.value.why
    assert caught.value.fix


FILES = {
    f"poet.tang.{i}.json": f'[{{"title": "", "author": "", "paragraphs": ["{line}"]}}]'.encode()
    for i, line in enumerate(VERSES.splitlines())
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

    monkeypatch.setattr(plan, "load_manifest", {"tang": manifest}.__getitem__)
    monkeypatch.setattr(plan, "fetch", fetch)
    return calls


TANG = Path("data/tang")


def test_missing_default_corpus_is_fetched_and_that_is_told(
    fetched: list[tuple[str, Path]],
) -> None:
    result = planned("base")
    assert fetched == [("tang", TANG)]
    assert "fetching" in result.told[0]
    assert str(TANG) in result.told[0]
    assert len(result.plan.corpus.poems) == 3


def test_whole_default_corpus_is_not_fetched_again(fetched: list[tuple[str, Path]]) -> None:
    TANG.mkdir(parents=True)
    for name, content in FILES.items():
        (TANG / name).write_bytes(content)
    result = planned("base")
    assert fetched == []
    assert not any("fetching" in line for line in result.told)


def test_fetch_that_broke_off_is_completed(fetched: list[tuple[str, Path]]) -> None:
    TANG.mkdir(parents=True)
    first, *_ = FILES
    (TANG / first).write_bytes(FILES[first])
    assert len(planned("base").plan.corpus.poems) == 3
    assert fetched == [("tang", TANG)]


def test_fetch_that_broke_off_before_the_first_file_is_completed(
    fetched: list[tuple[str, Path]],
) -> None:
    TANG.mkdir(parents=True)
    assert len(planned("base").plan.corpus.poems) == 3
    assert fetched == [("tang", TANG)]


def test_a_file_corrected_by_hand_is_used_as_it_is(fetched: list[tuple[str, Path]]) -> None:
    TANG.mkdir(parents=True)
    first, second, _ = FILES
    (TANG / first).write_bytes(FILES[first])
    (TANG / second).write_bytes(FILES[second] + b"\n")
    assert len(planned("base").plan.corpus.poems) == 2
    assert fetched == []


@pytest.mark.parametrize("name", ["mine.txt", "mine.json"])
def test_poems_of_ones_own_in_the_default_folder_are_left_alone(
    fetched: list[tuple[str, Path]], name: str
) -> None:
    verses("data/tang/mine.txt", VERSES.splitlines()[0])
    if name == "mine.json":
        Path("data/tang/mine.txt").rename(TANG / "mine.json")
        (TANG / "mine.json").write_bytes(next(iter(FILES.values())))
    assert len(planned("base").plan.corpus.poems) == 1
    assert fetched == []


def test_nothing_is_fetched_for_another_corpus(
    fetched: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned("base", corpus=[Path("starter")], run="a")
    planned("tiny", run="b")
    verses("environment.txt")
    monkeypatch.setenv("POETGEN_CORPUS", "environment.txt")
    planned("base", run="c")
    assert fetched == []


def test_resume_takes_the_configuration_of_the_run() -> None:
    old_run(train={"epochs": 5}, model={"hidden_size": 32})
    result = planned(None, resume=True)
    assert result.plan.config.train.epochs == 5
    assert result.plan.config.model.hidden_size == 32
    assert result.plan.folder.name == "spring"
    assert not any("→" in line or "stays" in line for line in result.told)


def test_resume_without_a_name_takes_the_newest_run() -> None:
    old_run("spring", train={"epochs": 5})
    old_run("autumn", train={"epochs": 6})
    result = planned(None, run=None, resume=True)
    assert result.plan.folder.name == "autumn"
    assert result.plan.config.train.epochs == 6


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.epochs=9", "train.epochs: 5 → 9"),
        ("train.learning_rate=1e-4", "train.learning_rate: 0.002 → 0.0001"),
        ("train.precision=fp32", "train.precision: auto → fp32"),
    ],
)
def test_on_resume_the_command_line_wins_for_how_to_go_on(override: str, told: str) -> None:
    old_run(train={"epochs": 5})
    result = planned(None, override, resume=True)
    path, value = override.split("=")
    chosen = getattr(result.plan.config.train, path.removeprefix("train."))
    assert str(chosen) == str({"1e-4": 1e-4}.get(value, value))
    (line,) = [line for line in result.told if "corpus" not in line]
    assert told in line
    assert "the command line wins" in line


@pytest.mark.parametrize(
    "override",
    [
        "model.hidden_size=64",
        "model.input_dropout=0.5",
        "train.batch_tokens=64",
        "train.seed=7",
        "data.min_count=9",
        "train.init=other",
        "conditions.form=0.5",
        "conditions.author_min_poems=2",
    ],
)
def test_on_resume_the_run_wins_for_what_it_was_trained_with(override: str) -> None:
    old_run()
    before = planned(None, resume=True).plan.config
    result = planned(None, override, resume=True)
    assert result.plan.config == before
    path, value = override.split("=")
    (line,) = [line for line in result.told if "the run wins" in line]
    assert path in line
    assert f"not {value}" in line


def test_resume_with_a_whole_configuration_tells_every_difference() -> None:
    old_run(train={"epochs": 5})
    Path("new.yaml").write_text(
        "data: {corpus: [starter]}\nmodel: {hidden_size: 9}\ntrain: {epochs: 6}\n",
        encoding="utf-8",
    )
    result = planned("new.yaml", resume=True)
    sides = [line for line in result.told if "wins" in line]
    assert len(sides) == 2
    assert "model.hidden_size: 640 stays, not 9" in sides[0]
    assert "train.epochs: 5 → 6" in sides[1]


def test_resume_with_a_bad_setting() -> None:
    old_run()
    with pytest.raises(ConfigError):
        planned(None, "train.epochs=0", resume=True)


def test_resume_of_a_run_that_is_not_there() -> None:
    with pytest.raises(UsageError) as caught:
        planned(None, resume=True)
    assert "spring" in caught.value.why


@pytest.fixture
def winter() -> None:
    """A run of that name, to start from."""
    best = Path("checkpoints/winter/best.safetensors")
    best.parent.mkdir(parents=True)
    best.touch()


@pytest.mark.usefixtures("winter")
def test_init_is_kept_and_its_configuration_is_finetune_unless_another_is_named() -> None:
    unnamed = planned(None, corpus=[Path("starter")], run=None, init="winter").plan
    assert unnamed.folder.name.startswith("finetune-")
    assert unnamed.config.train.init == "winter"
    by_hand = planned("finetune", "train.init=winter", corpus=[Path("starter")]).plan
    assert unnamed.config == by_hand.config
    named = planned("tiny", init="winter").plan
    assert named.config.train.init == "winter"
    assert named.config.train.epochs == planned("tiny").plan.config.train.epochs


@pytest.mark.usefixtures("winter")
def test_init_leaves_the_shape_of_the_network_to_the_model_it_names() -> None:
    config = planned(None, corpus=[Path("starter")], init="winter").plan.config
    assert not config.model.model_fields_set


@pytest.mark.parametrize("by_hand", [False, True])
def test_model_to_start_from_is_looked_for_before_the_corpus(by_hand: bool) -> None:
    missing = [Path("no-such-corpus")]
    with pytest.raises(ModelFileError, match="winter"):
        planned(
            "tiny",
            *(["train.init=winter"] if by_hand else []),
            corpus=missing,
            init=None if by_hand else "winter",
        )


@pytest.mark.usefixtures("winter")
def test_init_given_beats_the_one_of_the_configuration() -> None:
    assert planned("tiny", "train.init=autumn", init="winter").plan.config.train.init == "winter"


def test_resume_and_init_contradict_each_other() -> None:
    folder = old_run()
    with pytest.raises(UsageError) as caught:
        planned(None, resume=True, init="winter")
    assert caught.value.exit_code == 2
    assert "--resume and --init contradict" in caught.value.why
    assert "--run NAME --init MODEL" in caught.value.fix
    assert folder.last.exists()


def test_resumed_run_remembers_what_it_started_from() -> None:
    old_run(train={"init": "winter"})
    result = planned(None, resume=True)
    assert result.plan.config.train.init == "winter"
    assert not any("→" in line or "stays" in line for line in result.told)


def test_extra_poems_are_told_and_saved_so_that_they_are_found_from_elsewhere() -> None:
    verses("more.txt", "雨过春山绿，云开夜月明。\n")
    result = planned("tiny", "data.extra=[more.txt]")
    assert result.plan.config.data.extra == [str(Path.cwd() / "more.txt")]
    assert [poem.text for poem in result.plan.corpus.extra] == ["雨过春山绿，云开夜月明。"]
    assert any("and 1 more to train on" in line for line in result.told)


def test_missing_extra_poems_are_told_before_anything_is_fetched() -> None:
    with pytest.raises(CorpusError, match="there is no corpus at nowhere/song") as caught:
        planned("base", "data.extra=[nowhere/song]")
    assert "--collection song" in caught.value.fix


def test_extra_poems_may_be_the_starter_verses() -> None:
    corpus = [verses("mine.txt")]
    planned_run = planned("tiny", "data.extra=[starter]", corpus=corpus).plan
    assert len(planned_run.corpus.extra) == 400
    assert planned_run.config.data.extra == ["starter"]


def test_what_cleaning_dropped_is_told() -> None:
    assert "1 records were dropped; `poetgen corpus report` counts why" in " ".join(
        planned(corpus=[verses("mine.txt", VERSES + "春。\n")]).told
    )
    assert "dropped" not in " ".join(planned(corpus=[verses("mine.txt")], run="b").told)

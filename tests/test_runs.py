"""Run folders, and the choice of a model file."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from poetgen.config import Config, build_config, load_config
from poetgen.errors import ModelFileError, OutputError, PoetgenError, UsageError
from poetgen.runs import BEST, BUNDLED, RUNS, Run, default_run_name, find_model, model_name

E = TypeVar("E", bound=PoetgenError)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def add_run(name: str, *, with_best: bool = True) -> Run:
    """A run whose files contain "old"."""
    run = Run(RUNS / name)
    run.path.mkdir(parents=True)
    for file in (run.config, run.metrics, run.last, *([run.best] if with_best else [])):
        file.write_text("old", encoding="utf-8")
    return run


def set_latest(name: str) -> None:
    RUNS.mkdir(exist_ok=True)
    (RUNS / "latest").write_text(name + "\n", encoding="utf-8")


def is_old(file: Path) -> bool:
    return file.read_text(encoding="utf-8") == "old"


def checked(error: E, exit_code: int) -> E:
    """`error`, after checking that it has two parts of one text line each."""
    assert error.exit_code == exit_code
    for text in (error.why, error.fix):
        assert text
        assert "\n" not in text
    return error


def usage_error(call: Callable[[], object]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        call()
    return checked(caught.value, 2)


def model_error(name: str | None = None) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        find_model(name)
    return checked(caught.value, 1)


def test_run_paths() -> None:
    run = Run(RUNS / "spring")
    assert run.name == "spring"
    assert [path.as_posix() for path in (run.config, run.metrics, run.best, run.last)] == [
        "checkpoints/spring/config.yaml",
        "checkpoints/spring/metrics.jsonl",
        "checkpoints/spring/best.safetensors",
        "checkpoints/spring/last.pt",
    ]


@pytest.mark.parametrize("source", ["base", "base.yaml", "some/where/base.yaml"])
def test_default_run_name_is_config_and_time(source: str) -> None:
    now = datetime(2025, 1, 31, 12, 0, 9, tzinfo=UTC)
    assert default_run_name(source, now) == "base-20250131-120009"


def test_reserve_writes_nothing() -> None:
    assert Run.reserve("spring") == Run(RUNS / "spring")
    assert not RUNS.exists()


def test_reserve_refuses_an_existing_run() -> None:
    run = add_run("spring")
    error = usage_error(lambda: Run.reserve("spring"))
    assert "spring already exists" in error.why
    assert "--resume" in error.fix
    assert "--overwrite" in error.fix
    assert is_old(run.last)


def test_create_with_overwrite_replaces_only_that_run() -> None:
    run, other = add_run("spring"), add_run("autumn")
    assert Run.reserve("spring", overwrite=True) == run
    assert run.last.exists()
    run.create(Config(), overwrite=True)
    assert [file.name for file in run.path.iterdir()] == ["config.yaml"]
    assert other.last.exists()


def test_reserve_with_overwrite_accepts_a_new_name() -> None:
    assert Run.reserve("spring", overwrite=True).name == "spring"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "latest", "a/b", "../a", "/a", "a/", "a\\b", "a\0b", "a\nb", "a "]
)
@pytest.mark.parametrize(
    "take",
    [Run.reserve, partial(Run.reserve, overwrite=True), Run.open],
    ids=["reserve", "overwrite", "open"],
)
def test_run_name_that_is_not_plain_is_refused(take: Callable[[str], Run], name: str) -> None:
    error = usage_error(lambda: take(name))
    assert "is not a valid name for a run" in error.why
    assert "checkpoints" in error.fix


@pytest.mark.parametrize("name", ["spring", "base-20250131-120000", "春", "v1.2", "a b"])
def test_create_accepts_plain_names(name: str) -> None:
    Run.reserve(name).create(Config())
    assert (RUNS / name / "config.yaml").is_file()
    assert (RUNS / "latest").read_text(encoding="utf-8") == f"{name}\n"


def test_create_reports_a_name_too_long_for_a_file() -> None:
    with pytest.raises(PoetgenError):
        Run.reserve("x" * 300).create(Config())


def test_create_does_not_overwrite_a_file_or_a_link(tmp_path: Path) -> None:
    RUNS.mkdir()
    (RUNS / "file").write_text("", encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (RUNS / "link").symlink_to(elsewhere)
    for name in ("file", "link"):
        with pytest.raises(PoetgenError):
            Run.reserve(name, overwrite=True).create(Config(), overwrite=True)
    assert elsewhere.is_dir()


def test_create_refuses_a_run_created_since_reserve() -> None:
    run = Run.reserve("spring")
    add_run("spring")
    assert "already exists" in usage_error(lambda: run.create(Config())).why
    assert is_old(run.last)


def test_create_saves_the_config_and_the_newest_run() -> None:
    config = build_config(
        {"train": {"epochs": 3, "learning_rate": 3e-4}, "data": {"corpus": ["诗"]}}
    )
    for name in ("spring", "autumn"):
        run = Run.reserve(name)
        run.create(config)
        assert load_config(str(run.config)) == config
        assert (RUNS / "latest").read_text(encoding="utf-8") == f"{name}\n"


def test_create_where_nothing_can_be_written() -> None:
    RUNS.write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(OutputError) as caught:
        Run(RUNS / "spring").create(Config())
    assert "checkpoints/spring" in caught.value.why
    assert caught.value.fix


def test_open_returns_the_named_or_the_newest_run() -> None:
    spring, autumn = add_run("spring"), add_run("autumn")
    set_latest("autumn")
    assert Run.open("spring") == spring
    assert Run.open() == autumn


def test_open_without_any_run() -> None:
    error = usage_error(Run.open)
    assert "no run to resume" in error.why
    assert "poetgen train" in error.fix


def test_open_without_a_training_state() -> None:
    (RUNS / "spring").mkdir(parents=True)
    for name in ("spring", "nowhere"):
        error = usage_error(partial(Run.open, name))
        assert f"{name} cannot be resumed" in error.why
        assert "last.pt" in error.why
        assert "--overwrite" in error.fix


def test_resume_keeps_the_files_and_saves_the_config() -> None:
    run = add_run("spring")
    run.resume(Config())
    assert is_old(run.last)
    assert is_old(run.metrics)
    assert load_config(str(run.config)) == Config()


def test_resume_removes_partial_files() -> None:
    run = add_run("spring")
    (run.path / ".last.pt.4711.part").write_bytes(b"half")
    run.resume(Config())
    assert ".last.pt.4711.part" not in {file.name for file in run.path.iterdir()}
    assert run.last.exists()


@pytest.mark.parametrize(
    "take",
    [lambda run: run.resume(Config()), lambda run: run.create(Config(), overwrite=True)],
    ids=["resume", "overwrite"],
)
@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks on Windows")
def test_lock_excludes_other_processes(take: Callable[[Run], None]) -> None:
    run = add_run("spring")
    with run.lock():
        error = usage_error(lambda: take(run))
    assert "another process is training run spring" in error.why
    assert is_old(run.last)
    take(run)  # once the lock is released


def test_find_model_prefers_name_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    named, from_environment, newest = (add_run(name).best for name in ("named", "env", "newest"))
    set_latest("newest")
    assert (find_model().path, find_model().why) == (newest, "newest run")
    monkeypatch.setenv("POETGEN_CHECKPOINT", "env")
    assert find_model().path == from_environment
    assert "POETGEN_CHECKPOINT" in find_model().why
    assert (find_model("named").path, find_model("named").why) == (named, "given")


def test_find_model_ignores_an_empty_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = add_run("newest").best
    set_latest("newest")
    monkeypatch.setenv("POETGEN_CHECKPOINT", "")
    assert find_model().path == newest


@pytest.mark.parametrize("source", ["name", "environment"])
def test_find_model_by_file_folder_or_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    best = add_run("autumn").best
    elsewhere = tmp_path / "elsewhere" / "mine.safetensors"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"")
    for name, expected in [
        (str(elsewhere), elsewhere),
        (str(best), best),
        ("checkpoints/autumn", best),
        (str(tmp_path / "checkpoints" / "autumn"), tmp_path / best),
        ("autumn", best),
    ]:
        monkeypatch.setenv("POETGEN_CHECKPOINT", name)
        found = find_model(name) if source == "name" else find_model()
        assert found.path == expected


def test_find_model_without_runs_is_bundled() -> None:
    assert (find_model().path, find_model().why) == (BUNDLED, "bundled model")


def test_find_model_prefers_a_run_to_the_bundled_name() -> None:
    assert find_model("tang").path == BUNDLED
    run = add_run("tang")
    assert find_model("tang").path == run.best


def test_find_model_ignores_a_folder_named_tang() -> None:
    Path("tang").mkdir()
    assert find_model("tang").path == BUNDLED


def test_find_model_in_a_folder_that_is_not_a_run() -> None:
    Path("poems").mkdir()
    error = model_error("poems")
    assert error.why == "the folder poems contains no best.safetensors"
    assert "tang" in error.fix


def test_find_model_reports_the_run_before_a_folder() -> None:
    Path("young").mkdir()
    add_run("young", with_best=False)
    assert "run checkpoints/young has no" in model_error("young").why.replace("\\", "/")


@pytest.mark.parametrize("name", ["nowhere", "no/such/file.safetensors", "nul\0byte"])
def test_find_model_reports_a_missing_name(name: str) -> None:
    error = model_error(name)
    assert name in error.why
    assert "tang" in error.fix


def test_find_model_reports_a_wrong_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    add_run("newest")
    set_latest("newest")
    monkeypatch.setenv("POETGEN_CHECKPOINT", "nowhere")
    assert model_error().why.startswith("$POETGEN_CHECKPOINT: there is no model nowhere")


@pytest.mark.parametrize("name", ["young", "checkpoints/young"])
def test_find_model_in_a_run_without_best(name: str) -> None:
    add_run("young", with_best=False)
    error = model_error(name)
    assert "young" in error.why
    assert "best.safetensors" in error.why
    assert "--resume" in error.fix


@pytest.mark.parametrize("name", ["gone", "x" * 5000, "nul\0byte"])
def test_find_model_is_bundled_if_the_newest_is_gone(name: str) -> None:
    set_latest(name)
    assert find_model().path == BUNDLED
    assert find_model().why == f"bundled model; newest run {name} is missing"


def test_find_model_is_bundled_if_the_newest_is_young() -> None:
    add_run("young", with_best=False)
    set_latest("young")
    choice = find_model()
    assert choice.path == BUNDLED
    assert choice.why == "bundled model; newest run young has no finished epoch"


def test_find_model_ignores_a_folder_named_like_a_run() -> None:
    best = add_run("poems").best
    set_latest("poems")
    Path("poems").mkdir()
    assert find_model().path == best
    assert find_model("poems").path == best


def test_find_model_reports_a_name_too_long_for_a_file() -> None:
    assert model_error("x" * 5000).why


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("checkpoints/spring/best.safetensors", "spring"),
        ("spring/../autumn/best.safetensors", "autumn"),
        ("elsewhere/mine.v2.safetensors", "mine.v2"),
    ],
)
def test_model_name_is_that_of_the_run_or_the_file(file: str, name: str) -> None:
    assert model_name(Path(file)) == name


def test_model_name_in_the_working_directory(tmp_path: Path) -> None:
    assert model_name(Path(BEST)) == tmp_path.name

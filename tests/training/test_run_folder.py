"""Names and folders of runs."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from poetgen.config import Config, build_config, load_config
from poetgen.errors import OutputError, PoetgenError, UsageError
from poetgen.training.run_folder import RunFolder, begin, default_name, held, new_run, old_run

CHECKPOINTS = Path("checkpoints")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def add_run(name: str) -> RunFolder:
    folder = RunFolder(CHECKPOINTS / name)
    folder.path.mkdir(parents=True)
    for file in (folder.config, folder.metrics, folder.best, folder.last):
        file.write_text("old", encoding="utf-8")
    return folder


def refused(error: UsageError) -> UsageError:
    assert error.exit_code == 2
    for line in (error.why, error.fix):
        assert line
        assert "\n" not in line
    return error


def test_files_of_a_run() -> None:
    folder = RunFolder(CHECKPOINTS / "spring")
    assert folder.name == "spring"
    assert [p.as_posix() for p in (folder.config, folder.metrics, folder.best, folder.last)] == [
        "checkpoints/spring/config.yaml",
        "checkpoints/spring/metrics.jsonl",
        "checkpoints/spring/best.safetensors",
        "checkpoints/spring/last.pt",
    ]


@pytest.mark.parametrize("source", ["base", "base.yaml", "some/where/base.yaml"])
def test_default_name_is_configuration_and_time(source: str) -> None:
    now = datetime(2025, 1, 31, 12, 0, 9, tzinfo=UTC)
    assert default_name(source, lambda: now) == "base-20250131-120009"


def test_new_run_makes_nothing_yet() -> None:
    assert new_run("spring", fresh=False) == RunFolder(CHECKPOINTS / "spring")
    assert not CHECKPOINTS.exists()


def test_existing_run_is_neither_overwritten_nor_continued_unasked() -> None:
    folder = add_run("spring")
    with pytest.raises(UsageError) as caught:
        new_run("spring", fresh=False)
    error = refused(caught.value)
    assert "spring exists already" in error.why
    assert "--resume" in error.fix
    assert "--fresh" in error.fix
    assert folder.last.read_text(encoding="utf-8") == "old"


def test_fresh_empties_that_run_alone_and_not_before_it_begins() -> None:
    folder, other = add_run("spring"), add_run("autumn")
    assert new_run("spring", fresh=True) == folder
    assert folder.last.exists()
    begin(folder, Config(), resume=False, fresh=True)
    assert [file.name for file in folder.path.iterdir()] == ["config.yaml"]
    assert other.last.exists()


def test_resumed_run_keeps_its_files() -> None:
    folder = add_run("spring")
    begin(folder, Config(), resume=True)
    assert folder.last.read_text(encoding="utf-8") == "old"
    assert folder.metrics.read_text(encoding="utf-8") == "old"
    assert load_config(str(folder.config)) == Config()


def test_fresh_with_nothing_there_is_a_new_run() -> None:
    assert new_run("spring", fresh=True).name == "spring"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "latest", "a/b", "../a", "/a", "a/", "a\\b", "a\0b", "a\nb", "a "]
)
@pytest.mark.parametrize(
    "take",
    [partial(new_run, fresh=False), partial(new_run, fresh=True), old_run],
    ids=["new", "fresh", "resume"],
)
def test_name_that_is_no_plain_name_is_refused(take: Callable[[str], RunFolder], name: str) -> None:
    with pytest.raises(UsageError) as caught:
        take(name)
    error = refused(caught.value)
    assert "is not a name for a run" in error.why
    assert "checkpoints" in error.fix


@pytest.mark.parametrize("name", ["spring", "base-20250131-120000", "春", "v1.2", "a b"])
def test_plain_names_are_taken(name: str) -> None:
    begin(new_run(name, fresh=False), Config(), resume=False)
    assert (CHECKPOINTS / name / "config.yaml").is_file()
    assert (CHECKPOINTS / "latest").read_text(encoding="utf-8") == f"{name}\n"


def test_name_too_long_for_a_file_is_an_error_like_any_other() -> None:
    with pytest.raises(PoetgenError):
        begin(new_run("x" * 300, fresh=False), Config(), resume=False)


def test_fresh_over_a_file_or_a_link_is_an_error_like_any_other(tmp_path: Path) -> None:
    CHECKPOINTS.mkdir()
    (CHECKPOINTS / "file").write_text("", encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (CHECKPOINTS / "link").symlink_to(elsewhere)
    for name in ("file", "link"):
        with pytest.raises(PoetgenError):
            begin(new_run(name, fresh=True), Config(), resume=False, fresh=True)


def test_a_run_that_another_process_began_meanwhile_is_left_alone() -> None:
    folder = new_run("spring", fresh=False)
    add_run("spring")
    with pytest.raises(UsageError):
        begin(folder, Config(), resume=False)
    assert folder.last.read_text(encoding="utf-8") == "old"


def test_resume_takes_the_run_named_else_the_newest() -> None:
    spring, autumn = add_run("spring"), add_run("autumn")
    (CHECKPOINTS / "latest").write_text("autumn\n", encoding="utf-8")
    assert old_run("spring") == spring
    assert old_run(None) == autumn


def test_resume_with_no_run_at_all() -> None:
    with pytest.raises(UsageError) as caught:
        old_run(None)
    error = refused(caught.value)
    assert "no run to resume" in error.why
    assert "poetgen train" in error.fix


def test_resume_of_a_run_without_a_training_state() -> None:
    (CHECKPOINTS / "spring").mkdir(parents=True)
    for name in ("spring", "nowhere"):
        with pytest.raises(UsageError) as caught:
            old_run(name)
        error = refused(caught.value)
        assert f"{name} cannot be resumed" in error.why
        assert "last.pt" in error.why
        assert "--fresh" in error.fix


def test_begin_saves_the_configuration_and_names_the_newest_run() -> None:
    config = build_config(
        {"train": {"epochs": 3, "learning_rate": 3e-4}, "data": {"corpus": ["诗"]}}
    )
    for name in ("spring", "autumn"):
        folder = new_run(name, fresh=False)
        begin(folder, config, resume=False)
        assert load_config(str(folder.config)) == config
        assert (CHECKPOINTS / "latest").read_text(encoding="utf-8") == f"{name}\n"


def test_begin_where_nothing_can_be_written() -> None:
    CHECKPOINTS.write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(OutputError) as caught:
        begin(RunFolder(CHECKPOINTS / "spring"), Config(), resume=False)
    assert "checkpoints/spring" in caught.value.why
    assert caught.value.fix


@pytest.mark.parametrize("options", [{"resume": True}, {"resume": False, "fresh": True}])
@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_run_that_another_process_trains_is_left_alone(options: dict[str, bool]) -> None:
    folder = add_run("spring")
    with held(folder), pytest.raises(UsageError) as caught:
        begin(folder, Config(), **options)
    assert "another process is training the run spring" in refused(caught.value).why
    assert folder.last.read_text(encoding="utf-8") == "old"
    begin(folder, Config(), **options)  # once it has ended


def test_resumed_run_loses_what_a_kill_left_half_written() -> None:
    folder = add_run("spring")
    (folder.path / ".last.pt.4711.part").write_bytes(b"half")
    begin(folder, Config(), resume=True)
    assert ".last.pt.4711.part" not in {file.name for file in folder.path.iterdir()}
    assert folder.last.exists()

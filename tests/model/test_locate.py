"""Which model is used when several could be."""

from pathlib import Path

import pytest

from poetgen.errors import ModelFileError
from poetgen.model.locate import BEST, SHIPPED, find_model, model_name


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def add_run(name: str, *, with_best: bool = True) -> Path:
    folder = Path("checkpoints") / name
    folder.mkdir(parents=True)
    best = folder / "best.safetensors"
    (folder / "config.yaml").write_bytes(b"")
    if with_best:
        best.write_bytes(b"")
    return best


def set_latest(name: str) -> None:
    Path("checkpoints").mkdir(exist_ok=True)
    Path("checkpoints/latest").write_text(name + "\n", encoding="utf-8")


def failure(given: str | None = None) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        find_model(given)
    error = caught.value
    assert error.exit_code == 1
    for line in (error.why, error.fix):
        assert line
        assert "\n" not in line
    return error


def test_given_beats_environment_beats_newest_run(monkeypatch: pytest.MonkeyPatch) -> None:
    named, from_environment, newest = (add_run(name) for name in ("named", "env", "newest"))
    set_latest("newest")
    assert (find_model().path, find_model().why) == (newest, "the newest run")
    monkeypatch.setenv("POETGEN_CHECKPOINT", "env")
    assert find_model().path == from_environment
    assert "POETGEN_CHECKPOINT" in find_model().why
    assert (find_model("named").path, find_model("named").why) == (named, "as asked")


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = add_run("newest")
    set_latest("newest")
    monkeypatch.setenv("POETGEN_CHECKPOINT", "")
    assert find_model().path == newest


@pytest.mark.parametrize("source", ["given", "environment"])
def test_name_may_be_a_file_a_run_folder_or_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    best = add_run("autumn")
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
        found = find_model(name) if source == "given" else find_model()
        assert found.path == expected


def test_without_any_run_it_is_the_model_that_ships() -> None:
    assert (find_model().path, find_model().why) == (SHIPPED, "the one that ships")


def test_the_model_that_ships_has_a_name_but_a_run_of_that_name_goes_first() -> None:
    assert find_model("tang").path == SHIPPED
    run = add_run("tang")
    assert find_model("tang").path == run


def test_a_folder_of_the_name_does_not_hide_the_model_that_ships() -> None:
    Path("tang").mkdir()
    assert find_model("tang").path == SHIPPED


def test_a_folder_that_is_no_run_is_not_told_of_as_one() -> None:
    Path("poems").mkdir()
    error = failure("poems")
    assert error.why == "the folder poems holds no best.safetensors"
    assert "tang" in error.fix


def test_a_run_to_be_finished_is_told_of_before_a_folder_of_the_name() -> None:
    Path("young").mkdir()
    add_run("young", with_best=False)
    assert "the run checkpoints/young has no" in failure("young").why.replace("\\", "/")


@pytest.mark.parametrize("name", ["nowhere", "no/such/file.safetensors", "nul\0byte"])
def test_missing_name_is_told(name: str) -> None:
    error = failure(name)
    assert name in error.why
    assert "tang" in error.fix


def test_environment_that_names_nothing_is_an_error_and_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_run("newest")
    set_latest("newest")
    monkeypatch.setenv("POETGEN_CHECKPOINT", "nowhere")
    assert failure().why.startswith("$POETGEN_CHECKPOINT: there is no model nowhere")


@pytest.mark.parametrize("name", ["young", "checkpoints/young"])
def test_run_without_a_best_model_yet_says_to_go_on(name: str) -> None:
    add_run("young", with_best=False)
    error = failure(name)
    assert "young" in error.why
    assert "best.safetensors" in error.why
    assert "--resume" in error.fix


@pytest.mark.parametrize("name", ["gone", "x" * 5000, "nul\0byte"])
def test_newest_run_that_is_gone_leaves_the_model_that_ships(name: str) -> None:
    set_latest(name)
    assert find_model().path == SHIPPED
    assert find_model().why == f"the one that ships: {name}, the newest run, is gone"


def test_newest_run_that_has_no_model_yet_leaves_the_one_that_ships() -> None:
    add_run("young", with_best=False)
    set_latest("young")
    choice = find_model()
    assert choice.path == SHIPPED
    assert choice.why == "the one that ships: young, the newest run, has finished no epoch yet"


def test_latest_means_the_run_though_a_folder_here_has_the_same_name() -> None:
    best = add_run("poems")
    set_latest("poems")
    Path("poems").mkdir()
    assert find_model().path == best


def test_run_is_found_by_name_though_a_folder_here_has_the_same_name() -> None:
    best = add_run("poems")
    Path("poems").mkdir()
    assert find_model("poems").path == best


def test_name_too_long_for_a_file_is_an_error_like_any_other() -> None:
    assert failure("x" * 5000).why


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("checkpoints/spring/best.safetensors", "spring"),
        ("spring/../autumn/best.safetensors", "autumn"),
        ("elsewhere/mine.v2.safetensors", "mine.v2"),
    ],
)
def test_model_is_called_by_its_run_or_else_by_its_file(file: str, name: str) -> None:
    assert model_name(Path(file)) == name


def test_best_model_of_the_folder_one_is_in_has_the_folders_name(tmp_path: Path) -> None:
    assert model_name(Path(BEST)) == tmp_path.name

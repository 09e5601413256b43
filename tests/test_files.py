"""`poetgen.files`: the old file or the new one, never half of either."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from poetgen.errors import OutputError
from poetgen.files import (
    growing_file,
    lock,
    remove_scraps,
    unwritable,
    write_text,
    write_whole,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def check(error: OutputError, path: Path) -> None:
    assert error.exit_code == 1
    assert str(path) in error.why
    assert error.fix
    assert "\n" not in error.why + error.fix


def test_text_is_written_as_utf_8_into_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "诗.txt"
    write_text(path, "春眠\n")
    assert path.read_bytes() == "春眠\n".encode()
    assert names(path.parent) == ["诗.txt"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "a long first text")
    write_text(path, "short")
    assert path.read_text(encoding="utf-8") == "short"
    assert names(tmp_path) == ["a.txt"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write(part: Path) -> None:
        part.write_text("new", encoding="utf-8")
        assert part.parent == path.parent
        assert path.read_text(encoding="utf-8") == "old"

    write_whole(path, write)
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize(
    "error", [ValueError("ours"), KeyboardInterrupt(), OSError(28, "No space")]
)
def test_a_writer_that_fails_half_way_leaves_the_old_file_and_no_scrap(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write(part: Path) -> None:
        part.write_text("ne", encoding="utf-8")
        raise error

    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_whole(path, write)
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def write(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device") as caught:
        write_whole(path, write)
    check(caught.value, path)


def test_a_file_is_as_readable_as_any_other_the_user_makes(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()

    def write(part: Path) -> None:
        part.touch(mode=0o600)

    write_whole(tmp_path / "whole", write)
    assert (tmp_path / "whole").stat().st_mode == plain.stat().st_mode


def write_growing(path: Path, text: str) -> None:
    with growing_file(path) as stream:
        stream.write(text)


@pytest.mark.parametrize("writer", [write_text, write_growing])
def test_a_folder_in_the_place_of_the_file_is_an_output_error(
    tmp_path: Path, writer: Callable[[Path, str], None]
) -> None:
    path = tmp_path / "a"
    path.mkdir()
    with pytest.raises(OutputError) as caught:
        writer(path, "text")
    check(caught.value, path)
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("writer", [write_text, write_growing])
def test_a_file_in_the_place_of_the_folder_is_an_output_error(
    tmp_path: Path, writer: Callable[[Path, str], None]
) -> None:
    (tmp_path / "a").write_text("old", encoding="utf-8")
    with pytest.raises(OutputError) as caught:
        writer(tmp_path / "a" / "b.txt", "text")
    check(caught.value, tmp_path / "a" / "b.txt")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "old"


def test_a_growing_file_appears_when_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "poems.txt"
    with growing_file(path) as stream:
        stream.write("春眠\n")
        stream.flush()
        assert names(path.parent) == ["poems.txt.part"]
        assert (path.parent / "poems.txt.part").read_bytes() == "春眠\n".encode()
    assert names(path.parent) == ["poems.txt"]
    assert path.read_bytes() == "春眠\n".encode()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_growing_file_that_is_interrupted_keeps_what_it_has_and_the_old_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "poems.txt"
    path.write_text("old", encoding="utf-8")

    def write() -> None:
        with growing_file(path) as stream:
            stream.write("hours of output")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text(encoding="utf-8") == "old"
    assert (tmp_path / "poems.txt.part").read_text(encoding="utf-8") == "hours of output"


def test_a_growing_file_replaces_the_old_one_and_an_old_scrap(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    path.write_text("a long old text", encoding="utf-8")
    (tmp_path / "poems.txt.part").write_text("a longer old scrap", encoding="utf-8")
    write_growing(path, "new")
    assert names(tmp_path) == ["poems.txt"]
    assert path.read_text(encoding="utf-8") == "new"


def test_the_error_of_another_file_is_not_blamed_on_a_growing_one(tmp_path: Path) -> None:
    def write() -> None:
        with growing_file(tmp_path / "poems.txt") as stream:
            stream.write((tmp_path / "missing.txt").read_text(encoding="utf-8"))

    with pytest.raises(FileNotFoundError, match=re.escape("missing.txt")):
        write()


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """Writing more fails in the block, as it would on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("writer", [write_text, write_growing])
@pytest.mark.parametrize("size", [6_000, 100_000], ids=["in the last flush", "in a write"])
def test_no_room_for_the_new_file_leaves_the_old_one(
    tmp_path: Path, writer: Callable[[Path, str], None], size: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with files_of_at_most(4096), pytest.raises(OutputError) as caught:
        writer(path, "a" * size)
    check(caught.value, path)
    assert path.read_text(encoding="utf-8") == "old"


def test_unwritable_says_what_the_system_said(tmp_path: Path) -> None:
    error = unwritable(tmp_path / "a", PermissionError(13, "Permission denied"))
    assert error.why.endswith("Permission denied")
    check(error, tmp_path / "a")
    assert unwritable(tmp_path / "a", OSError("odd")).why.endswith("odd")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_leave_to_write_is_an_output_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError) as caught:
            write_text(tmp_path / "a.txt", "text")
    finally:
        tmp_path.chmod(0o700)
    check(caught.value, tmp_path / "a.txt")


def test_a_pipe_is_written_straight_to_by_its_name_in_dev_fd() -> None:
    if not Path("/dev/fd").is_dir():
        pytest.skip("no /dev/fd there")
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        write_growing(Path(f"/dev/fd/{writing}"), "春眠")
        os.close(writing)
        assert stream.read() == "春眠".encode()


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_a_lock_is_one_opener_s_until_it_closes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with path.open() as first, path.open() as second:
        assert lock(first.fileno())
        assert not lock(second.fileno())
        first.close()
        assert lock(second.fileno())


def test_scraps_go_and_nothing_else(tmp_path: Path) -> None:
    for name in (".model.123.part", "model", "poems.part", ".hidden"):
        (tmp_path / name).touch()
    remove_scraps(tmp_path)
    assert names(tmp_path) == [".hidden", "model", "poems.part"]

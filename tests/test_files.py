"""`poetgen.files`: atomic writes, partial output, locks."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from poetgen.errors import OutputError
from poetgen.files import (
    atomic_write,
    atomic_writer,
    lock,
    remove_partial_files,
    write_error,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def check(error: OutputError, path: Path) -> None:
    assert error.exit_code == 1
    assert str(path) in error.why
    assert error.fix
    assert "\n" not in error.why + error.fix


def test_write_text_creates_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "诗.txt"
    write_text(path, "春眠\n")
    assert path.read_bytes() == "春眠\n".encode()
    assert names(path.parent) == ["诗.txt"]


def test_write_text_replaces_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "a long first text")
    write_text(path, "short")
    assert path.read_text(encoding="utf-8") == "short"
    assert names(tmp_path) == ["a.txt"]


def test_atomic_write_keeps_old_file_until_done(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write(part: Path) -> None:
        part.write_text("new", encoding="utf-8")
        assert part.parent == path.parent
        assert path.read_text(encoding="utf-8") == "old"

    atomic_write(path, write)
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize(
    "error", [ValueError("ours"), KeyboardInterrupt(), OSError(28, "No space")]
)
def test_atomic_write_failure_keeps_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write(part: Path) -> None:
        part.write_text("ne", encoding="utf-8")
        raise error

    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        atomic_write(path, write)
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a.txt"]


def test_atomic_write_full_disk_names_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def write(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device") as caught:
        atomic_write(path, write)
    check(caught.value, path)


def test_atomic_write_uses_default_permissions(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()

    def write(part: Path) -> None:
        part.touch(mode=0o600)

    atomic_write(tmp_path / "whole", write)
    assert (tmp_path / "whole").stat().st_mode == plain.stat().st_mode


def write_stream(path: Path, text: str) -> None:
    with atomic_writer(path) as stream:
        stream.write(text)


@pytest.mark.parametrize("writer", [write_text, write_stream])
def test_writers_reject_folder(tmp_path: Path, writer: Callable[[Path, str], None]) -> None:
    path = tmp_path / "a"
    path.mkdir()
    with pytest.raises(OutputError) as caught:
        writer(path, "text")
    check(caught.value, path)
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("writer", [write_text, write_stream])
def test_writers_reject_file_as_folder(tmp_path: Path, writer: Callable[[Path, str], None]) -> None:
    (tmp_path / "a").write_text("old", encoding="utf-8")
    with pytest.raises(OutputError) as caught:
        writer(tmp_path / "a" / "b.txt", "text")
    check(caught.value, tmp_path / "a" / "b.txt")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "old"


def test_atomic_writer_renames_at_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "poems.txt"
    with atomic_writer(path) as stream:
        stream.write("春眠\n")
        stream.flush()
        assert names(path.parent) == ["poems.txt.part"]
        assert (path.parent / "poems.txt.part").read_bytes() == "春眠\n".encode()
    assert names(path.parent) == ["poems.txt"]
    assert path.read_bytes() == "春眠\n".encode()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_atomic_writer_keeps_partial_output(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "poems.txt"
    path.write_text("old", encoding="utf-8")

    def write() -> None:
        with atomic_writer(path) as stream:
            stream.write("hours of output")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text(encoding="utf-8") == "old"
    assert (tmp_path / "poems.txt.part").read_text(encoding="utf-8") == "hours of output"
    assert caplog.messages == [f"partial output is kept in {tmp_path / 'poems.txt.part'}"]


def test_atomic_writer_removes_empty_part(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), atomic_writer(tmp_path / "poems.txt"):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_atomic_writer_replaces_old_files(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    path.write_text("a long old text", encoding="utf-8")
    (tmp_path / "poems.txt.part").write_text("a longer old part", encoding="utf-8")
    write_stream(path, "new")
    assert names(tmp_path) == ["poems.txt"]
    assert path.read_text(encoding="utf-8") == "new"


def test_atomic_writer_passes_other_errors(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_writer(tmp_path / "poems.txt") as stream:
            stream.write((tmp_path / "missing.txt").read_text(encoding="utf-8"))

    with pytest.raises(FileNotFoundError, match=re.escape("missing.txt")):
        write()


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """Make larger writes in the block fail, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("writer", [write_text, write_stream])
@pytest.mark.parametrize("size", [6_000, 100_000], ids=["in the last flush", "in a write"])
def test_writers_keep_old_file_on_full_disk(
    tmp_path: Path, writer: Callable[[Path, str], None], size: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with files_of_at_most(4096), pytest.raises(OutputError) as caught:
        writer(path, "a" * size)
    check(caught.value, path)
    assert path.read_text(encoding="utf-8") == "old"


def test_write_error_has_reason(tmp_path: Path) -> None:
    error = write_error(tmp_path / "a", PermissionError(13, "Permission denied"))
    assert error.why.endswith("Permission denied")
    check(error, tmp_path / "a")
    assert write_error(tmp_path / "a", OSError("odd")).why.endswith("odd")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root can write anywhere")
def test_write_text_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError) as caught:
            write_text(tmp_path / "a.txt", "text")
    finally:
        tmp_path.chmod(0o700)
    check(caught.value, tmp_path / "a.txt")


def test_atomic_writer_writes_to_pipe() -> None:
    if not Path("/dev/fd").is_dir():
        pytest.skip("there is no /dev/fd")
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        write_stream(Path(f"/dev/fd/{writing}"), "春眠")
        os.close(writing)
        assert stream.read() == "春眠".encode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_lock_is_exclusive(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with path.open() as first, path.open() as second:
        assert lock(first.fileno())
        assert not lock(second.fileno())
        first.close()
        assert lock(second.fileno())


def test_remove_partial_files(tmp_path: Path) -> None:
    for name in (".model.123.part", "model", "poems.part", ".hidden"):
        (tmp_path / name).touch()
    remove_partial_files(tmp_path)
    assert names(tmp_path) == [".hidden", "model", "poems.part"]

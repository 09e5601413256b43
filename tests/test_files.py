"""`poetgen.files`: atomic writes, partial output, locks."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from poetgen.errors import OutputError, PoetgenError
from poetgen.files import (
    atomic_write,
    atomic_writer,
    check_writable,
    file_digest,
    is_special,
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


def test_write_text_writes_utf8(tmp_path: Path) -> None:
    path = tmp_path / "诗.txt"
    write_text(path, "春眠\n")
    assert path.read_bytes() == "春眠\n".encode()
    assert names(tmp_path) == ["诗.txt"]


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


def write_stream(path: Path, text: str) -> None:
    with atomic_writer(path) as stream:
        stream.write(text)


REPLACERS = pytest.mark.parametrize("writer", [write_text, write_stream])


@REPLACERS
def test_writers_rename(tmp_path: Path, writer: Callable[[Path, str], None]) -> None:
    """A reader of the old file, here a second name of it, never sees half of the new one."""
    path, second = tmp_path / "a.txt", tmp_path / "b.txt"
    path.write_text("old", encoding="utf-8")
    second.hardlink_to(path)
    writer(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert second.read_text(encoding="utf-8") == "old"


@REPLACERS
def test_writers_flush_to_the_disk_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: Callable[[Path, str], None]
) -> None:
    path = tmp_path / "a.txt"
    writer(path, "old")
    steps: list[object] = []
    fsync, replace = os.fsync, Path.replace

    def fsync_and_note(descriptor: int) -> None:
        steps.append((os.fstat(descriptor).st_size, path.read_text(encoding="utf-8")))
        fsync(descriptor)

    def replace_and_note(part: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(part, target)

    monkeypatch.setattr(os, "fsync", fsync_and_note)
    monkeypatch.setattr(Path, "replace", replace_and_note)
    writer(path, "a longer text")
    assert steps == [(len("a longer text"), "old"), "rename"]


def test_atomic_write_full_disk_names_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def write(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="the disk is full") as caught:
        atomic_write(path, write)
    check(caught.value, path)


def test_atomic_write_creates_no_folder_for_a_careless_writer(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"

    def write(part: Path) -> None:
        part.parent.mkdir()
        part.touch()

    with pytest.raises(OutputError, match="there is no folder"):
        atomic_write(path, write)
    assert names(tmp_path) == []


def test_atomic_write_uses_default_permissions(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()

    def write(part: Path) -> None:
        part.touch(mode=0o600)

    atomic_write(tmp_path / "whole", write)
    assert (tmp_path / "whole").stat().st_mode == plain.stat().st_mode


def only_check(path: Path, text: str) -> None:
    del text
    check_writable(path)


WRITERS = pytest.mark.parametrize("writer", [write_text, write_stream, only_check])


@WRITERS
def test_writers_reject_folder(tmp_path: Path, writer: Callable[[Path, str], None]) -> None:
    path = tmp_path / "a"
    path.mkdir()
    with pytest.raises(OutputError, match="it is a folder") as caught:
        writer(path, "text")
    check(caught.value, path)
    assert caught.value.fix == f"Name a file, for example one in {path}."
    assert names(tmp_path) == ["a"]


@WRITERS
def test_writers_create_no_folder(tmp_path: Path, writer: Callable[[Path, str], None]) -> None:
    path = tmp_path / "a" / "b.txt"
    with pytest.raises(OutputError, match=f"there is no folder {path.parent}") as caught:
        writer(path, "text")
    check(caught.value, path)
    assert "Create the folder" in caught.value.fix
    assert names(tmp_path) == []


@WRITERS
def test_writers_reject_file_as_folder(tmp_path: Path, writer: Callable[[Path, str], None]) -> None:
    (tmp_path / "a").write_text("old", encoding="utf-8")
    with pytest.raises(OutputError) as caught:
        writer(tmp_path / "a" / "b.txt", "text")
    check(caught.value, tmp_path / "a" / "b.txt")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "old"


def test_atomic_writer_renames_at_end(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    with atomic_writer(path) as stream:
        stream.write("春眠\n")
        stream.flush()
        assert names(tmp_path) == ["poems.txt.part"]
        assert (tmp_path / "poems.txt.part").read_bytes() == "春眠\n".encode()
    assert names(tmp_path) == ["poems.txt"]
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


@pytest.mark.parametrize(
    ("number", "reason", "advice"),
    [
        (errno.ENOSPC, "the disk is full", "Free some space"),
        (errno.EDQUOT, "your disk quota is used up", "Free some space"),
        (errno.EACCES, "permission denied", "change the permissions of "),
        (errno.EPERM, "permission denied", "change the permissions of "),
        (errno.EROFS, "the file system is read-only", "that can be written"),
        (errno.EISDIR, "it is a folder", "Name a file"),
        (errno.ENOTDIR, "x is not a folder", "another path"),
        (errno.ENOENT, "there is no folder ", "Create the folder"),
        (errno.ENAMETOOLONG, "the name is too long", "shorter name"),
        (errno.EIO, os.strerror(errno.EIO), "or choose another path"),
    ],
)
def test_write_error_names_cause_and_remedy(
    tmp_path: Path, number: int, reason: str, advice: str
) -> None:
    path = tmp_path / "x" / "a.txt"
    error = write_error(path, OSError(number, os.strerror(number)))
    check(error, path)
    assert error.why.startswith(f"{path} cannot be written: ")
    assert reason in error.why
    assert advice in error.fix
    assert ("Free some space" in error.fix) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_write_error_of_unknown_cause(tmp_path: Path) -> None:
    assert write_error(tmp_path / "a", OSError("odd {x}")).why.endswith("odd {x}")
    missing = write_error(tmp_path / "a", FileNotFoundError(errno.ENOENT, "No such file"))
    assert missing.why.endswith("No such file")  # the folder exists
    full = write_error(tmp_path / "a", OSError("I/O error: (os error 28) at path"))
    assert full.why.endswith("the disk is full")


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


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout")
@pytest.mark.parametrize("target", ["/dev/stdout", "/dev/fd/1"])
def test_atomic_writer_appends_to_an_open_file(tmp_path: Path, target: str) -> None:
    path = tmp_path / "all.txt"
    path.write_text("old\n", encoding="utf-8")
    code = (
        "from pathlib import Path; from poetgen.files import atomic_writer\n"
        f"with atomic_writer(Path({target!r})) as stream: stream.write('new')"
    )
    with path.open("a", encoding="utf-8") as stream:
        subprocess.run([sys.executable, "-c", code], stdout=stream, check=True, timeout=60)
    assert path.read_text(encoding="utf-8") == "old\nnew"
    assert names(tmp_path) == ["all.txt"]


def test_is_special_of_devices_only(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.touch()
    for path in (file, tmp_path, tmp_path / "missing", tmp_path / ("x" * 300)):
        assert not is_special(path)
    for path in (Path("/dev/stdout"), Path("/dev/stderr"), Path("/dev/fd/3"), Path(os.devnull)):
        assert is_special(path) or os.name != "posix"


def test_file_digest_depends_on_the_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"weights")
    second.write_bytes(b"weights")
    assert file_digest(first) == file_digest(second)
    assert len(bytes.fromhex(file_digest(first))) == 8
    second.write_bytes(b"others")
    assert file_digest(first) != file_digest(second)
    with pytest.raises(PoetgenError, match="missing cannot be read"):
        file_digest(tmp_path / "missing")


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

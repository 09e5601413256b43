"""Files written whole or not at all."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from poetgen.errors import OutputError

_UMASK = os.umask(0)  # the only way to ask is to set it
os.umask(_UMASK)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` fill a sibling of `path`, then move it into place in one step.

    A kill or a full disk at any instant leaves the old file or the new one, never half of either.

    Raises:
        OutputError: the folder cannot be made or written, or the disk is full.
    """
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(part)
            with part.open("rb") as stream:
                os.fsync(stream.fileno())
            part.chmod(0o666 & ~_UMASK)  # some writers make files that only their owner can read
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def _part(path: Path) -> Path:
    """Where `path` is written by this process until it is whole; `remove_scraps` knows such names."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def check_writable(path: Path) -> None:
    """Raise before long work the OutputError that `write_whole` would raise after it."""
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        part.touch()
        part.unlink()
    except OSError as error:
        raise unwritable(path, error) from error


def write_text(path: Path, text: str) -> None:
    """`write_whole` of a short UTF-8 text."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


@contextmanager
def growing_file(path: Path, tell: Callable[[str], None] = lambda _: None) -> Iterator[IO[str]]:
    """A text stream whose content becomes `path` when the block ends well.

    Until then it grows in `<path>.part`, which stays if the block is left by an exception: hours of
    output outlive a Ctrl-C, and what stood in `path` is unharmed.

    Raises:
        OutputError: it cannot be written.
    """
    # os.path, not Path: it answers "no" to a name that is too long or out of reach.
    # What a pipe's name in /dev/fd links to is no name of a file, so that is not resolved.
    is_device = os.path.exists(path) and not os.path.isfile(path)  # noqa: PTH110, PTH113
    if not is_device:
        path = path.resolve()  # a link stays a link to the new content
    part = path if is_device else path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.isdir(path):  # noqa: PTH112
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        # Surrogates stand for the bytes of a name that is not in UTF-8.
        stream = part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        try:
            try:
                yield stream
            except BaseException:
                with suppress(OSError):
                    stream.flush()
                if not is_device and part.stat().st_size:
                    tell(f"what was finished is in {part}")
                elif not is_device:
                    part.unlink()
                raise
            stream.flush()
            if not is_device:
                os.fsync(stream.fileno())
        finally:
            with suppress(OSError):  # closing flushes once more, and the first failure says it all
                stream.close()
        if not is_device:
            part.replace(path)
    except OSError as error:
        # A failed write names no file; other files' errors, and a closed pipe, are not ours.
        if isinstance(error, BrokenPipeError) or error.filename not in (None, str(part)):
            raise
        raise unwritable(path, error) from error


def lock(descriptor: int) -> bool:
    """Keep an open file or folder for this process until it is closed; False: another one has it.

    A killed process holds nothing.  Where there are no such locks, everyone gets one.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return True
    return True


def remove_scraps(folder: Path) -> None:
    """Remove what writers of whole files left half-written in `folder` when they were killed."""
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            part.unlink()


def unwritable(path: Path, error: OSError) -> OutputError:
    """The error to raise where `path` could not be written."""
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}",
        "Free some space or name another place; what was there before is unharmed.",
    )

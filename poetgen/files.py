"""Atomic writes: a file is replaced completely or not at all."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from poetgen.errors import OutputError

logger = logging.getLogger(__name__)

_UMASK = os.umask(0)  # it can only be read by setting it
os.umask(_UMASK)


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary sibling of `path`, then rename that to `path`.

    If the process is killed or the disk is full, the old file stays intact.

    Raises:
        OutputError: the folder cannot be created or written, or the disk is full.
    """
    try:
        _reject_folder(path)
        part = _temporary(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(part)
            with part.open("rb") as stream:
                os.fsync(stream.fileno())
            part.chmod(0o666 & ~_UMASK)  # some writers create files that only the owner can read
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write a short UTF-8 text with `atomic_write`."""
    atomic_write(path, lambda part: part.write_text(text, encoding="utf-8"))


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[str]]:
    """Yield a text stream; rename its file to `path` when the block ends without an exception.

    The stream writes to `<path>.part`.  After an exception that file is kept and logged, so hours of
    output survive a Ctrl-C, and `path` is unchanged.  Devices and pipes are written directly.

    Raises:
        OutputError: the file cannot be written.
    """
    # os.path, not Path: it returns False for a name that is too long or inaccessible.
    is_device = os.path.exists(path) and not os.path.isfile(path)  # noqa: PTH110, PTH113
    if not is_device:  # the link target of a pipe in /dev/fd is no file name
        path = path.resolve()  # write through a symbolic link
    part = path if is_device else path.with_name(path.name + ".part")
    stream = _open(part, path)
    try:
        try:
            yield stream
            stream.flush()
            if not is_device:
                os.fsync(stream.fileno())
        except BaseException:
            if not is_device:
                _keep(part, stream)
            raise
        finally:
            with suppress(OSError):  # closing flushes again and would repeat the first error
                stream.close()
        if not is_device:
            part.replace(path)
    except OSError as error:
        # A failed write has no file name.  Errors of other files and closed pipes pass through.
        if isinstance(error, BrokenPipeError) or error.filename not in (None, str(part)):
            raise
        raise write_error(path, error) from error


def check_writable(path: Path) -> None:
    """Raise, before long work, the OutputError that `atomic_write` would raise after it."""
    try:
        _reject_folder(path)
        part = _temporary(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        part.unlink()
    except OSError as error:
        raise write_error(path, error) from error


def remove_partial_files(folder: Path) -> None:
    """Remove the temporary files that killed calls of `atomic_write` left in `folder`."""
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            part.unlink()


def write_error(path: Path, error: OSError) -> OutputError:
    """Return the error to raise if `path` cannot be written."""
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}",
        "Free some space or choose another path; an existing file is unchanged.",
    )


def lock(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed; return False if another process has the lock.

    The lock ends with the process.  On platforms and file systems without locks, return True.
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


def _temporary(path: Path) -> Path:
    """Return the temporary sibling to which this process writes `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _open(part: Path, path: Path) -> IO[str]:
    """Open `part` for the content of `path`; raise OutputError if either cannot be created."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _reject_folder(path)
        # Surrogates represent the bytes of a file name that is not UTF-8.
        return part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        raise write_error(path, error) from error


def _keep(part: Path, stream: IO[str]) -> None:
    """Log where the partial output is, or remove it if it is empty."""
    with suppress(OSError):
        stream.flush()
    if part.stat().st_size:
        logger.info("partial output is kept in %s", part)
    else:
        part.unlink()


def _reject_folder(path: Path) -> None:
    if os.path.isdir(path):  # noqa: PTH112
        raise IsADirectoryError(errno.EISDIR, "it is a folder")

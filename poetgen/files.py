"""Writes that replace a file completely or not at all, and reads of bounded size.

Every file that a user names is opened by `open_input`, which refuses devices, named pipes and sockets:
reading one may never end.  Folders are not created.
"""

import errno
import hashlib
import json
import logging
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, BinaryIO

from poetgen.errors import OutputError, PoetgenError
from poetgen.language import tr

logger = logging.getLogger(__name__)

_UMASK = os.umask(0)  # it can only be read by setting it
os.umask(_UMASK)
_DESCRIPTORS = ("/dev/fd", "/proc/self/fd")
"""Folders of the open files of this process."""

MAX_BYTES = 2**29
"""Limit of a file that is read whole; all poems of the Tang and the Song take a quarter of it."""
MAX_JSON_DEPTH = 32
"""Limit of lists and objects within each other; a corpus has three."""


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary sibling of `path`, then rename that to `path`.

    If the process is killed or the disk is full, the old file stays intact.

    Raises:
        OutputError: the folder is missing or cannot be written, or the disk is full.
    """
    try:
        _check_target(path)
        part = _temporary(path)
        try:
            part.touch()  # fails with the cause, unlike some writers
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
    try:
        _check_target(path, is_stream=True)
    except OSError as error:
        raise write_error(path, error) from error
    is_direct = is_special(path)
    if path.is_symlink() and not is_direct:  # the target of a link in /dev/fd may be no file name
        path = path.resolve()  # the link remains a link to the new content
    part = path if is_direct else path.with_name(path.name + ".part")
    stream = _open(part, path, "a" if is_direct else "w")
    try:
        try:
            yield stream
            stream.flush()
            if not is_direct:
                os.fsync(stream.fileno())
        except BaseException:
            if not is_direct:
                _keep(part, stream)
            raise
        finally:
            with suppress(OSError):  # closing flushes again and would repeat the first error
                stream.close()
        if not is_direct:
            part.replace(path)
    except OSError as error:
        # A failed write has no file name.  Errors of other files and closed pipes pass through.
        if isinstance(error, BrokenPipeError) or error.filename not in (None, str(part)):
            raise
        raise write_error(path, error) from error


def check_writable(path: Path) -> None:
    """Raise, before long work, the OutputError that `atomic_write` would raise after it."""
    try:
        _check_target(path)
        part = _temporary(path)
        part.touch()
        part.unlink()
    except OSError as error:
        raise write_error(path, error) from error


def remove_partial_files(folder: Path) -> None:
    """Remove the temporary files that killed calls of `atomic_write` left in `folder`."""
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            part.unlink()


def is_special(path: Path) -> bool:
    """Return whether `path` is written directly: a device, a pipe, or an open file of the process.

    Behind /dev/stdout there may be a regular file, to which a shell appends (`>> all.txt`).
    """
    if _descriptor(path) is not None:
        return True
    # os.path, not Path: it returns False for a name that is too long or inaccessible.
    is_plain = os.path.isfile(path) or os.path.isdir(path)  # noqa: PTH112, PTH113
    return os.path.exists(path) and not is_plain  # noqa: PTH110


def open_input(path: Path) -> BufferedReader:
    """Open a regular file, or an open stream of this process, to read its bytes.

    Such a stream is /dev/stdin, or a file in /dev/fd, the name that a shell gives to `<(command)`.

    Raises:
        OSError: it is missing, unreadable, a folder, a device, a named pipe or a socket.
    """
    check_input(path)
    return path.open("rb")


def check_input(path: Path) -> None:
    """Raise, before long work, the OSError by which `open_input` refuses a path."""
    _reject_impossible_name(path)
    is_stream = str(path) == "/dev/stdin" or _descriptor(path) is not None
    if not is_stream and (reason := _not_regular(path.stat().st_mode)):
        raise OSError(errno.EINVAL, reason)


def read_input(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of what `open_input` opens.

    Raises:
        OSError: as `open_input`, and for more than `max_bytes`.
    """
    with open_input(path) as stream:
        return read_stream(stream, max_bytes)


def read_stream(stream: BinaryIO, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the rest of a stream, which may never end.

    Raises:
        OSError: it cannot be read, or has more than `max_bytes`.
    """
    pieces, num_bytes = [], 0
    while piece := stream.read(1 << 20):
        pieces.append(piece)
        num_bytes += len(piece)
        if num_bytes > max_bytes:
            raise OSError(errno.EFBIG, tr("it has more than {limit:,} bytes", limit=max_bytes))
    return b"".join(pieces)


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, or nested deeper than `MAX_JSON_DEPTH`.
    """
    too_deep = tr("nested deeper than {limit} levels", limit=MAX_JSON_DEPTH)
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(too_deep) from error
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            child
            for one in level
            if isinstance(one, dict | list)
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, dict | list)
        ]
        if not level:
            return value
    raise ValueError(too_deep)


def warn_of_no_checksums(path: Path) -> None:
    """Log that a file, of an older format version, cannot be verified."""
    logger.warning(
        tr(
            "{path} is of an older poetgen and has no checksums: not all damage to it can be "
            "recognized",
            path=path,
        )
    )


def file_digest(path: Path) -> str:
    """Return sixteen hex digits that identify a file's content (BLAKE2b).

    Raises:
        PoetgenError: the file cannot be read.
    """
    try:
        with open_input(path) as stream:
            return hashlib.file_digest(stream, partial(hashlib.blake2b, digest_size=8)).hexdigest()
    except OSError as error:
        raise PoetgenError(
            tr("{path} cannot be read: {reason}", path=path, reason=read_reason(error)),
            tr("Check the path and its permissions, or name another file."),
        ) from error


def read_reason(error: OSError) -> str:
    """Return why a file cannot be read, in words.

    >>> read_reason(FileNotFoundError(errno.ENOENT, "No such file or directory"))
    'there is no such file'
    """
    reasons = {
        errno.ENOENT: tr("there is no such file"),
        errno.EISDIR: tr("it is a folder"),
        errno.EACCES: tr("permission denied"),
        errno.ELOOP: tr("its links form a loop"),
        errno.ENAMETOOLONG: tr("the name is too long"),
    }
    return reasons.get(error.errno or 0) or str(error.strerror or error)


def write_error(path: Path, error: OSError) -> OutputError:
    """Return the error to raise if `path` cannot be written: its cause, and what to do about that."""
    reason, fix = _cause(path, error)
    return OutputError(tr("{path} cannot be written: {reason}", path=path, reason=reason), fix)


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


def _cause(path: Path, error: OSError) -> tuple[str, str]:
    """Return why `path` cannot be written, and what to do."""
    folder = path.parent
    free = tr("Free some space or choose another path; an existing file is unchanged.")
    denied = (
        tr("permission denied"),
        tr(
            "Choose a folder that you may write to, or change the permissions of {folder}.",
            folder=folder,
        ),
    )
    causes = {
        errno.ENOSPC: (tr("the disk is full"), free),
        errno.EDQUOT: (tr("your disk quota is used up"), free),
        errno.EACCES: denied,
        errno.EPERM: denied,
        errno.EROFS: (
            tr("the file system is read-only"),
            tr("Choose a path on a file system that can be written."),
        ),
        errno.EISDIR: (
            tr("it is a folder"),
            tr("Name a file, for example one in {path}.", path=path),
        ),
        errno.ENOENT: (
            tr("there is no folder {folder}", folder=folder),
            tr("Create the folder first, or choose another path."),
        ),
        errno.ENOTDIR: (
            tr("{folder} is not a folder", folder=folder),
            tr("Choose another path."),
        ),
        errno.ENAMETOOLONG: (tr("the name is too long"), tr("Choose a shorter name.")),
        errno.ELOOP: (tr("its links form a loop"), tr("Choose another path.")),
        errno.EINVAL: (str(error.strerror or error), tr("Choose another path.")),
    }
    number = error.errno
    if number is None and (found := re.search(r"os error (\d+)", str(error))):  # of safetensors
        number = int(found[1])
    is_known = number != errno.ENOENT or not os.path.isdir(folder)  # noqa: PTH112
    if number in causes and is_known:
        return causes[number]
    reason = str(error.strerror or error)
    return reason, tr(
        "Check the free space, or choose another path; an existing file is unchanged."
    )


def _temporary(path: Path) -> Path:
    """Return the temporary sibling to which this process writes `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _open(part: Path, path: Path, mode: str) -> IO[str]:
    """Open `part` for the content of `path`; raise OutputError if either cannot be created."""
    try:
        if (number := _descriptor(path)) is not None:
            # Opened by its name, it would be written from its beginning, over what others write.
            return os.fdopen(os.dup(number), "w", encoding="utf-8", newline="\n")
        # Surrogates represent the bytes of a file name that is not UTF-8.
        return part.open(mode, encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        raise write_error(path, error) from error


def _descriptor(path: Path) -> int | None:
    """Return the number of the open file of the process that `path` names; None: it names none.

    >>> _descriptor(Path("/dev/stdout")), _descriptor(Path("/dev/fd/3")), _descriptor(Path("a.txt"))
    (1, 3, None)
    """
    number = {"/dev/stdout": "1", "/dev/stderr": "2"}.get(str(path), path.name)
    is_open_file = number != path.name or str(path.parent) in _DESCRIPTORS
    return int(number) if is_open_file and number.isdecimal() else None


def _keep(part: Path, stream: IO[str]) -> None:
    """Log where the partial output is, or remove it if it is empty."""
    with suppress(OSError):
        stream.flush()
    if part.stat().st_size:
        logger.info(tr("partial output is kept in {path}", path=part))
    else:
        part.unlink()


def _check_target(path: Path, *, is_stream: bool = False) -> None:
    """Raise the OSError of a path that must not be replaced; `is_stream`: it may be written directly."""
    _reject_impossible_name(path)
    if _descriptor(path) is not None:
        if not is_stream:
            raise OSError(errno.EINVAL, tr("it is an open stream, not a regular file"))
        return
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise
        return  # a missing file will be created; anything else fails with its own cause
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if reason := _not_regular(mode):
        if is_stream and (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
            return
        raise OSError(errno.EINVAL, reason)


def _not_regular(mode: int) -> str:
    """Return what a file of this mode is, in words; "" for a regular file or a folder."""
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return tr("it is a device, not a regular file")
    if stat.S_ISFIFO(mode):
        return tr("it is a named pipe, not a regular file")
    if stat.S_ISSOCK(mode):
        return tr("it is a socket, not a regular file")
    return ""


def _reject_impossible_name(path: Path) -> None:
    """Raise an OSError for a name that no file can have; `open` raises a ValueError."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        raise OSError(errno.EINVAL, tr("its name cannot be encoded")) from None
    if b"\0" in name:
        raise OSError(errno.EINVAL, tr("its name contains a NUL character"))

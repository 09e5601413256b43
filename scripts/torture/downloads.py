"""Hostile servers for `poetgen corpus fetch`: what they answer must cost neither time, memory nor files.

A manifest of three small files replaces that of the package.  One file is complete before each case.

Lost: that file is missing or changed, or a file of the manifest with other content is there.  The time is
limited by what the program promises for a file, the memory by that of an honest download and 200 MB.
"""

import gzip
import hashlib
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from random import Random

from torture.cases import EXTRA_BYTES, MIB, Campaign, Case, Outcome, Verdict
from torture.commands import Command, Ended
from torture.workshop import Workshop

FILES = {
    f"poems-{number}.json": ('[{"paragraphs": ["床前明月光，疑是地上霜。"]}]' + " " * 2400).encode()
    + str(number).encode()
    for number in range(3)
}
"""The files of the manifest by name."""
HONEST = "honest"
_LIMIT_SECONDS = 420.0
"""Four rounds of a minute and more."""
_SHORT_LIMIT_SECONDS = 60.0


def small_manifest() -> None:
    """Replace the manifest of the package in this process."""
    from poetgen.data import fetch

    files = tuple(
        fetch.CorpusFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in FILES.items()
    )
    manifest = fetch.Manifest("tang", "poetgen/none", "0" * 40, "MIT", 3, files)
    vars(fetch).update(load_manifest=lambda _: manifest)


def _impatient() -> None:
    """Replace the manifest, and the times of waiting by short ones, in this process."""
    from poetgen.data import fetch

    small_manifest()
    hurried = partial(fetch.fetch, backoff_seconds=0.05)
    vars(fetch).update(TIMEOUT=(5.0, 5.0), BASE_SECONDS=1.0, fetch=hurried)


def write_source(folder: Path) -> None:
    """Write all files of the manifest to a folder."""
    for name, content in FILES.items():
        (folder / name).write_bytes(content)


def put_first_file(folder: Path) -> None:
    """Write the first file, as an earlier download left it."""
    folder.mkdir()
    name = next(iter(FILES))
    (folder / name).write_bytes(FILES[name])


def downloads(workshop: Workshop) -> Campaign:
    """Return a case per answer and, in full, one per answer with an honest mirror behind it."""
    names = list(_ANSWERS)
    if workshop.size.is_short:
        names = ["bomb", "endless", "drip", "truncated", "circle", "error", "reset", "garbage"]
    cases = [Case("hostile", name, partial(_fetch, workshop, (name,))) for name in names]
    mirrors = names[:1] if workshop.size.is_short else names
    cases += [
        Case("with a mirror", name, partial(_fetch, workshop, (name, HONEST))) for name in mirrors
    ]
    return Campaign("downloads", cases)


_BASELINES: dict[Path, int] = {}


def _fetch(workshop: Workshop, names: tuple[str, ...], _: Random) -> Outcome:
    """Fetch from servers that answer so, in turn."""
    if workshop.folder not in _BASELINES:
        _BASELINES[workshop.folder] = _run(workshop, (HONEST,))[0].peak_bytes
    ended, found = _run(workshop, names)
    first = next(iter(FILES))
    if found.get(first) != FILES[first]:
        return ended.outcome(Verdict.LOST, "the complete file is gone")
    if any(FILES.get(name) != content for name, content in found.items()):
        return ended.outcome(Verdict.LOST, "a file has another content")
    if fault := ended.fault():
        return fault
    if ended.peak_bytes > _BASELINES[workshop.folder] + EXTRA_BYTES:
        return ended.outcome(Verdict.MEMORY, f"{ended.peak_bytes / MIB:,.0f} MiB")
    if HONEST in names and found != FILES:
        return ended.outcome(Verdict.LOST, f"the mirror was not used: {ended.errors.strip()}")
    return ended.outcome(Verdict.REFUSED if ended.code else Verdict.SURVIVED)


def _run(workshop: Workshop, names: tuple[str, ...]) -> tuple[Ended, dict[str, bytes]]:
    folder = workshop.new_folder()
    put_first_file(folder / "tang")
    is_short = workshop.size.is_short
    with _server() as address:
        url = ",".join(f"http://{address}/{name}" for name in names)
        arguments = ("corpus", "fetch", "--output-dir", "tang", "--url", url)
        command = Command(arguments, folder, _impatient if is_short else small_manifest)
        ended = command.wait(_SHORT_LIMIT_SECONDS if is_short else _LIMIT_SECONDS)
    return ended, {path.name: path.read_bytes() for path in (folder / "tang").glob("*.json")}


@contextmanager
def _server() -> Iterator[str]:
    """Answer requests in another process, and yield its address."""
    _member()  # shared by all processes of the server
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        pid = os.fork()
        if not pid:
            _serve(listener)
        try:
            yield "{}:{}".format(*listener.getsockname())
        finally:
            with suppress(ProcessLookupError):  # the group exists once the server runs
                os.killpg(pid, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _serve(listener: socket.socket) -> None:
    """Answer each connection in a process of its own, for ever."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if not os.fork():
            signal.alarm(600)
            with suppress(OSError, IndexError):
                request = connection.recv(1 << 16).decode(errors="replace")
                _, behavior, *rest = request.split()[1].split("/")
                _ANSWERS.get(behavior, _honest)(connection, rest[-1] if rest else "")
                connection.close()
            os._exit(0)
        connection.close()


Answer = Callable[[socket.socket, str], object]
_OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


def _honest(connection: socket.socket, name: str) -> None:
    content = FILES.get(name, b"")
    connection.sendall(_OK + b"Content-Length: %d\r\n\r\n" % len(content) + content)


def _bomb(connection: socket.socket, _: str) -> None:
    """Send a megabyte that inflates to a gigabyte."""
    connection.sendall(_OK + b"Content-Encoding: gzip\r\n\r\n")
    for _number in range(64):
        connection.sendall(_member())


@cache
def _member() -> bytes:
    return gzip.compress(bytes(16 * MIB))


def _endless(connection: socket.socket, _: str) -> None:
    connection.sendall(_OK + b"\r\n")
    for _number in range(1024):
        connection.sendall(b" " * MIB)


def _drip(connection: socket.socket, name: str) -> None:
    """Send a byte a second."""
    connection.sendall(_OK + b"Content-Length: 2478\r\n\r\n")
    for byte in FILES.get(name, b" "):
        connection.sendall(bytes([byte]))
        time.sleep(1)


def _drip_headers(connection: socket.socket, _: str) -> None:
    """Send a header a second, and never the last."""
    connection.sendall(_OK)
    for number in range(100_000):
        connection.sendall(b"X-%d: 1\r\n" % number)
        time.sleep(1)


def _silent(_: socket.socket, _name: str) -> None:
    time.sleep(600)


def _truncated(connection: socket.socket, name: str) -> None:
    content = FILES.get(name, b"")
    connection.sendall(_OK + b"Content-Length: %d\r\n\r\n" % len(content) + content[:1000])


def _short_length(connection: socket.socket, name: str) -> None:
    connection.sendall(_OK + b"Content-Length: 7\r\n\r\n" + FILES.get(name, b""))


def _huge_length(connection: socket.socket, name: str) -> None:
    connection.sendall(_OK + b"Content-Length: 99999999999999\r\n\r\n" + FILES.get(name, b""))


def _bad_chunks(connection: socket.socket, _: str) -> None:
    connection.sendall(_OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFF\r\nabc\r\nzz\r\n")


def _bad_gzip(connection: socket.socket, _: str) -> None:
    connection.sendall(_OK + b"Content-Encoding: gzip\r\n\r\n" + b"\x1f\x8b\x08\x00 no gzip")


def _circle(connection: socket.socket, name: str) -> None:
    """Redirect to the same address."""
    connection.sendall(
        b"HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: /circle/"
        + name.encode()
        + b"\r\n\r\n"
    )


def _to_file(connection: socket.socket, _: str) -> None:
    """Redirect to a file of this machine."""
    connection.sendall(
        b"HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\n"
        b"Location: file:///etc/hosts\r\n\r\n"
    )


def _status(status: bytes, connection: socket.socket, _: str) -> None:
    page = b"<html>no poems here</html>"
    connection.sendall(
        b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n" + b"Content-Length: 26\r\n\r\n" + page
    )


def _reset(connection: socket.socket, _: str) -> None:
    connection.sendall(_OK + b"Content-Length: 2478\r\n\r\n[")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _garbage(connection: socket.socket, _: str) -> None:
    connection.sendall(bytes(range(256)) * 64)


def _huge_header(connection: socket.socket, _: str) -> None:
    connection.sendall(_OK + b"X: " + b"x" * 8 * MIB + b"\r\n\r\n")


_ANSWERS: dict[str, Answer] = {
    "bomb": _bomb,
    "endless": _endless,
    "drip": _drip,
    "drip-headers": _drip_headers,
    "silent": _silent,
    "truncated": _truncated,
    "short-length": _short_length,
    "huge-length": _huge_length,
    "bad-chunks": _bad_chunks,
    "bad-gzip": _bad_gzip,
    "circle": _circle,
    "to-file": _to_file,
    "page": partial(_status, b"200 OK"),
    "error": partial(_status, b"500 Oops"),
    "gone": partial(_status, b"404 \x1b[2J\x1b[31mNot \x9bhere"),
    "busy": partial(_status, b"503 Busy"),
    "reset": _reset,
    "garbage": _garbage,
    "huge-header": _huge_header,
}
"""The answers of a server, by the first part of the path."""

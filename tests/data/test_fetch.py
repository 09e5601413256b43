"""`poetgen.data.fetch` against a small HTTP server on the loopback interface."""

import errno
import gzip
import hashlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poetgen.data import fetch as fetch_module
from poetgen.data.fetch import (
    CorpusFile,
    FetchReport,
    Manifest,
    base_urls,
    fetch,
    load_manifest,
    missing_files,
    parse_manifest,
)
from poetgen.errors import CorpusError, OutputError, PoetgenError, UsageError
from tests import bars

VERSES = ["山色入秋窗，", "溪聲到曉床。", "一燈人未睡，", "數雁過瀟湘。"]
CONTENTS = {
    f"全唐诗/poet.tang.{i}000.json": json.dumps(
        [{"author": "無名", "title": f"夜坐{i}", "paragraphs": VERSES * (i + 1), "id": str(i)}],
        ensure_ascii=False,
    ).encode()
    for i in range(5)
}
PATHS = list(CONTENTS)
MANIFEST = Manifest(
    collection="small",
    repository="someone/verses",
    commit="0" * 40,
    licence="MIT",
    num_poems=len(CONTENTS),
    files=tuple(
        CorpusFile(path, len(content), hashlib.sha256(content).hexdigest())
        for path, content in CONTENTS.items()
    ),
)


def name(path: str) -> str:
    return path.rpartition("/")[2]


class Upstream(ThreadingHTTPServer):
    """Serves CONTENTS; `script[path]` lists steps that replace the next responses.

    A step is an HTTP status, "cut" (half of the body), "wrong" (another body), "slow", a key of HOSTILE,
    or a callable that runs before the correct response. `always[path]` is the step after the end of the
    script.
    """

    daemon_threads = False  # server_close waits for the handlers, so no socket stays open

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: dict[str, list[Any]] = {}
        self.always: dict[str, Any] = {}
        self.requested: list[str] = []
        self.num_sent = 0
        """Bytes of hostile bodies."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/pinned"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect."""


class Handler(BaseHTTPRequestHandler):
    server: Upstream

    def do_GET(self) -> None:
        path = unquote(self.path).removeprefix("/pinned/")
        self.server.requested.append(path)
        steps = self.server.script.get(path)
        step = steps.pop(0) if steps else self.server.always.get(path)
        if isinstance(step, int) or path not in CONTENTS:
            self.send_error(step or 404)
            return
        if step in HOSTILE:
            HOSTILE[step](self, CONTENTS[path])
            return
        if callable(step):
            step()
        if step == "slow":
            time.sleep(0.4)
        body = b"[]" if step == "wrong" else CONTENTS[path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if step == "cut" else body)

    def answer(self, pieces: Iterable[bytes], status: int = 200, **headers: str) -> None:
        """Send a body whose length is not announced, until the client disconnects."""
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)
            self.server.num_sent += len(piece)

    def log_message(self, *args: object) -> None:
        pass


def trickle(content: bytes) -> Iterator[bytes]:
    for i in range(len(content)):
        time.sleep(0.02)
        yield content[i : i + 1]


MEGABYTE = bytes(1_000_000)
HOSTILE: dict[str, Callable[[Handler, bytes], None]] = {
    "endless": lambda to, _: to.answer(repeat(MEGABYTE)),
    "endless redirect": lambda to, _: to.answer(repeat(MEGABYTE), 302, Location="/pinned/b"),
    "gzip bomb": lambda to, _: to.answer([gzip.compress(10 * MEGABYTE)], Content_Encoding="gzip"),
    "redirect loop": lambda to, _: to.answer([], 302, Location=to.path),
    "malformed redirect": lambda to, _: to.answer([], 302, Location="http://[::1/b"),
    "error page": lambda to, _: to.answer([b"<html>Please log in.</html>" * 100]),
    "wrong length": lambda to, content: to.answer([content], Content_Length="999999"),
    "byte by byte": lambda to, content: to.answer(
        trickle(content), Content_Length=str(len(content))
    ),
}
"""Answers of a server that is broken or hostile."""


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("POETGEN_CORPUS_URL", raising=False)
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def closed_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a base URL whose port is closed."""
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/pinned"


def get(folder: Path, base_url: str | None, **options: Any) -> FetchReport:
    return fetch(MANIFEST, folder, base_url=base_url, backoff_seconds=0.001, **options)


def assert_complete(folder: Path, paths: list[str] = PATHS) -> None:
    """Assert that the folder contains exactly these files with their correct content."""
    assert sorted(p.name for p in folder.iterdir()) == sorted(map(name, paths))
    for path in paths:
        assert (folder / name(path)).read_bytes() == CONTENTS[path]


def assert_says(error: PoetgenError, *parts: str) -> None:
    """Assert that why and fix are one line each and together contain `parts`."""
    assert "\n" not in error.why
    assert "\n" not in error.fix
    for part in parts:
        assert part in str(error)


def test_fetch_downloads_all_files(upstream: Upstream, tmp_path: Path) -> None:
    to = tmp_path / "data" / "small"
    report = get(to, upstream.url)
    assert report == FetchReport(5, 0, sum(map(len, CONTENTS.values())), to)
    assert_complete(to)
    assert sorted(upstream.requested) == sorted(PATHS)


def test_fetch_is_silent_without_terminal(
    upstream: Upstream, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    get(tmp_path, upstream.url)
    assert capfd.readouterr() == ("", "")


def test_fetch_shows_progress_on_stderr(
    upstream: Upstream,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = bars.record(monkeypatch)
    get(tmp_path, upstream.url)
    assert capfd.readouterr().out == ""
    assert [(bar.desc, bar.n) for bar in shown] == [
        ("downloading small", sum(map(len, CONTENTS.values())))
    ]


@pytest.mark.parametrize("step", ["cut", "wrong", "slow", 503, 429])
def test_fetch_retries_transient_errors(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: Any
) -> None:
    monkeypatch.setattr(fetch_module, "TIMEOUT", (5.0, 0.15))
    upstream.script[PATHS[2]] = [step, step]
    assert get(tmp_path, upstream.url).num_downloaded == 5
    assert_complete(tmp_path)
    assert upstream.requested.count(PATHS[2]) == 3


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("cut", "more expected"),
        ("wrong", "gave 2 bytes with sha256 4f53cda18c2b…, expected"),
        ("slow", "timed out"),
        (503, "answered 503 Service Unavailable"),
    ],
)
def test_fetch_fails_on_persistent_errors(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: Any, reason: str
) -> None:
    monkeypatch.setattr(fetch_module, "TIMEOUT", (5.0, 0.15))
    bad = PATHS[4]
    upstream.always[bad] = step
    with pytest.raises(CorpusError) as caught:
        get(tmp_path, upstream.url, num_workers=1, max_rounds=3)
    url = f"{upstream.url}/{quote(bad)}"
    assert_says(
        caught.value, name(bad), url, reason, "connection", "--url", "--corpus PATH", "are kept"
    )
    assert caught.value.exit_code == 1
    assert upstream.requested.count(bad) == 3
    assert_complete(tmp_path, PATHS[:4])


def test_fetch_backs_off_exponentially(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script[PATHS[0]] = [503, 503, 503]
    start = time.monotonic()
    fetch(MANIFEST, tmp_path, base_url=upstream.url, backoff_seconds=0.05)
    assert time.monotonic() - start >= 0.05 + 0.1 + 0.2


@pytest.mark.parametrize("status", [404, 403])
def test_fetch_does_not_retry_refusals(upstream: Upstream, tmp_path: Path, status: int) -> None:
    upstream.always[PATHS[0]] = status
    with pytest.raises(CorpusError) as caught:
        get(tmp_path, upstream.url, num_workers=1)
    assert_says(caught.value, name(PATHS[0]), upstream.url, f"answered {status}", "--url")
    assert upstream.requested.count(PATHS[0]) == 1


def test_fetch_without_network(closed_url: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        get(tmp_path, closed_url)
    assert_says(caught.value, closed_url, "failed: Connection refused", "Check the connection")
    assert list(tmp_path.iterdir()) == []


def test_fetch_resumes(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always.update(dict.fromkeys(PATHS[3:], 404))
    with pytest.raises(CorpusError):
        get(tmp_path, upstream.url, num_workers=1)
    assert_complete(tmp_path, PATHS[:3])
    upstream.always.clear()
    upstream.requested.clear()
    report = get(tmp_path, upstream.url)
    assert (report.num_downloaded, report.num_present) == (2, 3)
    assert report.num_bytes == sum(len(CONTENTS[path]) for path in PATHS[3:])
    assert sorted(upstream.requested) == PATHS[3:]
    assert_complete(tmp_path)


def test_fetch_of_nothing_sends_no_request(upstream: Upstream, tmp_path: Path) -> None:
    get(tmp_path, upstream.url)
    upstream.requested.clear()
    assert get(tmp_path, upstream.url) == FetchReport(0, 5, 0, tmp_path)
    assert upstream.requested == []


def damaged_longer(content: bytes) -> bytes:
    return content + b"\n"


def damaged_in_place(content: bytes) -> bytes:
    return content[:-1] + b"?"


@pytest.mark.parametrize("damage", [damaged_longer, damaged_in_place])
def test_fetch_replaces_damaged_file(
    upstream: Upstream, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    get(tmp_path, upstream.url)
    bad = tmp_path / name(PATHS[1])
    bad.write_bytes(damage(CONTENTS[PATHS[1]]))
    assert missing_files(MANIFEST, tmp_path) == [MANIFEST.files[1]]
    upstream.requested.clear()
    report = get(tmp_path, upstream.url)
    assert (report.num_downloaded, report.num_present) == (1, 4)
    assert upstream.requested == [PATHS[1]]
    assert_complete(tmp_path)


def test_fetch_keeps_damaged_file_on_failure(upstream: Upstream, tmp_path: Path) -> None:
    old = tmp_path / name(PATHS[1])
    old.write_bytes(b"an older edition")
    upstream.always[PATHS[1]] = "wrong"
    with pytest.raises(CorpusError):
        get(tmp_path, upstream.url, num_workers=1, max_rounds=2)
    assert old.read_bytes() == b"an older edition"
    assert not list(tmp_path.glob("*.part"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("endless", "gave more than the expected"),
        ("endless redirect", "answered 404"),
        ("gzip bomb", "answered with the encoding gzip"),
        ("redirect loop", "redirects more than 5 times"),
        ("malformed redirect", "failed: Invalid IPv6 URL"),
        ("error page", "gave more than the expected"),
        ("wrong length", "more expected"),
        ("byte by byte", "was too slow: "),
    ],
)
def test_fetch_refuses_hostile_answers(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, reason: str
) -> None:
    if step == "byte by byte":  # the file would take eight seconds, and arrive
        monkeypatch.setattr(fetch_module, "BASE_SECONDS", 0.5)
        monkeypatch.setattr(fetch_module, "MIN_BYTES_PER_SECOND", 1e9)
    old = tmp_path / name(PATHS[1])
    old.write_bytes(b"an older edition")
    upstream.always[PATHS[1]] = step
    with pytest.raises(CorpusError) as caught:
        get(tmp_path, upstream.url, num_workers=1, max_rounds=1)
    assert_says(caught.value, name(PATHS[1]), reason, "are kept")
    # A socket buffers some of what nobody reads.
    assert upstream.num_sent < 50_000_000
    assert sorted(p.name for p in tmp_path.iterdir()) == [name(PATHS[0]), old.name]
    assert old.read_bytes() == b"an older edition"


def test_fetch_follows_redirects(upstream: Upstream, tmp_path: Path) -> None:
    HOSTILE["redirect"] = lambda to, _: to.answer([b"moved"], 302, Location=to.path)
    upstream.script[PATHS[1]] = ["redirect", "redirect"]
    try:
        get(tmp_path, upstream.url)
    finally:
        del HOSTILE["redirect"]
    assert_complete(tmp_path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero")
def test_fetch_reads_no_device(tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / name(PATHS[0])).symlink_to("/dev/zero")
    with pytest.raises(CorpusError, match="it is a device, not a regular file"):
        get(tmp_path / "to", str(tmp_path / "stick"), num_workers=1)


@pytest.fixture
def sigint_raises() -> Iterator[None]:
    """Install the default SIGINT handler; shells start background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("sigint_raises")
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_fetch_stops_on_ctrl_c(upstream: Upstream, tmp_path: Path) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.2)

    upstream.script[PATHS[1]] = [interrupt]
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, upstream.url, num_workers=1)
    assert upstream.requested == PATHS[:2]
    assert_complete(tmp_path, PATHS[:1])


def test_fetch_tries_next_mirror(upstream: Upstream, closed_url: str, tmp_path: Path) -> None:
    get(tmp_path, f"{closed_url}, {upstream.url}/")
    assert_complete(tmp_path)
    assert sorted(upstream.requested) == sorted(PATHS)


def test_fetch_reports_all_mirrors(upstream: Upstream, closed_url: str, tmp_path: Path) -> None:
    upstream.always[PATHS[0]] = 404
    with pytest.raises(CorpusError) as caught:
        get(tmp_path, f"{upstream.url},{closed_url}", num_workers=1, max_rounds=3)
    assert_says(caught.value, upstream.url, "answered 404", closed_url, "Connection refused")
    assert upstream.requested.count(PATHS[0]) == 1


def test_fetch_hides_credentials(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always[PATHS[0]] = 403
    with pytest.raises(CorpusError) as caught:
        get(tmp_path, upstream.url.replace("//", "//me:secret@"), num_workers=1)
    assert "secret" not in str(caught.value)
    assert upstream.url in caught.value.why


def test_base_url_from_environment(
    upstream: Upstream, closed_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POETGEN_CORPUS_URL", upstream.url)
    get(tmp_path, None)
    assert_complete(tmp_path)
    monkeypatch.setenv("POETGEN_CORPUS_URL", closed_url)
    assert base_urls(MANIFEST, upstream.url) == [upstream.url]


def test_base_url_default_is_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POETGEN_CORPUS_URL", raising=False)
    host = "https://raw.githubusercontent.com"
    assert base_urls(MANIFEST) == [f"{host}/someone/verses/{'0' * 40}/"]


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("as_url", [True, False])
def test_fetch_from_local_folder(tmp_path: Path, flat: bool, as_url: bool) -> None:
    stick, to = tmp_path / "a stick", tmp_path / "to"
    for path, content in CONTENTS.items():
        target = stick / (name(path) if flat else path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    assert get(to, stick.as_uri() if as_url else str(stick)).num_downloaded == 5
    assert_complete(to)


def test_fetch_from_empty_local_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        get(tmp_path / "to", str(tmp_path / "stick"), num_workers=1)
    reason = f"{tmp_path / 'stick' / PATHS[0]} failed: there is no such file"
    assert_says(caught.value, reason, "Check the URL")


@pytest.mark.parametrize("base", ["ftp://verses.example/", "https://", " , "])
def test_fetch_rejects_invalid_base(tmp_path: Path, base: str) -> None:
    with pytest.raises(UsageError) as caught:
        get(tmp_path, base)
    assert_says(caught.value, repr(base) if base == " , " else base, "http(s)://")


def test_fetch_does_not_retry_malformed_url(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        fetch(MANIFEST, tmp_path, base_url="http://[::1/verses", backoff_seconds=60, num_workers=1)
    assert_says(caught.value, "http://[::1/verses", "Check the URL")


def test_fetch_into_uncreatable_folder(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("in the way")
    to = tmp_path / "a file" / "small"
    with pytest.raises(OutputError) as caught:
        get(to, upstream.url)
    assert_says(caught.value, str(to), "a file is not a folder", "another path")
    assert upstream.requested == []


def test_fetch_on_full_disk(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputError) as caught:
        get(tmp_path, upstream.url)
    assert_says(caught.value, str(tmp_path / "poet.tang."), "the disk is full", "Free some space")
    assert list(tmp_path.iterdir()) == []


def test_fetch_rejects_unknown_collection(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        fetch("yuan", tmp_path)
    assert_says(caught.value, "yuan", "tang, song")


@pytest.mark.parametrize(
    ("collection", "num_files", "num_bytes", "num_poems"),
    [("tang", 58, 25_585_610, 57_607), ("song", 255, 109_125_088, 254_248)],
)
def test_manifest_of_collections(
    collection: str, num_files: int, num_bytes: int, num_poems: int
) -> None:
    manifest = load_manifest(collection)
    assert manifest.num_poems == num_poems
    assert len({file.name for file in manifest.files}) == num_files
    assert sum(file.num_bytes for file in manifest.files) == num_bytes
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in manifest.files)
    assert re.fullmatch("[0-9a-f]{40}", manifest.commit)


SHA = "0" * 64


@pytest.mark.parametrize(
    "row",
    [
        ["../poems.json", 1, SHA],
        ["a/../../poems.json", 1, SHA],
        ["/etc/passwd", 1, SHA],
        ["a\\b.json", 1, SHA],
        ["a\0b.json", 1, SHA],
        ["", 1, SHA],
        ["a" * 300, 1, SHA],
        [None, 1, SHA],
        ["a.json", -1, SHA],
        ["a.json", 2**60, SHA],
        ["a.json", True, SHA],
        ["a.json", 1, "xyz"],
        ["a.json", 1],
    ],
)
def test_manifest_entry_is_checked(row: list[object]) -> None:
    with pytest.raises(CorpusError, match="the manifest of the corpus is damaged"):
        parse_manifest(manifest_text([row]), "small")


def manifest_text(rows: object) -> str:
    head = {"repository": "a/b", "commit": "0", "licence": "MIT"}
    return json.dumps({**head, "collections": {"small": {"poems": 1, "files": rows}}})


def test_manifest_of_equal_names_is_refused() -> None:
    rows = [["a/poems.json", 1, SHA], ["b/poems.json", 1, SHA]]
    with pytest.raises(CorpusError, match="two files have the same name"):
        parse_manifest(manifest_text(rows), "small")


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(SHA),
    containers,
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=30), JSON_VALUES.map(json.dumps), JSON_VALUES.map(manifest_text)))
def test_parse_manifest_returns_or_refuses(text: str) -> None:
    try:
        manifest = parse_manifest(text, "small")
    except PoetgenError:
        return
    assert all(file.name and ".." not in file.path.split("/") for file in manifest.files)

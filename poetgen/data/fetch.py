"""Download a collection of the corpus at a pinned upstream commit.

1. List the files of the packaged manifest that are missing or damaged.
2. Try each base URL in turn, in rounds with exponential backoff.
3. Write the content to a temporary file, no more than the size in the manifest and within a time limit.
4. Verify its sha256, then rename the file.

An interrupted download resumes with the next call.  Independent of the content of the files.
"""

import hashlib
import os
import re
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path, PurePosixPath
from threading import Event
from time import monotonic
from urllib.parse import quote, urljoin
from urllib.request import url2pathname

import requests
from urllib3.exceptions import HTTPError

from poetgen.errors import CorpusError, UsageError, shorten
from poetgen.files import atomic_write, open_input, parse_json, read_reason, write_error
from poetgen.language import tr
from poetgen.progress import Stage

DEFAULT_COLLECTION = "tang"
URL_VARIABLE = "POETGEN_CORPUS_URL"
UPSTREAM_URL = "https://raw.githubusercontent.com/{repository}/{commit}/"
TIMEOUT = (10.0, 20.0)  # seconds: to connect, between two chunks
BUSY_STATUSES = (408, 425, 429)  # retried, as is every 5xx
BASE_SECONDS = 60.0
"""Time limit of a file, to which its size adds."""
MIN_BYTES_PER_SECOND = 5000
MAX_REDIRECTS = 5
MAX_FILE_BYTES = 2**28
"""Limit of a size in a manifest."""
MAX_PATH_BYTES = 200
"""Limit of a path in a manifest."""
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """An upstream file: path in the repository, size in bytes, sha256 in hex.

    Raises:
        CorpusError: the path leaves its folder or names no file, or a value is out of range.
    """

    path: str
    num_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        is_path = (
            isinstance(self.path, str)
            and self.path.isprintable()
            and not {"", ".", ".."} & set(self.path.split("/"))
            and not set("\\:") & set(self.path)
            and len(self.path.encode()) <= MAX_PATH_BYTES
        )
        is_size = type(self.num_bytes) is int and 0 <= self.num_bytes <= MAX_FILE_BYTES
        is_hash = isinstance(self.sha256, str) and re.fullmatch("[0-9a-f]{64}", self.sha256)
        if not (is_path and is_size and is_hash):
            values = (self.path, self.num_bytes, self.sha256)
            raise _bad_manifest(tr("{entry} is not a file", entry=shorten(repr(values), 300)))

    @property
    def name(self) -> str:
        """Its name in the download folder."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a collection at the pinned commit."""

    collection: str
    repository: str
    commit: str
    licence: str
    num_poems: int
    files: tuple[CorpusFile, ...]


@dataclass(frozen=True, slots=True)
class FetchReport:
    """Counts of one call of `fetch`."""

    num_downloaded: int
    num_present: int
    """Files that were already complete."""
    num_bytes: int
    """Bytes downloaded."""
    folder: Path

    def to_json(self) -> dict[str, object]:
        """Return the object that `poetgen corpus fetch --json` prints."""
        return {
            "folder": str(self.folder),
            "downloaded": self.num_downloaded,
            "present": self.num_present,
            "bytes": self.num_bytes,
        }


class _SourceError(Exception):
    """A source did not provide a file; a transient error is worth a retry."""

    def __init__(self, reason: str, *, is_transient: bool) -> None:
        super().__init__(reason)
        self.is_transient = is_transient


def load_manifest(collection: str) -> Manifest:
    """Return the packaged manifest of `collection`.

    Raises:
        UsageError: there is no such collection.
    """
    resource = resources.files("poetgen") / "resources" / "corpus-manifest.json"
    return parse_manifest(resource.read_text(encoding="utf-8"), collection)


def parse_manifest(text: str, collection: str) -> Manifest:
    """Return the manifest of `collection` in a JSON text.

    Raises:
        UsageError: there is no such collection.
        CorpusError: the text is not a manifest.
    """
    try:
        content = parse_json(text)
        collections = dict(content["collections"])
        if collection not in collections:
            raise UsageError(
                tr("there is no collection {name!r}", name=shorten(collection)),
                tr("Choose one of: {names}.", names=", ".join(collections)),
            )
        entry = collections[collection]
        repository, commit, licence = (content[key] for key in ("repository", "commit", "licence"))
        num_poems, rows = entry["poems"], entry["files"]
        if type(num_poems) is not int or not isinstance(repository + commit + licence, str):
            raise TypeError("of another type")
        files = tuple(CorpusFile(*row) for row in rows)
    except (ValueError, TypeError, LookupError) as error:
        raise _bad_manifest(shorten(str(error))) from error
    if len({file.name for file in files}) < len(files):
        raise _bad_manifest(tr("two files have the same name"))
    return Manifest(collection, repository, commit, licence, num_poems, files)


def missing_files(manifest: Manifest, folder: Path) -> list[CorpusFile]:
    """Return the files that are missing from `folder` or damaged, in manifest order."""
    return [file for file in manifest.files if not _is_complete(folder / file.name, file)]


def base_urls(manifest: Manifest, base_url: str | None = None) -> list[str]:
    """Return the base URLs to try in turn: `base_url`, else $POETGEN_CORPUS_URL, else upstream.

    A base is prefixed to manifest paths: http(s)://, file:// or a local folder; several are separated
    by commas.

    Raises:
        UsageError: a base of another scheme, or none.
    """
    upstream = UPSTREAM_URL.format(repository=manifest.repository, commit=manifest.commit)
    given = base_url or os.environ.get(URL_VARIABLE) or upstream
    bases = [base.strip() for base in given.split(",") if base.strip()]
    invalid = [b for b in bases if "://" in b and not re.match("(https?|file)://.", b, re.I)]
    if invalid or not bases:
        raise UsageError(
            tr(
                "the corpus cannot be downloaded from {url}",
                url=", ".join(invalid) or repr(given),
            ),
            tr("Give http(s):// or file:// URLs or local folders, separated by commas."),
        )
    return bases


def fetch(
    collection: str | Manifest,
    folder: Path,
    *,
    base_url: str | None = None,
    num_workers: int = 8,
    max_rounds: int = 4,
    backoff_seconds: float = 0.5,
) -> FetchReport:
    """Download the files of a collection that are missing from `folder`.

    Args:
        collection: its name or its manifest.
        folder: created if missing; files fetched before an error are kept.
        base_url: see `base_urls`.
        num_workers: parallel downloads.
        max_rounds: attempts per file and base.
        backoff_seconds: delay before the second round, doubled before each further one.

    Raises:
        UsageError: unknown collection or invalid base.
        CorpusError: no base provides a file.
        OutputError: `folder` cannot be written.
    """
    manifest = load_manifest(collection) if isinstance(collection, str) else collection
    bases = base_urls(manifest, base_url)
    missing = missing_files(manifest, folder)
    num_bytes = sum(file.num_bytes for file in missing)
    report = FetchReport(len(missing), len(manifest.files) - len(missing), num_bytes, folder)
    if not missing:
        return report
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
    stop = Event()

    def download(file: CorpusFile) -> int:
        sources = [_source(base, file) for base in bases]
        _obtain(file, folder / file.name, sources, max_rounds, backoff_seconds, stop)
        return file.num_bytes

    name = tr("downloading {collection}", collection=manifest.collection)
    with Stage(name, num_bytes, is_bytes=True) as stage, ThreadPoolExecutor(num_workers) as pool:
        try:
            for done in as_completed([pool.submit(download, file) for file in missing]):
                stage.advance(done.result())
        except BaseException:  # Ctrl-C too: drop waiting downloads, abort running ones
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return report


def _obtain(
    file: CorpusFile,
    path: Path,
    sources: list[str | Path],
    max_rounds: int,
    backoff_seconds: float,
    stop: Event,
) -> None:
    """Write `file` to `path` from the first source that provides it.

    Raises:
        CorpusError: none does.
    """
    problems: dict[str, str] = {}
    for num_done in range(max_rounds):
        if num_done and stop.wait(backoff_seconds * 2 ** (num_done - 1)):
            break
        for source in list(sources):
            try:
                _receive(file, path, source, stop)
                return
            except _SourceError as problem:
                # Do not print credentials in a URL.
                problems[re.sub("//[^/]*@", "//", str(source))] = str(problem)
                if not problem.is_transient:
                    sources.remove(source)
        if not sources:
            break
    why = tr(
        "{file} was not downloaded: {problems}",
        file=file.name,
        problems="; ".join(f"{source} {reason}" for source, reason in problems.items()),
    )
    values = {"path": file.path, "variable": URL_VARIABLE}
    if sources:
        raise CorpusError(
            why,
            tr(
                "Check the connection and rerun the command (downloaded files are kept), or name a "
                "mirror that has {path} with --url URL or {variable}, or download the files yourself "
                "and use --corpus PATH.",
                **values,
            ),
        )
    raise CorpusError(
        why,
        tr(
            "Check the URL and rerun the command (downloaded files are kept), or name a mirror that "
            "has {path} with --url URL or {variable}, or download the files yourself and use "
            "--corpus PATH.",
            **values,
        ),
    )


def _source(base: str, file: CorpusFile) -> str | Path:
    """Return the URL of `file` under `base`, or its path for a local base."""
    if re.match("https?://", base, re.I):
        return f"{base.rstrip('/')}/{quote(file.path)}"
    folder = Path(url2pathname(base[7:]) if "://" in base else base).expanduser()
    # A local base is a folder filled by `fetch` or a copy of the repository.
    return flat if (flat := folder / file.name).exists() else folder / file.path


def _receive(file: CorpusFile, path: Path, source: str | Path, stop: Event) -> None:
    """Write the content of `file` to `path`; raise _SourceError, and keep `path`, if it is not that."""

    def write(part: Path) -> None:
        digest, num_bytes = hashlib.sha256(), 0
        end = monotonic() + BASE_SECONDS + file.num_bytes / MIN_BYTES_PER_SECOND
        with part.open("wb") as stream, closing(_pieces(source)) as pieces:
            for piece in pieces:
                if stop.is_set():
                    raise _SourceError("stopped", is_transient=False)
                num_bytes += len(piece)
                if num_bytes > file.num_bytes:
                    raise _SourceError(
                        tr("gave more than the expected {num} bytes", num=file.num_bytes),
                        is_transient=True,
                    )
                if monotonic() > end:
                    raise _SourceError(
                        tr(
                            "was too slow: {num} of {wanted_num} bytes",
                            num=num_bytes,
                            wanted_num=file.num_bytes,
                        ),
                        is_transient=False,
                    )
                digest.update(piece)
                stream.write(piece)
        if digest.hexdigest() != file.sha256:
            raise _SourceError(
                tr(
                    "gave {num} bytes with sha256 {found}…, expected {wanted_num} bytes with {wanted}…",
                    num=num_bytes,
                    found=digest.hexdigest()[:12],
                    wanted_num=file.num_bytes,
                    wanted=file.sha256[:12],
                ),
                is_transient=True,
            )

    atomic_write(path, write)


class _Session(requests.Session):
    """Leaves redirects to `_answer`: requests would read the body of each, which may never end."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        return None


def _answer(session: _Session, url: str) -> requests.Response:
    """Return the answer to a request for `url`, its body unread; raise _SourceError for a loop."""
    # What is not compressed cannot expand.
    headers = {"Accept-Encoding": "identity"}
    for _ in range(MAX_REDIRECTS + 1):
        answer = session.get(url, headers=headers, timeout=TIMEOUT, stream=True)
        if not answer.is_redirect:
            return answer
        url = urljoin(url, answer.headers["Location"])
        answer.close()
    why = tr("redirects more than {limit} times", limit=MAX_REDIRECTS)
    raise _SourceError(why, is_transient=False)


def _pieces(source: str | Path) -> Generator[bytes, None, None]:
    """Yield the bytes at `source` as they come; raise _SourceError if they cannot be read."""
    try:
        if isinstance(source, Path):
            with open_input(source) as stream:
                yield from iter(partial(stream.read, _PIECE_BYTES), b"")
            return
        with _Session() as session, _answer(session, source) as answer:
            answer.raise_for_status()
            encoding = answer.headers.get("Content-Encoding", "identity")
            if encoding.strip().lower() not in ("", "identity"):
                why = tr("answered with the encoding {encoding}", encoding=shorten(encoding))
                raise _SourceError(why, is_transient=False)
            # Not `iter_content`, which waits until a piece is complete.
            while piece := answer.raw.read1(_PIECE_BYTES):
                yield piece
    except requests.HTTPError as error:
        answer = error.response
        assert answer is not None
        is_transient = answer.status_code >= 500 or answer.status_code in BUSY_STATUSES
        reason = tr(
            "answered {status} {reason}",
            status=answer.status_code,
            reason=shorten(str(answer.reason)),
        )
        raise _SourceError(reason, is_transient=is_transient) from None
    except (OSError, HTTPError, ValueError) as error:
        # requests' errors are OSErrors; those of malformed URLs are ValueErrors
        raise _failure(source, error) from None


def _failure(source: str | Path, error: Exception) -> _SourceError:
    """Return the error of a source that failed, with the innermost cause as the reason."""
    if isinstance(source, Path) and isinstance(error, OSError):
        return _SourceError(tr("failed: {cause}", cause=read_reason(error)), is_transient=False)
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner  # the innermost is the most concise: "Connection refused"
    reason = shorten(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__, 200)
    is_transient = not isinstance(error, ValueError)
    return _SourceError(tr("failed: {cause}", cause=reason), is_transient=is_transient)


def _bad_manifest(reason: str) -> CorpusError:
    return CorpusError(
        tr("the manifest of the corpus is damaged: {reason}", reason=reason),
        tr("Install poetgen again."),
    )


def _is_complete(path: Path, file: CorpusFile) -> bool:
    """Return whether `path` has the content of `file`; False if it cannot be read."""
    try:
        with open_input(path) as stream:
            if os.fstat(stream.fileno()).st_size != file.num_bytes:
                return False
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError:
        return False

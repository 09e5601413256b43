"""Download a collection of the corpus at a pinned upstream commit.

1. List the files of the packaged manifest that are missing or damaged.
2. Try each base URL in turn, in rounds with exponential backoff.
3. Verify the sha256 of the content, then write it atomically.

An interrupted download resumes with the next call.  Independent of the content of the files.
"""

import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from threading import Event
from urllib.parse import quote
from urllib.request import url2pathname

import pooch
import requests

from poetgen.errors import CorpusError, UsageError
from poetgen.files import atomic_write, write_error
from poetgen.language import tr
from poetgen.progress import Stage

DEFAULT_COLLECTION = "tang"
URL_VARIABLE = "POETGEN_CORPUS_URL"
UPSTREAM_URL = "https://raw.githubusercontent.com/{repository}/{commit}/"
TIMEOUT = (10.0, 20.0)  # seconds: to connect, between two chunks
BUSY_STATUSES = (408, 425, 429)  # retried, as is every 5xx


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """An upstream file: path in the repository, size in bytes, sha256 in hex."""

    path: str
    num_bytes: int
    sha256: str

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


class _Received:
    """A buffer for one download, which aborts once `stop` is set."""

    def __init__(self, stop: Event) -> None:
        self.content = bytearray()
        self._stop = stop

    def write(self, piece: bytes) -> None:
        if self._stop.is_set():
            raise _SourceError("stopped", is_transient=False)
        self.content += piece

    def flush(self) -> None:
        """Do nothing; the downloader expects a file."""


def load_manifest(collection: str) -> Manifest:
    """Return the packaged manifest of `collection`.

    Raises:
        UsageError: there is no such collection.
    """
    resource = resources.files("poetgen") / "resources" / "corpus-manifest.json"
    content = json.loads(resource.read_text(encoding="utf-8"))
    if collection not in content["collections"]:
        known = ", ".join(content["collections"])
        raise UsageError(
            tr("there is no collection {name!r}", name=collection),
            tr("Choose one of: {names}.", names=known),
        )
    entry = content["collections"][collection]
    return Manifest(
        collection=collection,
        repository=content["repository"],
        commit=content["commit"],
        licence=content["licence"],
        num_poems=entry["poems"],
        files=tuple(CorpusFile(*row) for row in entry["files"]),
    )


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
        content = _obtain(file, sources, max_rounds, backoff_seconds, stop)
        atomic_write(folder / file.name, lambda part: part.write_bytes(content))
        return len(content)

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
    sources: list[str | Path],
    max_rounds: int,
    backoff_seconds: float,
    stop: Event,
) -> bytes:
    """Return the verified content of `file` from the first source that provides it.

    Raises:
        CorpusError: none does.
    """
    problems: dict[str, str] = {}
    for num_done in range(max_rounds):
        if num_done and stop.wait(backoff_seconds * 2 ** (num_done - 1)):
            break
        for source in list(sources):
            try:
                return _verified(_read(source, stop), file)
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


def _read(source: str | Path, stop: Event) -> bytes:
    """Return the bytes at `source`; raise _SourceError if they cannot be read."""
    try:
        if isinstance(source, Path):
            return source.read_bytes()
        received = _Received(stop)
        pooch.HTTPDownloader(chunk_size=1 << 16, timeout=TIMEOUT)(source, received, None)
        return bytes(received.content)
    except requests.HTTPError as error:
        answer = error.response
        assert answer is not None
        is_transient = answer.status_code >= 500 or answer.status_code in BUSY_STATUSES
        reason = tr("answered {status} {reason}", status=answer.status_code, reason=answer.reason)
        raise _SourceError(reason, is_transient=is_transient) from None
    except OSError as error:  # requests' errors are OSErrors; malformed URLs are ValueErrors too
        cause: BaseException = error
        while inner := cause.__cause__ or cause.__context__:
            cause = inner  # the innermost is the most concise: "Connection refused"
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        is_transient = not isinstance(source, Path) and not isinstance(error, ValueError)
        raise _SourceError(tr("failed: {cause}", cause=reason), is_transient=is_transient) from None


def _verified(content: bytes, file: CorpusFile) -> bytes:
    """Return `content` if its hash is that of `file`; else raise _SourceError."""
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise _SourceError(
            tr(
                "gave {num} bytes with sha256 {found}…, expected {wanted_num} bytes with {wanted}…",
                num=len(content),
                found=found[:12],
                wanted_num=file.num_bytes,
                wanted=file.sha256[:12],
            ),
            is_transient=True,
        )
    return content


def _is_complete(path: Path, file: CorpusFile) -> bool:
    """Return whether `path` has the content of `file`; False if it cannot be read."""
    try:
        return path.stat().st_size == file.num_bytes and pooch.file_hash(path) == file.sha256
    except OSError:
        return False

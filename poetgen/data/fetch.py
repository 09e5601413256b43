"""Downloads a collection of the corpus as it stood at one pinned upstream commit.

Every file is checked against the packaged manifest before it takes its place: what stands under
its name is whole and right, and a broken download goes on where it stopped.
Knows nothing of what is inside the files.
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
from tqdm import tqdm

from poetgen.errors import CorpusError, UsageError
from poetgen.files import unwritable, write_whole

DEFAULT_COLLECTION = "tang"
URL_VARIABLE = "POETGEN_CORPUS_URL"
UPSTREAM_URL = "https://raw.githubusercontent.com/{repository}/{commit}/"
TIMEOUT = (10.0, 20.0)  # seconds: to connect, and between two pieces of an answer
BUSY_STATUSES = (408, 425, 429)  # worth another try, as every 5xx is


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """One upstream file: path in the repository, size in bytes, sha256 in hex."""

    path: str
    num_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """The name it gets in the download folder."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a collection holds at the pinned commit."""

    collection: str
    repository: str
    commit: str
    licence: str
    num_poems: int
    files: tuple[CorpusFile, ...]


@dataclass(frozen=True, slots=True)
class FetchReport:
    """Files downloaded now, files that were there already, bytes downloaded now, and where."""

    downloaded: int
    already_there: int
    bytes: int
    folder: Path


class _SourceError(Exception):
    """One source did not give a file; `may_pass` tells whether another try could help."""

    def __init__(self, reason: str, *, may_pass: bool) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


class _Received:
    """The bytes of one download, which breaks off once `stop` is set."""

    def __init__(self, stop: Event) -> None:
        self.content = bytearray()
        self._stop = stop

    def write(self, piece: bytes) -> None:
        if self._stop.is_set():
            raise _SourceError("stopped", may_pass=False)
        self.content += piece

    def flush(self) -> None:
        """Does nothing; the downloader expects a file."""


def load_manifest(collection: str) -> Manifest:
    """The packaged manifest of `collection`; raises UsageError where there is none."""
    resource = resources.files("poetgen") / "resources" / "corpus-manifest.json"
    facts = json.loads(resource.read_text(encoding="utf-8"))
    if collection not in facts["collections"]:
        known = ", ".join(facts["collections"])
        raise UsageError(f"there is no collection {collection!r}", f"Choose one of: {known}.")
    entry = facts["collections"][collection]
    return Manifest(
        collection=collection,
        repository=facts["repository"],
        commit=facts["commit"],
        licence=facts["licence"],
        num_poems=entry["poems"],
        files=tuple(CorpusFile(*row) for row in entry["files"]),
    )


def missing_files(manifest: Manifest, folder: Path) -> list[CorpusFile]:
    """The files that `folder` lacks or holds with other content, in the manifest's order."""
    return [file for file in manifest.files if not _is_whole(folder / file.name, file)]


def base_urls(manifest: Manifest, base_url: str | None = None) -> list[str]:
    """The bases to try in turn: `base_url`, else $POETGEN_CORPUS_URL, else upstream.

    A base is what stands before a manifest path: http(s)://, file:// or a local folder;
    several are separated by commas. Raises UsageError for anything else.
    """
    upstream = UPSTREAM_URL.format(repository=manifest.repository, commit=manifest.commit)
    given = base_url or os.environ.get(URL_VARIABLE) or upstream
    bases = [base.strip() for base in given.split(",") if base.strip()]
    strange = [b for b in bases if "://" in b and not re.match("(https?|file)://.", b, re.I)]
    if strange or not bases:
        raise UsageError(
            f"the corpus cannot be downloaded from {', '.join(strange) or repr(given)}",
            "Give http(s):// or file:// URLs or local folders, separated by commas.",
        )
    return bases


def fetch(
    collection: str | Manifest,
    to: Path,
    *,
    base_url: str | None = None,
    workers: int = 8,
    tries: int = 4,
    wait: float = 0.5,
    show_progress: bool | None = None,
) -> FetchReport:
    """Download into `to` what it lacks of a collection (its name or a manifest), and report.

    base_url: where from, see `base_urls`. tries: rounds over the bases for each file.
    wait: seconds before the second round, doubled before each further one.
    show_progress: None draws the bar (on stderr) on a terminal only.
    Raises UsageError (unknown collection, strange base), CorpusError (no base gives a file) or
    OutputError (`to` cannot be written). What was fetched until then stays.
    """
    manifest = load_manifest(collection) if isinstance(collection, str) else collection
    bases = base_urls(manifest, base_url)
    missing = missing_files(manifest, to)
    num_bytes = sum(file.num_bytes for file in missing)
    report = FetchReport(len(missing), len(manifest.files) - len(missing), num_bytes, to)
    if not missing:
        return report
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(to, error) from error
    stop = Event()

    def bring(file: CorpusFile) -> int:
        content = _obtain(file, bases, tries=tries, wait=wait, stop=stop)
        write_whole(to / file.name, lambda part: part.write_bytes(content))
        return len(content)

    disable = None if show_progress is None else not show_progress
    bar = tqdm(
        desc=manifest.collection, total=num_bytes, unit="B", unit_scale=True, disable=disable
    )
    with bar, ThreadPoolExecutor(workers) as pool:
        try:
            for brought in as_completed([pool.submit(bring, file) for file in missing]):
                bar.update(brought.result())
        except BaseException:  # Ctrl-C too: what waits is dropped, what is under way breaks off
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return report


def _obtain(file: CorpusFile, bases: list[str], *, tries: int, wait: float, stop: Event) -> bytes:
    """The verified content of `file`, from the first base that gives it; raises CorpusError."""
    sources = [_source(base, file) for base in bases]
    problems: dict[str, str] = {}
    for num_done in range(tries):
        if num_done and stop.wait(wait * 2 ** (num_done - 1)):
            break
        for source in list(sources):
            try:
                return _verified(_read(source, stop), file)
            except _SourceError as problem:
                # Credentials in a URL do not belong on the screen.
                problems[re.sub("//[^/]*@", "//", str(source))] = str(problem)
                if not problem.may_pass:
                    sources.remove(source)
        if not sources:
            break
    what = "Check the connection and try again" if sources else "Look at the address"
    raise CorpusError(
        f"{file.name} was not downloaded: {'; '.join(f'{s} {r}' for s, r in problems.items())}",
        f"{what} (what was fetched is kept, the same command continues), or name a mirror that has"
        f" {file.path} by --url URL or {URL_VARIABLE}, or download by hand and give --corpus PATH.",
    )


def _source(base: str, file: CorpusFile) -> str | Path:
    """Where `base` should have `file`: a URL, or a path for a local base."""
    if re.match("https?://", base, re.I):
        return f"{base.rstrip('/')}/{quote(file.path)}"
    folder = Path(url2pathname(base[7:]) if "://" in base else base).expanduser()
    # A folder that an earlier fetch filled serves as well as a copy of the repository.
    return flat if (flat := folder / file.name).exists() else folder / file.path


def _read(source: str | Path, stop: Event) -> bytes:
    """The bytes at `source`; raises _SourceError."""
    try:
        if isinstance(source, Path):
            return source.read_bytes()
        received = _Received(stop)
        pooch.HTTPDownloader(chunk_size=1 << 16, timeout=TIMEOUT)(source, received, None)
        return bytes(received.content)
    except requests.HTTPError as error:
        answer = error.response
        assert answer is not None
        may_pass = answer.status_code >= 500 or answer.status_code in BUSY_STATUSES
        reason = f"answered {answer.status_code} {answer.reason}"
        raise _SourceError(reason, may_pass=may_pass) from None
    except OSError as error:  # requests' errors are OSErrors; malformed URLs are ValueErrors too
        cause: BaseException = error
        while inner := cause.__cause__ or cause.__context__:
            cause = inner  # the innermost says it shortest: "Connection refused"
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        may_pass = not isinstance(source, Path) and not isinstance(error, ValueError)
        raise _SourceError(f"failed: {reason}", may_pass=may_pass) from None


def _verified(content: bytes, file: CorpusFile) -> bytes:
    """`content`, if it is that of `file`; raises _SourceError."""
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise _SourceError(
            f"gave {len(content)} bytes with sha256 {found[:12]}…,"
            f" expected {file.num_bytes} bytes with {file.sha256[:12]}…",
            may_pass=True,
        )
    return content


def _is_whole(path: Path, file: CorpusFile) -> bool:
    """Whether `path` holds the content of `file`; what cannot be read does not."""
    try:
        return path.stat().st_size == file.num_bytes and pooch.file_hash(path) == file.sha256
    except OSError:
        return False

"""Full disks: every kind of output with a limit of the file size (RLIMIT_FSIZE), and on a small tmpfs.

Each command first writes its output undisturbed, which gives the size at which a smaller limit must fail.
Then it runs with room for a part of that over an older file, and again with enough room.

Lost: the older file is neither what it was nor the complete new one; or the second run fails, or comes to
another result than the undisturbed one (poems, models and trainings are compared).
"""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random

from torture.cases import Campaign, Case, Outcome, Verdict
from torture.commands import Command, Ended
from torture.downloads import FILES, put_first_file, small_manifest, write_source
from torture.kills import finish_job, finish_training
from torture.workshop import RUN, Reference, Workshop, differences, file_content

_OLD = b"an older file\n"
_PAGE = 4096


@dataclass(frozen=True)
class Output:
    """A command and the file that it writes over an older one."""

    subject: str
    arguments: Sequence[str]
    name: str
    is_reproducible: bool = False
    """Whether the file is the same whenever it is written."""


def disks(workshop: Workshop) -> Campaign:
    """Return every output with each limit, by file size and by the size of the disk."""
    shares = (0.0, 0.1, 0.5, 0.9, 0.999) if not workshop.size.is_short else (0.5,)
    limits: list[tuple[str, Limited]] = [("limit", _with_limit)]
    skipped = []
    reason = _why_no_tmpfs(workshop.new_folder())
    if reason:
        skipped.append(("tmpfs", reason))
    else:
        limits.append(("tmpfs", _on_tmpfs))
    attempts: list[tuple[str, Callable[..., Outcome]]] = [
        ("run folder", _train),
        ("job", _job),
        ("fetch", _fetch),
    ]
    attempts += [(one.subject, partial(_write, one)) for one in _outputs(workshop)]
    if find_spec("resvg_py") is None:
        skipped.append(("png", "resvg-py is not installed"))
    cases = [
        Case(subject, f"{name} of {share:.1%}", partial(attempt, workshop, share, limit))
        for index, (subject, attempt) in enumerate(attempts)
        # In short, each output has one of the limits.
        for name, limit in (
            limits if not workshop.size.is_short else limits[index % len(limits) :][:1]
        )
        for share in shares
    ]
    if Path("/dev/full").exists():
        cases.append(Case("standard output", "/dev/full", partial(_print, workshop)))
    return Campaign("disks", cases, skipped)


def _outputs(workshop: Workshop) -> Iterator[Output]:
    model, num = str(workshop.model), ("--num", "8", "--overwrite", "--output")
    text = "白日依山尽，黄河入海流。"
    inspect = ("inspect", text, "--model", model, "--output")
    plot = ("plot", str(workshop.training.folder / "checkpoints" / RUN), "--output")
    export = ("export", model, "--overwrite", "--output", "copy.safetensors")
    yield Output("export", export, "copy.safetensors")
    yield Output("export", (*export, "--int8"), "copy.safetensors")
    for suffix in ("txt", "jsonl"):
        name = f"poems.{suffix}"
        yield Output(f"sample {suffix}", workshop.sample(*num, name), name, is_reproducible=True)
    for suffix in ("html", "svg", *(["png"] if find_spec("resvg_py") else [])):
        if suffix != "png":  # a drawing of Chinese text needs a font
            yield Output("inspect", (*inspect, f"page.{suffix}"), f"page.{suffix}")
        yield Output("plot", (*plot, f"curves.{suffix}"), f"curves.{suffix}")
    evaluate = ("eval", model, "--corpus", "starter", "--samples-per-form", "0", "--html")
    yield Output("eval", (*evaluate, "report.html"), "report.html")


Limited = Callable[[Workshop, Sequence[str], Path, int, Callable[[], object] | None], Ended]
"""Runs a command in a folder with room for some bytes per file, or for some bytes in all."""


def _with_limit(
    workshop: Workshop,
    arguments: Sequence[str],
    folder: Path,
    num_bytes: int,
    prepare: Callable[[], object] | None = None,
) -> Ended:
    def limit() -> None:
        if prepare is not None:
            prepare()
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))

    return Command(arguments, folder, limit).wait(workshop.training.limit_seconds)


def _on_tmpfs(
    workshop: Workshop,
    arguments: Sequence[str],
    folder: Path,
    num_bytes: int,
    prepare: Callable[[], object] | None = None,
) -> Ended:
    """Run the command on a tmpfs with the files of `folder`, and bring them back after it."""
    present = [path for path in folder.rglob("*") if path.is_file()]
    room = sum(-(-path.stat().st_size // _PAGE) * _PAGE for path in present) + num_bytes
    disk = workshop.new_folder()
    with _mounted(disk, room):
        _copy(folder, disk)
        ended = Command(arguments, disk, prepare).wait(workshop.training.limit_seconds)
        _copy(disk, folder)
    return ended


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)


@contextmanager
def _mounted(folder: Path, num_bytes: int) -> Iterator[None]:
    size = max(_PAGE, num_bytes // _PAGE * _PAGE)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "torture", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _why_no_tmpfs(folder: Path) -> str:
    """Return why no tmpfs can be mounted; "": one can."""
    try:
        with _mounted(folder, _PAGE):
            return ""
    except (OSError, subprocess.CalledProcessError):
        return "this user cannot mount a tmpfs"


def _write(
    output: Output, workshop: Workshop, share: float, limited: Limited, _: Random
) -> Outcome:
    """Write a file that is larger than its limit over an older one, then again without a limit."""
    reference = _reference(output, workshop)
    size = (reference.folder / output.name).stat().st_size
    folder = workshop.new_folder()
    path = folder / output.name
    path.write_bytes(_OLD)
    ended = limited(workshop, output.arguments, folder, int(share * size), None)
    if fault := ended.fault():
        return fault
    if ended.code and path.read_bytes() != _OLD:
        return ended.outcome(Verdict.LOST, f"the older {output.name} is damaged")
    if not ended.code and path.stat().st_size < size * 0.9:
        return ended.outcome(Verdict.LOST, f"{output.name} is incomplete without an error")
    again = Command(output.arguments, folder).wait(reference.limit_seconds)
    if again.code or path.read_bytes() == _OLD:
        return again.outcome(Verdict.LOST, f"no second run: {again.errors.strip()}")
    if output.is_reproducible and differences(file_content(path), reference.content):
        return again.outcome(Verdict.LOST, f"{output.name} differs after the second run")
    return ended.outcome(Verdict.REFUSED if ended.code else Verdict.SURVIVED)


_REFERENCES: dict[tuple[str, ...], Reference] = {}


def _reference(output: Output, workshop: Workshop) -> Reference:
    key = tuple(output.arguments)
    if key not in _REFERENCES:
        _REFERENCES[key] = workshop.reference(
            output.arguments, lambda folder: file_content(folder / output.name)
        )
    return _REFERENCES[key]


def _train(workshop: Workshop, share: float, limited: Limited, _: Random) -> Outcome:
    """Train with room for a part of the largest file, then resume with enough room."""
    run = workshop.training.folder / "checkpoints" / RUN
    size = max(path.stat().st_size for path in run.iterdir())
    folder = workshop.new_folder()
    ended = limited(workshop, workshop.train, folder, int(share * size), None)
    return _finished(ended, finish_training(workshop, folder))


def _job(workshop: Workshop, share: float, limited: Limited, _: Random) -> Outcome:
    """Run a job with room for a part of its output, then again with enough room."""
    size = (workshop.poems.folder / "poems.jsonl").stat().st_size
    folder = workshop.new_folder()
    ended = limited(workshop, workshop.job(), folder, int(share * size), None)
    return _finished(ended, finish_job(workshop, folder))


def _finished(ended: Ended, finish: Outcome) -> Outcome:
    """Return the fault of either run, or whether the first was refused."""
    fault = ended.fault() or (finish if finish.verdict.is_fault else None)
    return fault or ended.outcome(Verdict.REFUSED if ended.code else Verdict.SURVIVED)


def _fetch(workshop: Workshop, share: float, limited: Limited, _: Random) -> Outcome:
    """Fetch files from a folder with room for a part of one; what was there must stay."""
    source, folder = workshop.new_folder(), workshop.new_folder()
    write_source(source)
    put_first_file(folder / "tang")
    arguments = ("corpus", "fetch", "--output-dir", "tang", "--url", str(source))
    num_bytes = int(share * min(map(len, FILES.values())))
    ended = limited(workshop, arguments, folder, num_bytes, small_manifest)
    if fault := ended.fault():
        return fault
    again = Command(arguments, folder, small_manifest).wait(workshop.training.limit_seconds)
    found = {path.name: path.read_bytes() for path in (folder / "tang").glob("*.json")}
    if again.code or found != FILES:
        return again.outcome(Verdict.LOST, f"not fetched again: {again.errors.strip()}")
    return ended.outcome(Verdict.REFUSED if ended.code else Verdict.SURVIVED)


def _print(workshop: Workshop, _: Random) -> Outcome:
    """Print poems to a full device."""

    def redirect() -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)

    arguments = workshop.sample("--num", "3")
    ended = Command(arguments, workshop.new_folder(), redirect).wait(workshop.poems.limit_seconds)
    if fault := ended.fault():
        return fault
    verdict = Verdict.REFUSED if ended.code else Verdict.LOST
    return ended.outcome(verdict, "poems were lost without an error")

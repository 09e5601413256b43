"""Two commands at once on the same run, job or download; and readers of a run in training.

Lost: the end differs from that of one undisturbed command, or neither of the two gets there.  One of them
may be refused.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

from torture.cases import Campaign, Case, Outcome, Verdict
from torture.commands import Command, Ended
from torture.downloads import FILES, small_manifest, write_source
from torture.kills import finish_job, finish_training
from torture.workshop import RUN, Workshop

_SECONDS = 0.3
"""The second command begins at most this much later."""


def rivals(workshop: Workshop) -> Campaign:
    """Return the pairs of commands."""
    num = workshop.size.num(10, 1)
    attempts: list[tuple[str, Callable[..., Outcome]]] = [
        ("run", partial(_two_trainings, ())),
        ("run", partial(_two_trainings, ("--overwrite",))),
        ("resumed run", _two_resumes),
        ("run and its readers", _readers),
        ("job", _two_jobs),
        ("fetch", _two_fetches),
    ]
    cases = [
        Case(subject, "two at once", partial(attempt, workshop))
        for subject, attempt in attempts
        for _ in range(num)
    ]
    return Campaign("rivals", cases)


def _both(
    workshop: Workshop,
    arguments: Sequence[str],
    folder: Path,
    random: Random,
    prepare: Callable[[], object] | None = None,
) -> list[Ended]:
    """Run the same command twice at once."""
    limit = workshop.training.limit_seconds
    first = Command(arguments, folder, prepare)
    first.runs(random.uniform(0, _SECONDS))
    second = Command(arguments, folder, prepare)
    return [command.wait(2 * limit) for command in (first, second)]


def _judge(both: Sequence[Ended], finish: Callable[[], Outcome]) -> Outcome:
    """Return the fault of either command or of a rerun, or whether one was refused."""
    for ended in both:
        if fault := ended.fault():
            return fault
    if all(ended.code for ended in both):
        return both[0].outcome(Verdict.LOST, f"both were refused: {both[0].errors.strip()}")
    outcome = finish()
    if outcome.verdict.is_fault:
        return outcome
    num_refused = sum(ended.code != 0 for ended in both)
    peak = max(ended.peak_bytes for ended in both)
    return Outcome(
        Verdict.REFUSED if num_refused else Verdict.SURVIVED,
        peak_bytes=peak,
        note="one refused" if num_refused else "both done",
    )


def _two_trainings(options: tuple[str, ...], workshop: Workshop, random: Random) -> Outcome:
    folder = workshop.new_folder()
    both = _both(workshop, [*workshop.train, *options], folder, random)
    return _judge(both, partial(finish_training, workshop, folder))


def _two_resumes(workshop: Workshop, random: Random) -> Outcome:
    folder = workshop.new_folder()
    command = Command(workshop.train, folder)
    seconds = workshop.training.ended.seconds
    while command.runs(seconds / 50):
        if (folder / "checkpoints" / RUN / "last.pt").is_file():
            command.send(9)
    command.wait(seconds)
    both = _both(workshop, workshop.resume, folder, random)
    return _judge(both, partial(finish_training, workshop, folder))


def _readers(workshop: Workshop, _: Random) -> Outcome:
    """Sample from a run while it is trained; no reader may meet half a model."""
    folder = workshop.new_folder()
    training = Command(workshop.train, folder)
    readings = []
    while training.runs(0.01):
        arguments = ("sample", "--model", RUN, "--form", "五绝", "--seed", "1")
        readings.append(Command(arguments, folder).wait(workshop.training.limit_seconds))
    ended = training.wait(1)
    for one in (ended, *readings):
        if fault := one.fault():
            return fault
        if one.code and "damaged" in one.errors:
            return one.outcome(Verdict.LOST, one.errors.strip())
    return _judge([ended], partial(finish_training, workshop, folder))


def _two_jobs(workshop: Workshop, random: Random) -> Outcome:
    folder = workshop.new_folder()
    both = _both(workshop, workshop.job(), folder, random)
    return _judge(both, partial(finish_job, workshop, folder))


def _two_fetches(workshop: Workshop, random: Random) -> Outcome:
    folder, source = workshop.new_folder(), workshop.new_folder()
    write_source(source)
    arguments = ("corpus", "fetch", "--output-dir", "tang", "--url", str(source))
    both = _both(workshop, arguments, folder, random, small_manifest)

    def finish() -> Outcome:
        found = {path.name: path.read_bytes() for path in (folder / "tang").iterdir()}
        verdict = Verdict.SURVIVED if found == FILES else Verdict.LOST
        return Outcome(verdict, f"the folder has {', '.join(sorted(found))}")

    return _judge(both, finish)

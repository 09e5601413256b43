"""Signals in pairs, and within saves; then a rerun to the end.

The first signal arrives at a random time after the command has printed its first line (before that, Python
itself is starting), or at a moment of a save; the second arrives up to 50 ms later.

Lost: as in the kills, or an exit code that is neither that of a signal nor that of success.
"""

import os
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from signal import SIGHUP, SIGINT, SIGTERM, Signals

from torture.cases import Campaign, Case, Outcome, Verdict
from torture.commands import Command, Ended, is_plain
from torture.kills import finish_job, finish_training
from torture.moments import Moments
from torture.workshop import Reference, Workshop

_PAIRS: tuple[tuple[Signals, ...], ...] = (
    (SIGINT, SIGTERM),
    (SIGTERM, SIGTERM),
    (SIGTERM, SIGINT),
    (SIGINT, SIGINT),
    (SIGHUP,),
)
_GAP_SECONDS = 0.05


def signals(workshop: Workshop) -> Campaign:
    """Return the pairs, and single signals within saves, for a training and for a job."""
    num = workshop.size.num(10, 1)
    pairs = _PAIRS[: workshop.size.num(len(_PAIRS), 2)]
    cases = []
    for subject in ("training", "job"):
        for pair in pairs:
            names = " + ".join(one.name for one in pair)
            cases += [Case(subject, names, partial(_send, workshop, subject, pair))] * num
        for number in (SIGINT, SIGTERM)[: workshop.size.num(2, 1)]:
            what = f"{number.name} at a moment of a save"
            cases += [Case(subject, what, partial(_send_in_save, workshop, subject, number))] * num
    return Campaign("signals", cases)


def _subject(workshop: Workshop, subject: str) -> tuple[Reference, Sequence[str]]:
    if subject == "training":
        return workshop.training, workshop.train
    return workshop.poems, workshop.job()


def _send(workshop: Workshop, subject: str, pair: Sequence[Signals], random: Random) -> Outcome:
    reference, arguments = _subject(workshop, subject)
    folder = workshop.new_folder()
    command = Command(arguments, folder)
    command.runs_until("\n", reference.limit_seconds)
    command.runs(random.uniform(0, reference.ended.seconds * 0.8))
    for number in pair:
        command.send(number)
        command.runs(random.uniform(0, _GAP_SECONDS))
    return _finish(workshop, subject, folder, command.wait(reference.limit_seconds))


def _send_in_save(workshop: Workshop, subject: str, number: Signals, random: Random) -> Outcome:
    reference, arguments = _subject(workshop, subject)
    folder, moments = workshop.new_folder(), Moments()
    send = partial(_send_to_self, number)
    moment = random.randint(1, reference.num_moments)
    command = Command(arguments, folder, partial(moments.watch, moment, send))
    return _finish(workshop, subject, folder, command.wait(reference.limit_seconds))


def _send_to_self(number: Signals) -> None:
    os.kill(os.getpid(), number)


def _finish(workshop: Workshop, subject: str, folder: Path, ended: Ended) -> Outcome:
    """Judge the end of the command, then run it again to its end."""
    if ended.is_hang or "Traceback" in ended.errors or not is_plain(ended.errors):
        fault = ended.fault()
        assert fault is not None
        return fault
    if ended.code not in (0, 130, 143, -signal.SIGHUP, -signal.SIGTERM, -signal.SIGINT):
        return ended.outcome(Verdict.LOST, f"exit code {ended.code}: {ended.errors.strip()}")
    finish = finish_training if subject == "training" else finish_job
    note = "ended before" if not ended.code else "stopped"
    return finish(workshop, folder, note)

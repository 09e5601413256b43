"""SIGKILL of a training and of a job, at random moments and within saves; then a rerun to the end.

Half of the kills are at a moment within a save that the process itself reaches (see `torture.moments`); in
a job, the log also loses a random part of what is not on the disk yet.  The other half arrive from outside
after a random time, and often hit a save too: those that leave a temporary file are counted as such.

Lost: the finished training differs from an undisturbed one in a bit of its weights, of its training state
or in its log; the output of the finished job differs in a byte; or a rerun does not get there.
"""

import signal
from functools import partial
from pathlib import Path
from random import Random

from torture.cases import Campaign, Case, Outcome, Verdict
from torture.commands import Command, Ended
from torture.moments import Moments, kill
from torture.workshop import RUN, Workshop, differences, file_content, run_content

IN_SAVE = "in a save"


def kills(workshop: Workshop) -> Campaign:
    """Return the kills: half of each subject within a save, half at a random time."""
    num = workshop.size.num(50, 2)
    cases = []
    for subject, run in (("training", kill_training), ("job", kill_job)):
        for is_in_save in (True, False):
            what = "at a moment of a save" if is_in_save else "at a random time"
            case = Case(subject, what, partial(run, workshop, is_in_save))
            cases += [case] * num
    return Campaign("kills", cases)


def kill_training(workshop: Workshop, is_in_save: bool, random: Random) -> Outcome:
    """Kill a training, resume it or start it again, and compare its end."""
    reference, folder = workshop.training, workshop.new_folder()
    num, seconds = reference.num_moments, reference.ended.seconds
    moments, command = _start(workshop.train, folder, random.randint(1, num) if is_in_save else 0)
    killed = _end(command, is_in_save, random.uniform(0, seconds), reference.limit_seconds)
    checkpoints = folder / "checkpoints"
    was_in_save = moments.acted or any(checkpoints.rglob("*.part"))
    if fault := _fault(killed):
        return fault
    return finish_training(workshop, folder, _note(killed, was_in_save))


def finish_training(workshop: Workshop, folder: Path, note: str = "") -> Outcome:
    """Resume a training that ended early, and compare its end with that of an undisturbed one."""
    reference = workshop.training
    has_state = (folder / "checkpoints" / RUN / "last.pt").is_file()
    arguments = workshop.resume if has_state else [*workshop.train, "--overwrite"]
    ended = Command(arguments, folder).wait(reference.limit_seconds)
    if fault := ended.fault():
        return fault
    if ended.code:
        return ended.outcome(Verdict.LOST, f"not resumed: {ended.errors.strip()}", note)
    if names := differences(run_content(folder), reference.content):
        return ended.outcome(Verdict.LOST, f"the resumed run differs in {names}", note)
    return ended.outcome(Verdict.SURVIVED, note=note)


def kill_job(workshop: Workshop, is_in_save: bool, random: Random) -> Outcome:
    """Kill a job, run it again, and compare its output."""
    reference, folder = workshop.poems, workshop.new_folder()
    num, seconds = reference.num_moments, reference.ended.seconds
    number = random.randint(1, num) if is_in_save else 0
    moments, command = _start(workshop.job(), folder, number, random.choice((0, 1, 40, 4000)))
    killed = _end(command, is_in_save, random.uniform(0, seconds), reference.limit_seconds)
    was_in_save = moments.acted or any(folder.glob("*.part")) or any(folder.glob(".*.part"))
    if fault := _fault(killed):
        return fault
    return finish_job(workshop, folder, _note(killed, was_in_save))


def finish_job(workshop: Workshop, folder: Path, note: str = "") -> Outcome:
    """Run a job again that ended early, and compare its output with that of an undisturbed one."""
    reference, output = workshop.poems, folder / "poems.jsonl"
    is_done = output.is_file() and not (folder / "poems.jsonl.job").exists()
    ended = Command(workshop.job(), folder).wait(reference.limit_seconds)
    if fault := ended.fault():
        return fault
    if ended.code and not is_done:
        return ended.outcome(Verdict.LOST, f"not resumed: {ended.errors.strip()}", note)
    if differences(file_content(output), reference.content):
        return ended.outcome(Verdict.LOST, "poems.jsonl differs", note)
    return ended.outcome(Verdict.SURVIVED, note=note)


def _start(
    arguments: list[str], folder: Path, number: int, num_torn_bytes: int = 0
) -> tuple[Moments, Command]:
    moments = Moments(num_torn_bytes)
    return moments, Command(arguments, folder, partial(moments.watch, number, kill))


def _end(command: Command, is_in_save: bool, seconds: float, limit_seconds: float) -> Ended:
    """Kill the command after some seconds, unless it kills itself."""
    if not is_in_save and command.runs(seconds):
        command.send(signal.SIGKILL)
    return command.wait(limit_seconds)


def _fault(killed: Ended) -> Outcome | None:
    """Return the fault of a command that did not die of the kill."""
    return None if killed.code == -signal.SIGKILL and not killed.is_hang else killed.fault()


def _note(killed: Ended, was_in_save: bool) -> str:
    if killed.code != -signal.SIGKILL:
        return "ended before"
    return IN_SAVE if was_in_save else "between saves"

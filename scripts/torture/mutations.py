"""Damaged files: models, training states, logs of jobs, corpora, prompts and configurations.

Lost: a command accepts a damaged model, state or log and comes to another result than with the intact file;
or it accepts a damaged text, which can be a valid other text, and prints something that is no result.
The memory bound is that of the intact file, twice the size of the file, and 200 MB.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import yaml

from torture.cases import EXTRA_BYTES, MIB, Campaign, Case, Outcome, Verdict
from torture.commands import Command, Ended
from torture.moments import Moments
from torture.mutate import mutate
from torture.workshop import (
    RUN,
    Content,
    Workshop,
    digest,
    file_content,
    run_content,
)

_RECORDS = [
    {"title": "静夜思", "author": "李白", "paragraphs": ["床前明月光，疑是地上霜。"]},
    {"title": "登鹳雀楼", "author": "王之涣", "paragraphs": ["白日依山尽，黄河入海流。"]},
]


@dataclass(frozen=True)
class Victim:
    """A type of file, and the command that reads it."""

    subject: str
    content: bytes
    """The intact file."""
    path: str
    """Where the file is, in the folder of the command."""
    arguments: tuple[str, ...]
    prepare: Callable[[Path], object]
    """Fills the folder with what the command needs besides the file."""
    result: Callable[[Ended, Path], Content]
    """Returns the result of the command; raises ValueError if it printed none."""
    is_text: bool = False
    """Whether a damaged file can be a valid other one."""


def mutations(workshop: Workshop) -> Campaign:
    """Return the mutations of all types of files, in equal numbers."""
    victims = (
        _model, _state, _log, _corpus, _plain_corpus, _prompts, _prompt_options, _configuration
    )  # fmt: skip
    num = workshop.size.num(250, 4)
    cases = []
    for make in victims:
        shared = _Shared(workshop, make)
        subject = make.__name__.strip("_").replace("_", " ")
        cases += [Case(subject, "a random mutation", partial(_attack, shared))] * num
    return Campaign("mutations", cases)


class _Shared:
    """A victim with the result of its intact file, made when first needed."""

    def __init__(self, workshop: Workshop, make: Callable[[Workshop], Victim]) -> None:
        self.workshop = workshop
        self._make = make
        self._reference: tuple[Victim, Ended, Content] | None = None

    def reference(self) -> tuple[Victim, Ended, Content]:
        if self._reference is None:
            victim = self._make(self.workshop)
            ended, folder = _run(self.workshop, victim, victim.content, 600)
            if ended.code:
                raise RuntimeError(f"{victim.subject}: {ended.errors}")
            self._reference = victim, ended, victim.result(ended, folder)
        return self._reference


def _run(
    workshop: Workshop, victim: Victim, content: bytes, limit_seconds: float
) -> tuple[Ended, Path]:
    folder = workshop.new_folder()
    victim.prepare(folder)
    (folder / victim.path).write_bytes(content)
    return Command(victim.arguments, folder).wait(limit_seconds), folder


def _attack(shared: _Shared, random: Random) -> Outcome:
    """Run the command on a damaged file."""
    victim, intact, expected = shared.reference()
    content, how = mutate(victim.content, random)
    ended, folder = _run(shared.workshop, victim, content, 20 + 20 * intact.seconds)
    outcome = _judge(victim, ended, folder, expected, how)
    bound = intact.peak_bytes + 2 * len(content) + EXTRA_BYTES
    if not outcome.verdict.is_fault and ended.peak_bytes > bound:
        outcome = ended.outcome(Verdict.MEMORY, f"{how}: {ended.peak_bytes / MIB:,.0f} MiB")
    shutil.rmtree(folder)
    return outcome


def _judge(victim: Victim, ended: Ended, folder: Path, expected: Content, how: str) -> Outcome:
    if fault := ended.fault():
        return ended.outcome(fault.verdict, f"{how}: {fault.detail}")
    if ended.code:
        return ended.outcome(Verdict.REFUSED)
    try:
        found = victim.result(ended, folder)
    except (ValueError, OSError) as error:
        return ended.outcome(Verdict.LOST, f"{how}: no result: {error}")
    if found == expected or victim.is_text:
        return ended.outcome(Verdict.SURVIVED)
    return ended.outcome(Verdict.LOST, f"{how}: another result without an error")


def _nothing(_: Path) -> None:
    pass


def _output(ended: Ended, _: Path) -> Content:
    return {"output": digest(ended.output)}


def _model(workshop: Workshop) -> Victim:
    arguments = ("sample", "--model", "m.safetensors", "--num", "2", "--seed", "7")
    form = ("--form", "五绝")
    content = workshop.model.read_bytes()
    return Victim("model", content, "m.safetensors", (*arguments, *form), _nothing, _output)


def _state(workshop: Workshop) -> Victim:
    """Return the state after the first of two epochs, which is resumed."""
    folder = workshop.new_folder()
    one_epoch = [*workshop.train, "--set", "train.epochs=1"]
    ended = Command(one_epoch, folder).wait(600)
    if ended.code:
        raise RuntimeError(ended.errors)
    run = folder / "checkpoints" / RUN
    content = (run / "last.pt").read_bytes()

    def prepare(target: Path) -> None:
        shutil.copytree(folder / "checkpoints", target / "checkpoints")

    path = f"checkpoints/{RUN}/last.pt"
    arguments = (*workshop.resume, "--set", "train.epochs=2")
    return Victim("state", content, path, arguments, prepare, lambda _, to: run_content(to))


def _log(workshop: Workshop) -> Victim:
    """Return the log of a job that was killed near its end, which is run again."""
    folder, moments = workshop.new_folder(), Moments()
    number = workshop.poems.num_moments - 9
    Command(workshop.job(), folder, partial(moments.watch, number)).wait(600)
    content = (folder / "poems.jsonl.job").read_bytes()
    arguments = tuple(workshop.job())

    def result(_: Ended, target: Path) -> Content:
        return file_content(target / "poems.jsonl")

    return Victim("log", content, "poems.jsonl.job", arguments, _nothing, result)


def _corpus(_: Workshop) -> Victim:
    content = json.dumps(_RECORDS * 20, ensure_ascii=False).encode()
    return _of_corpus("corpus", content, "corpus.json")


def _plain_corpus(_: Workshop) -> Victim:
    texts = ["".join(record["paragraphs"]) for record in _RECORDS * 20]
    return _of_corpus("plain corpus", "\n".join(texts).encode(), "corpus.txt")


def _of_corpus(subject: str, content: bytes, name: str) -> Victim:
    arguments = ("corpus", "report", "--corpus", name, "--json")
    return Victim(subject, content, name, arguments, _nothing, _json_lines, is_text=True)


def _json_lines(ended: Ended, _: Path) -> Content:
    """Return what was printed, which must be JSON."""
    json.loads(ended.output)
    return {"output": digest(ended.output)}


def _prompts(workshop: Workshop) -> Victim:
    return _of_prompts("prompts", workshop, "春风\n明月照\n江水\n".encode())


def _prompt_options(workshop: Workshop) -> Victim:
    lines = [
        {"prompt": "春", "temperature": 0.7, "top_k": 40},
        {"prompt": "山", "form": "五绝", "seed": 12, "rhyme": True},
        {"acrostic": "春夏秋冬", "best_of": 2},
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return _of_prompts("prompt options", workshop, text.encode())


def _of_prompts(subject: str, workshop: Workshop, content: bytes) -> Victim:
    arguments = workshop.sample("--prompts", "prompts.txt")

    def result(ended: Ended, _: Path) -> Content:
        for line in ended.output.splitlines():
            json.loads(line)
        return {"output": digest(ended.output)}

    return Victim(subject, content, "prompts.txt", tuple(arguments), _nothing, result, is_text=True)


def _configuration(workshop: Workshop) -> Victim:
    content = workshop.configuration.read_bytes()

    def result(ended: Ended, _: Path) -> Content:
        values = yaml.safe_load(ended.output)
        if not isinstance(values, dict):
            raise ValueError("not a configuration")
        return {"output": digest(ended.output)}

    arguments = ("config", "small.yaml")
    return Victim("configuration", content, "small.yaml", arguments, _nothing, result, is_text=True)

"""Many prompts: the memory of a job must not grow with the number of its lines.

Lost: a prompt without a poem, or a poem out of order.  The memory bound is that of a job of few prompts
(a hundredth in full) and 32 MiB, of which the index of the log takes 24 bytes per poem.
"""

import json
from functools import partial
from random import Random

from torture.cases import MIB, Campaign, Case, Outcome, Verdict
from torture.commands import Command, Ended
from torture.workshop import Workshop

_GROWTH_BYTES = 32 * MIB
_CHARACTERS = "春江花月夜山水云风雪"


def prompts(workshop: Workshop) -> Campaign:
    """Return one large job, to a file and to standard output."""
    num = workshop.size.num(100_000, 2_000)
    cases = [Case(f"{num:,} prompts", "to a file", partial(_compare, workshop, num))]
    return Campaign("prompts", cases)


def _compare(workshop: Workshop, num: int, random: Random) -> Outcome:
    num_few = max(500, num // 100)  # more than a batch
    small, _ = _run(workshop, num_few, random)
    large, detail = _run(workshop, num, random)
    if fault := small.fault() or large.fault():
        return fault
    if large.code or detail:
        return large.outcome(Verdict.LOST, detail or large.errors.strip())
    growth = large.peak_bytes - small.peak_bytes
    if growth > _GROWTH_BYTES:
        return large.outcome(Verdict.MEMORY, f"{growth / MIB:,.0f} MiB more than with {num_few:,}")
    note = f"MiB more than with {num_few:,}"
    return large.outcome(Verdict.SURVIVED, note=f"job with {growth / MIB:.0f} {note}")


def _run(workshop: Workshop, num: int, random: Random) -> tuple[Ended, str]:
    """Run a job; return it, and what is wrong with its poems."""
    folder = workshop.new_folder()
    starts = ["".join(random.choices(_CHARACTERS, k=2)) for _ in range(num)]
    (folder / "prompts.txt").write_text("\n".join(starts), encoding="utf-8")
    arguments = workshop.sample("--prompts", "prompts.txt", "--output", "poems.jsonl")
    arguments += ["--batch-size", "256"]  # the last one counts
    ended = Command(arguments, folder).wait(60 + num * 0.2)
    if ended.code:
        return ended, ""
    with (folder / "poems.jsonl").open(encoding="utf-8") as poems:
        num_poems = 0
        for start, line in zip(starts, poems, strict=False):
            num_poems += 1
            if not json.loads(line)["poem"].startswith(start):
                return ended, f"poem {num_poems} does not begin with {start}"
    return ended, "" if num_poems == num else f"{num_poems} poems"

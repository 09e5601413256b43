"""What is asked for: a prompt, settings, and the random stream.  Does not import torch."""

import random
from dataclasses import dataclass
from typing import Literal

from poetgen.data.conditions import NO_CONDITIONS, Conditions
from poetgen.errors import UsageError
from poetgen.sampling.prompt import NO_PROMPT, Prompt

MOST = 1000
"""Of particles, and of poems to choose from: each costs memory and time as a poem does."""


@dataclass(frozen=True)
class Settings:
    """How to choose.  The defaults leave the model's distribution as it is but for the temperature."""

    temperature: float = 0.8
    """Divides the logits; 0 always takes the likeliest."""
    top_k: int = 0
    """Choose among the k likeliest; 0: no limit."""
    top_p: float = 1.0
    """Choose among the fewest that together have this probability; 1: no limit."""
    min_p: float = 0.0
    """Choose among those at least this share as likely as the likeliest; 0: no limit."""
    particles: int = 1
    """Continuations of a poem written side by side under constraints, of which one is drawn."""
    best_of: int = 1
    """Poems written for one kept: the likeliest per token."""
    allow_copies: bool = False
    """Whether a line may stand word for word in the training text."""


@dataclass(frozen=True)
class Constraints:
    """What must stand where, whatever the model would rather; nothing by default."""

    form: str = ""
    """五绝, 七绝, 五律 or 七律: exact lines and marks, and the end where the form ends."""
    rhyme: bool = False
    """Even lines end in one rhyme group, no character twice; level in the four forms."""
    rhyme_group: str = ""
    """That group, such as 东; implies `rhyme`.  Empty: the model's own first rhyme chooses."""
    tones: bool = False
    """Lines keep the tone templates of the form, with 对 and 粘, without 孤平 and 三平尾."""
    acrostic: str = ""
    """Characters that the lines begin (or end) with, in order."""
    acrostic_at: Literal["start", "end"] = "start"

    def __bool__(self) -> bool:
        return bool(self.form or self.rhyme or self.rhyme_group or self.tones or self.acrostic)


NO_CONSTRAINTS = Constraints()


@dataclass(frozen=True)
class Request:
    """A poem to be written."""

    seed: int
    index: int = 0
    prompt: Prompt = NO_PROMPT
    conditions: Conditions = NO_CONDITIONS
    settings: Settings = Settings()
    constraints: Constraints = NO_CONSTRAINTS
    take: int = 0
    """Which of the `best_of` poems that are written for one."""
    remarks: tuple[str, ...] = ()
    """What the user should know of the rest, such as conditions that the model cannot take in."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know before a character is written."""
        return self.prompt.warnings + self.remarks

    def stream(self) -> random.Random:
        """The poem's own random stream, from its beginning."""
        take = f":{self.take}" if self.take else ""
        return random.Random(f"{self.seed}:{self.index}{take}")


def new_seed() -> int:
    """A seed by chance, short enough to type again."""
    return random.SystemRandom().randrange(1_000_000)


def check_settings(settings: Settings) -> Settings:
    """`settings`, if all are in range.

    Raises:
        UsageError: naming the one that is not.
    """
    for name, value, fits, expected in (
        ("temperature", settings.temperature, 0 <= settings.temperature <= 100, "from 0 to 100"),
        ("top-k", settings.top_k, settings.top_k >= 0, "0 (no limit) or more"),
        ("top-p", settings.top_p, 0 < settings.top_p <= 1, "more than 0, at most 1 (no limit)"),
        ("min-p", settings.min_p, 0 <= settings.min_p <= 1, "from 0 (no limit) to 1"),
        ("particles", settings.particles, 1 <= settings.particles <= MOST, f"from 1 to {MOST}"),
        ("best-of", settings.best_of, 1 <= settings.best_of <= MOST, f"from 1 to {MOST}"),
    ):
        if not fits:  # nan fits nothing
            raise UsageError(f"{name} is {value}", f"Expected a number {expected}.")
    return settings

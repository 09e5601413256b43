"""What is asked for: a prompt, settings, and the random stream.  Does not import torch."""

import random
from dataclasses import dataclass

from poetgen.errors import UsageError
from poetgen.sampling.prompt import NO_PROMPT, Prompt


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


@dataclass(frozen=True)
class Request:
    """A poem to be written."""

    seed: int
    index: int = 0
    prompt: Prompt = NO_PROMPT
    settings: Settings = Settings()


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
    ):
        if not fits:  # nan fits nothing
            raise UsageError(f"{name} is {value}", f"Expected a number {expected}.")
    return settings

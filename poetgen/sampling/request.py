"""One poem that is asked for: options, prompt and random stream.  Does not import torch."""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from poetgen.data.conditions import NO_CONDITIONS, restrict_to, unsupported
from poetgen.data.vocab import Vocabulary
from poetgen.language import tr
from poetgen.sampling.options import Options
from poetgen.sampling.prompt import NO_PROMPT, Prompt, prepare_prompt, warn_of_unknown

if TYPE_CHECKING:
    from poetgen.sampling.philox import RandomStream


@dataclass(frozen=True)
class Request:
    """One poem to be generated."""

    options: Options
    seed: int
    index: int = 0
    """Number of the poem in its call; with the seed it determines the random stream."""
    prompt: Prompt = NO_PROMPT
    warnings: tuple[str, ...] = ()
    """Remarks for the user before anything is generated."""
    candidate: int = 0
    """Which of the `best_of` candidates this is."""
    attempt: int = 0
    """How many poems were rejected as duplicates before this one; see `UniquePoems`."""

    def random_stream(self) -> "RandomStream":
        """Return the poem's own random stream, from its beginning."""
        from poetgen.sampling.philox import RandomStream  # imports numpy: too slow for --help

        return RandomStream(self.seed, self.index, self.candidate + (self.attempt << 16))


def make_request(options: Options, vocab: Vocabulary, *, seed: int, index: int = 0) -> Request:
    """Return the request to a model with this vocabulary; `seed` is used where the options have none.

    Raises:
        UsageError: the vocabulary has no character of the prompt.
    """
    prompt = NO_PROMPT if options.prompt is None else prepare_prompt(options.prompt, vocab)
    warnings = prompt.warnings
    if options.acrostic:
        required = "".join(c for c in options.acrostic if c not in prompt.text)
        warnings += warn_of_unknown(required, vocab)
    if options.conditions != NO_CONDITIONS:
        # That the model was not trained with forms matters only where the form is not enforced either.
        used = ("author", "title") if options.imposed_form else ("form", "author", "title")
        warnings += tuple(unsupported(restrict_to(options.conditions, used), vocab))
    if options.temperature == 0 and options.num > 1:
        warnings += (tr("at temperature 0 all poems of a prompt are the same"),)
    return Request(
        options=options,
        seed=seed if options.seed is None else options.seed,
        index=index,
        prompt=prompt,
        warnings=warnings,
    )


def new_seed() -> int:
    """Return a random seed, short enough to type."""
    return random.SystemRandom().randrange(1_000_000)

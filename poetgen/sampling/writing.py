"""A poem being written: its particles, its random stream, its constraints, and what it has read.

Knows nothing of logits: the loop in `decode` asks what may come next and tells what was chosen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from poetgen.data.conditions import encode_conditions
from poetgen.data.lines import LineSet
from poetgen.data.poem import MARKS
from poetgen.data.vocab import BOS, EOS, PAD, UNK, Vocabulary
from poetgen.errors import ConstraintError
from poetgen.sampling.constraints import Masks, begin
from poetgen.sampling.draft import Draft
from poetgen.sampling.particles import effective_size, pick, resample
from poetgen.sampling.request import NO_CONSTRAINTS, Request
from poetgen.sampling.rules import Rules

MAX_TRIES = 8
"""How often a poem is begun, each time further along its random stream, before it is given up."""


@dataclass(frozen=True)
class Choice:
    """One step of one poem: the id that was chosen, or taken from the prompt."""

    row: int
    """Place of the poem's request in the call."""
    token: int
    nats: float
    """−ln of the model's own probability: temperature 1, no filter, no constraint."""
    in_prompt: bool
    text: str
    """What stands in the poem: the character itself where it was read as unknown; "" for the end."""


@dataclass(frozen=True)
class Setback:
    """A poem met a dead end: what was told of it no longer holds."""

    row: int
    """Place of the poem's request in the call."""
    error: ConstraintError
    is_final: bool
    """Whether the poem is given up; else it is begun anew."""


@dataclass
class Particle:
    """One continuation of a poem."""

    token: int
    """What is read next."""
    draft: Draft | None
    """None: there are no constraints."""
    line: str | None
    """The line as far as it is written; None: it began in the prompt."""
    log_weight: float = 0.0
    has_ended: bool = False
    trail: tuple[Choice, ...] = ()
    """Its choices, while another particle may still take the poem's place."""

    @property
    def is_dead(self) -> bool:
        return self.log_weight == -math.inf

    @property
    def goes_on(self) -> bool:
        return not self.has_ended and self.log_weight > -math.inf


_NO_RULES: tuple[Rules, Draft | None] = (Rules(NO_CONSTRAINTS, Vocabulary(())), None)
"""Of a poem without constraints: rules that nobody asks."""


class Writing:
    """A poem and where it is.

    Raises:
        ConstraintError: the prompt breaks a constraint, or one cannot be met.
    """

    def __init__(
        self,
        row: int,
        request: Request,
        vocab: Vocabulary,
        masks: Masks,
        *,
        max_tokens: int,
        lines: Sequence[LineSet],
    ) -> None:
        self.row = row
        self.settings = request.settings
        self.stream = request.stream()
        self.tries = 0
        conditions = encode_conditions(request.conditions, vocab)
        self._start = len(conditions)
        self._given = [*conditions, BOS, *vocab.encode(request.prompt.text)]
        self._prompt = request.prompt.text
        self._num_particles = num_particles(request)
        self._symbols = vocab.symbols
        self._masks = masks
        self._rules, self._draft = _NO_RULES
        if request.constraints:
            self._rules, self._draft = begin(request, vocab)
        self._last_place = math.inf if self._rules.is_bounded else len(self._given) - 1 + max_tokens
        self._lines = () if request.settings.allow_copies else lines
        self.begin()

    def begin(self) -> None:
        """Put it to its beginning; its random stream goes on."""
        self.tries += 1
        self.place = 0
        line = "" if not self._prompt or self._prompt[-1] in MARKS else None
        self.particles = [
            Particle(self._given[0], self._draft, line) for _ in range(self._num_particles)
        ]

    @property
    def is_at_start(self) -> bool:
        """Whether what comes next is the poem's first character."""
        return self.place == self._start

    @property
    def is_dead(self) -> bool:
        return all(particle.is_dead for particle in self.particles)

    @property
    def is_finished(self) -> bool:
        return not any(particle.goes_on for particle in self.particles)

    @property
    def may_try_again(self) -> bool:
        # The greedy choice is the same each time.
        return self.tries < MAX_TRIES and self.settings.temperature > 0

    def given_to(self, particle: Particle) -> int | None:
        """The id that comes next without the model's choosing; None: the model is to choose.

        It stands in the conditions or the prompt, or stands for a character of the acrostic that the
        model does not know; a particle that goes no further reads padding.
        """
        if self.place + 1 < len(self._given):
            return self._given[self.place + 1]
        if not particle.goes_on:
            return PAD
        return UNK if self._forced(particle) else None

    def mask(self, particle: Particle) -> Tensor | None:
        """What the model may choose, bool (V,); None: anything, or there is no choice."""
        if particle.draft is None or self.given_to(particle) is not None:
            return None
        following = self._rules.next(particle.draft)
        return self._masks.mask(following, level_rhyme=self._rules.level_rhyme)

    def completes_copy(self, particle: Particle, token: int) -> bool:
        """Whether `token` would make a line of the training text of a line that is the model's own.

        Where no constraint says how long the line is to be, it may always end here.
        """
        if not self._lines or particle.line is None:
            return False
        line = particle.line + self._symbols[token]
        if token == EOS or line[-1] in MARKS:
            return False
        if particle.draft is not None:
            length = self._rules.line_length(particle.draft)
            if length is not None and len(line) < length:
                return False
        return any(line in known for known in self._lines)

    def resample(self) -> list[int] | None:
        """Let the particles go on from those that count, where too few do.

        For each the place that it comes from; None: all stay.
        """
        log_weights = [particle.log_weight for particle in self.particles]
        if (
            len(log_weights) == 1
            or self.is_dead
            or effective_size(log_weights) >= len(log_weights) / 2
        ):
            return None
        sources = resample(log_weights, self.stream.random())
        self.particles = [replace(self.particles[i], log_weight=0.0) for i in sources]
        return sources

    def write(self, tokens: Sequence[int], nats: Sequence[float]) -> list[Choice]:
        """Put an id to each particle; the choices that are certain to be the poem's."""
        certain = []
        place = self.place - self._start  # in prompt and poem; below 0 it reads its conditions
        for particle, token, own_nats in zip(self.particles, tokens, nats, strict=True):
            was_going_on, particle.token = particle.goes_on, token
            if place < 0 or not was_going_on:
                continue
            is_given = place < len(self._prompt)
            text = self._prompt[place] if is_given else self._text(particle, token)
            if not is_given:
                self._put(particle, text)
            particle.has_ended = token == EOS or self.place + 1 >= self._last_place
            choice = Choice(self.row, token, own_nats, is_given, text)
            if len(self.particles) == 1:
                certain.append(choice)
            else:
                particle.trail += (choice,)
        self.place += 1
        return certain

    def _put(self, particle: Particle, text: str) -> None:
        if not text:
            return
        if particle.draft is not None:
            particle.draft = self._rules.write(particle.draft, text)
        if text in MARKS:
            particle.line = ""
        elif particle.line is not None:
            particle.line += text

    def _text(self, particle: Particle, token: int) -> str:
        """What `token` is in the poem: nobody chooses UNK, so it stands for what was forced."""
        if token == EOS:
            return ""
        return (self._forced(particle) or "") if token == UNK else self._symbols[token]

    def _forced(self, particle: Particle) -> str | None:
        return None if particle.draft is None else self._rules.forced(particle.draft)

    def outcome(self) -> tuple[Choice, ...]:
        """What was not certain before: the choices of one particle, drawn by weight."""
        if self._num_particles == 1:
            return ()
        weights = [particle.log_weight for particle in self.particles]
        return self.particles[pick(weights, self.stream.random())].trail

    def setback(self) -> Setback:
        """The dead end that it has met."""
        error = ConstraintError(
            f"{self.tries} tries to keep the constraints met dead ends"
            if self.tries > 1
            else "the likeliest characters lead to a dead end under the constraints",
            "Ask for less, change the prompt, or take another seed.",
        )
        return Setback(self.row, error, is_final=not self.may_try_again)


def num_particles(request: Request) -> int:
    """How many particles a poem is written with: one where nothing would tell them apart."""
    is_plain = not request.constraints or request.settings.temperature == 0
    return 1 if is_plain else request.settings.particles

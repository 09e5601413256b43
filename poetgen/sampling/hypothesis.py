"""A partial poem: what it has read, what may come next, and what was sampled.

A `PoemTask` is what all hypotheses of one poem share, a `Hypothesis` is one partial poem and occupies
one row of the batch.  Works without logits: the loop in `decode` asks what may come next and appends what
was sampled.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from poetgen.data.bloom import LineBloomFilter, is_known
from poetgen.data.conditions import NO_CONDITIONS, encode_conditions
from poetgen.data.vocab import BOS, EOS, PAD, UNK, Vocabulary
from poetgen.errors import ConstraintError
from poetgen.language import tr
from poetgen.prosody.grammar import ConstraintViolation, Grammar, GrammarState
from poetgen.prosody.marks import MARKS
from poetgen.sampling.filters import Filter
from poetgen.sampling.masks import Mask, VocabularyMasks
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request


@dataclass(frozen=True)
class SampledToken:
    """One step of one poem: a token that was sampled, or read from the prompt."""

    row: int
    """Number of the poem's request."""
    token: int
    nats: float
    """−ln of the model's own probability: temperature 1, no filter, no constraint."""
    in_prompt: bool
    text: str
    """The character; "" for the end."""


@dataclass(frozen=True)
class Restart:
    """A poem met a dead end and starts again: its tokens so far are void."""

    row: int


@dataclass(frozen=True)
class GivenUp:
    """A poem met too many dead ends, or could not be started: its tokens so far are void."""

    row: int
    error: ConstraintError


@dataclass(frozen=True)
class Finished:
    """A poem is complete: no further event is about it."""

    row: int


Event = SampledToken | Restart | GivenUp


@dataclass(frozen=True)
class Context:
    """The things that all poems of a generator share."""

    vocab: Vocabulary
    max_tokens: int
    """Tokens after the prompt at which a poem without a fixed end is cut off."""
    training_lines: Sequence[LineBloomFilter] = ()
    """Lines that are not to be copied."""

    @cached_property
    def masks(self) -> VocabularyMasks:
        return VocabularyMasks(self.vocab)


class PoemTask:
    """One request: its tokens read in advance, its grammar, its random stream.

    Raises:
        ConstraintError: the prompt breaks a constraint, or one cannot be met.
    """

    def __init__(self, row: int, request: Request, context: Context) -> None:
        options = request.options
        self.row = row
        self.options = options
        self.context = context
        self.filter = Filter.of(options)
        self.prompt = request.prompt.text
        self.random = request.random_stream()
        self.num_attempts = 0
        self.training_lines = () if options.allow_copies else context.training_lines
        conditions = []
        if options.conditions != NO_CONDITIONS:
            conditions = encode_conditions(options.conditions, context.vocab)
        self.given = [*conditions, BOS, *context.vocab.encode(self.prompt)]
        """Tokens that are read, not sampled."""
        self.num_conditions = len(conditions)
        self.grammar: Grammar | None = None
        state: GrammarState | None = None
        self.max_position: float = len(self.given) - 1 + context.max_tokens
        if options.is_constrained:
            self.grammar, state = parse_prompt(request, context)
            if self.grammar.num_lines is not None:
                self.max_position = math.inf
        is_line_start = not self.prompt or self.prompt[-1] in MARKS
        line = "" if is_line_start else None
        self.beginning = Hypothesis(self, self.given[0], state, line)
        """The hypothesis that has read nothing; the poem's hypotheses start as copies of it."""


@dataclass
class Hypothesis:
    """One partial poem."""

    task: PoemTask
    token: int
    """The token to read next."""
    grammar_state: GrammarState | None
    """None: there are no constraints."""
    line: str | None
    """The characters of the current line; None: the line began in the prompt."""
    position: int = 0
    """Tokens read so far."""
    weight: float | None = None
    """Its importance weight; None: it has none, for it is the only one of its poem."""
    is_active: bool = True
    """Whether it continues; otherwise it has ended or is dead."""
    is_dead: bool = False
    """Whether nothing may follow although the poem has not ended."""

    @property
    def is_in_prompt(self) -> bool:
        """Whether the next token is read, not sampled: a condition, or a character of the prompt."""
        return self.position + 1 < len(self.task.given)

    def forced_token(self) -> int:
        """Return the token that comes next where `allowed` is None.

        It is part of the conditions or the prompt, or `UNK` for a required character that has no id;
        an inactive hypothesis reads padding.
        """
        if self.is_in_prompt:
            return self.task.given[self.position + 1]
        return UNK if self.is_active else PAD

    def open(self, *, with_unknown: bool = False) -> Mask:
        """Return the text and the end, bool (V,); without the end before the first character."""
        masks = self.task.context.masks
        open_V = masks.first if self.position == self.task.num_conditions else masks.text
        return open_V | masks.unknown if with_unknown else open_V

    def allowed(self) -> Mask | None:
        """Return what may be sampled, bool (V,); None: nothing is sampled, see `forced_token`."""
        task, state = self.task, self.grammar_state
        if self.is_in_prompt or not self.is_active:
            return None
        if task.grammar is None or state is None:
            return self.open()
        allowed = task.grammar.allowed(state)
        if allowed.required and allowed.required not in task.context.vocab.ids:
            return None
        return task.context.masks.mask(allowed)

    def multiply_weight(self, share: float) -> None:
        """Multiply the weight by the probability that the constraints left at a step."""
        assert self.weight is not None
        self.weight *= share

    def kill(self) -> None:
        """Mark as dead: nothing may follow."""
        self.is_active, self.is_dead = False, True

    def is_verbatim_copy(self, token: int) -> bool:
        """Return whether `token` completes a line of the training text, none of it from the prompt.

        Where no constraint fixes the length of the line, it may end at any character.
        """
        task = self.task
        if not task.training_lines or self.line is None:
            return False
        line = self.line + task.context.vocab.symbols[token]
        if token == EOS or line[-1] in MARKS:
            return False
        if task.grammar is not None and self.grammar_state is not None:
            length = task.grammar.line_length(self.grammar_state)
            if length is not None and len(line) < length:
                return False
        return is_known(line, task.training_lines)

    def append(self, token: int, nats: float) -> SampledToken | None:
        """Read `token`; return it as a step of the poem, None for a condition or padding."""
        task, was_active, self.token = self.task, self.is_active, token
        # In prompt and poem; negative in the conditions.
        index = self.position - task.num_conditions
        self.position += 1
        if index < 0 or not was_active:
            return None
        in_prompt = index < len(task.prompt)
        if in_prompt:
            text = task.prompt[index]
        elif token == EOS:
            text = ""
        else:
            # UNK is never sampled, so it is the required character.
            symbols = task.context.vocab.symbols
            text = self._required_unknown() if token == UNK else symbols[token]
            if task.grammar is not None and self.grammar_state is not None:
                self.grammar_state = task.grammar.advance(self.grammar_state, text)
            if text in MARKS:
                self.line = ""
            elif self.line is not None:
                self.line += text
        self.is_active = token != EOS and self.position < task.max_position
        return SampledToken(task.row, token, nats, in_prompt, text)

    def _required_unknown(self) -> str:
        """Return the character that must come next although it has no id, or ""."""
        task = self.task
        if task.grammar is None or self.grammar_state is None or not task.options.acrostic:
            return ""
        required = task.grammar.allowed(self.grammar_state).required
        return "" if required in task.context.vocab.ids else required


@lru_cache(maxsize=256)
def _grammar_for(options: Options, vocab: Vocabulary) -> Grammar:
    return options.grammar(vocab.characters)


def parse_prompt(request: Request, context: Context) -> tuple[Grammar, GrammarState]:
    """Return the grammar of a request and its state after the prompt.

    Raises:
        ConstraintError: the prompt breaks a constraint, with the position named; or none can be met.
    """
    vocab = context.vocab
    grammar = _grammar_for(request.options, vocab)
    state, number, where = grammar.start, 0, tr("the beginning")
    for character in request.prompt.text:
        is_mark = character in MARKS
        if not is_mark:
            number += 1
            where = tr("character {number} ({character})", number=number, character=character)
        try:
            state = grammar.advance(state, character)
        except ConstraintViolation as violation:
            raise _misfit(
                tr(
                    "{mark} after {where} {violation}",
                    mark=character,
                    where=where,
                    violation=violation,
                )
                if is_mark
                else tr("{where} {violation}", where=where, violation=violation)
            ) from violation
    allowed = grammar.allowed(state)
    has_choice = context.masks.mask(allowed).any()
    if not has_choice and (not allowed.required or allowed.required in vocab.ids):
        raise _misfit(tr("no character of the model's vocabulary can follow {where}", where=where))
    return grammar, state


def _misfit(why: str) -> ConstraintError:
    return ConstraintError(why, tr("Change the prompt there, or drop a constraint."))

"""The characters that may come next in a verse: form, rhyme, tones and required characters.

A grammar reads a partial poem character by character into a `GrammarState` (`advance`) and says what
may follow (`allowed`).  It looks ahead so that dead ends are rare: no rhyme group is opened that has
too few characters, and no line is begun that only a character of several tones could complete.  There
are two: `FormGrammar` for the four regulated forms, `FreeGrammar` for verse without a form.

Works on characters.  Independent of models and vocabularies: it is given the alphabet of characters
that can be chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import product
from typing import NamedTuple, Protocol

from poetgen.errors import ConstraintError
from poetgen.language import tr, tr_plural
from poetgen.prosody.forms import LEVEL, Form
from poetgen.prosody.marks import MARKS, STOPS
from poetgen.prosody.phonology import readings, tones
from poetgen.prosody.scan import line_fits

OBLIQUE = "仄"
"""The tones 上, 去 and 入."""

EITHER = "中"
"""A character with level and oblique readings, or with unknown ones: it may serve as both."""

ANY_TONE = LEVEL + OBLIQUE + EITHER

PAUSES = "，？！"
"""The marks that may follow the first line of a couplet; the second line takes one of `STOPS`."""

SHORTEST_LINE, LONGEST_LINE = 3, 16
"""Characters per line without a form."""

DEFAULT_LINE = 7
"""Characters of a first line whose end is constrained, so that its length must be fixed in advance."""

_UNBOUNDED_RHYMES = 4
"""Characters that a rhyme group needs to be opened when the number of lines is unknown."""

_LAST = -1

Required = Mapping[tuple[int, int], str]
"""Characters fixed in advance, by (line, position) from 0; position −1 is the end of the line."""


def acrostic(characters: str, *, at_end: bool = False) -> Required:
    """Return the required characters of lines that begin, or end, with `characters` in order.

    >>> acrostic("春秋")
    {(0, 0): '春', (1, 0): '秋'}
    """
    return {(line, _LAST if at_end else 0): c for line, c in enumerate(characters)}


class ConstraintViolation(Exception):
    """A character does not fit; the message completes a sentence that begins with the character."""


class Interpretation(NamedTuple):
    """A tone pattern and the rhyme groups that are still possible for the partial poem."""

    order: str
    """A line type per line, as in `Form.orders`; empty where tones are unconstrained."""
    groups: frozenset[str]
    """Rhyme groups still open; empty where rhyme is unconstrained."""


class GrammarState(NamedTuple):
    """A partial poem as its grammar sees it."""

    interpretations: tuple[Interpretation, ...]
    line: int = 0
    """Number of complete lines."""
    text: str = ""
    """Characters of the current line."""
    tones: str = ""
    """Tones of `text`, a letter of 平仄中 each; empty where tones are unconstrained."""
    rhymed: frozenset[str] = frozenset()
    """Characters that have rhymed, and the last one of line 1."""
    previous_length: int = 0
    """Characters in the line before."""


class CharacterClass(NamedTuple):
    """Characters of certain tones and rhyme groups."""

    tones: str
    """Letters of 平仄中; all three mean any tone, even an unknown one."""
    groups: frozenset[str] | None = None
    """Rhyme groups of which the character needs one; None: any."""
    level_only: bool = False
    """Whether only level readings count for `groups`."""
    any_reading: bool = False
    """Whether readings that poets hardly used count too, for `tones` and `groups`."""


class Allowed(NamedTuple):
    """The possible continuations: a character of one of the classes, a mark, or the end of the poem."""

    classes: tuple[CharacterClass, ...] = ()
    required: str = ""
    """The only character that fits; empty: not limited to one."""
    excluded: frozenset[str] = frozenset()
    """Characters that do not fit."""
    marks: str = ""
    end: bool = False


ANY_CHARACTER = (CharacterClass(ANY_TONE),)


class Grammar(Protocol):
    """The rules for one poem.

    >>> grammar = make_grammar(required=acrostic("山水"), alphabet=tuple("山水风光"))
    >>> grammar.allowed(grammar.start).required
    '山'
    >>> grammar.allowed(grammar.advance(grammar.start, "山")).marks
    ''
    """

    start: GrammarState
    """The state of an empty poem."""
    num_lines: int | None
    """Number of lines of the poem; None: not fixed."""

    def advance(self, state: GrammarState, character: str) -> GrammarState:
        """Return the state after one more character or mark; raise ConstraintViolation if none fits."""

    def allowed(self, state: GrammarState) -> Allowed:
        """Return what may come next."""

    def line_length(self, state: GrammarState) -> int | None:
        """Return the length of the current line in characters; None: not fixed."""


def make_grammar(
    form: Form | None = None,
    *,
    rhyme: bool = False,
    rhyme_group: str = "",
    tones: bool = False,
    required: Required | None = None,
    alphabet: tuple[str, ...],
    any_reading: bool = False,
) -> Grammar:
    """Return the grammar for a combination of constraints.

    `alphabet` holds the characters that can be chosen.  `tones` has no effect without a form.  With
    `any_reading`, readings that poets hardly used count too.

    Raises:
        ConstraintError: required characters that cannot be met, a rhyme group with too few characters.
    """
    required = _resolved(required or {}, form)
    num_lines = form.num_lines if form else 1 + max((line for line, _ in required), default=-1)
    scheme = None
    if rhyme or rhyme_group:
        ends = _ends(required, form)
        scheme = RhymeScheme(
            alphabet,
            num_lines or None,
            level_only=form is not None,
            any_reading=any_reading,
            ends=ends,
        )
        scheme.open_groups(rhyme_group)
    if form:
        return FormGrammar(form, scheme, tones=tones, any_reading=any_reading, required=required)
    return FreeGrammar(num_lines or None, scheme, required)


class RhymeScheme:
    """Rhyme of the even lines and the last: one 平水 group, no character twice.

    Line 1 rhymes too if it ends level.
    """

    def __init__(
        self,
        alphabet: tuple[str, ...],
        num_lines: int | None,
        *,
        level_only: bool,
        any_reading: bool,
        ends: Mapping[int, str],
    ) -> None:
        """`num_lines` is None where it is not fixed; `ends` holds the required last characters by line."""
        self.level_only = level_only
        self.any_reading = any_reading
        self._num_lines = num_lines
        self._ends = ends
        self.groups: frozenset[str] = frozenset()
        """The groups with enough characters for a whole poem."""
        self._members = rhyming_characters(alphabet, level_only=level_only, any_reading=any_reading)

    def open_groups(self, group: str) -> None:
        """Open `group`, or all groups, as far as they have enough characters.

        Raises:
            ConstraintError: no group has.
        """
        candidates = [group] if group else list(self._members)
        rhyming = set(filter(self.rhymes, range(self._num_lines or 0)))
        # Where the characters are given, their groups may have no others.
        if rhyming and self._ends.keys() >= rhyming:
            self.groups = frozenset(candidates)
            return
        # Each of these lines uses a character up, and line 1 may.
        needed = len(rhyming) + 1 if rhyming else _UNBOUNDED_RHYMES
        self.groups = frozenset(g for g in candidates if len(self._members.get(g, ())) >= needed)
        if not self.groups:
            why = (
                tr(
                    "the model has fewer than the {num} characters needed that rhyme in {group}",
                    num=needed,
                    group=group,
                )
                if group
                else tr(
                    "the model has fewer than the {num} characters needed that rhyme with one another",
                    num=needed,
                )
            )
            raise ConstraintError(why, tr("Choose another rhyme group or none, or another model."))

    def rhymes(self, line: int) -> bool:
        """Return whether the line (from 0) must rhyme in every poem: an even one, or the last."""
        return line % 2 == 1 or line + 1 == self._num_lines

    def binds(self, interpretation: Interpretation, line: int) -> bool:
        """Return whether the line (from 0) must rhyme in a poem of this interpretation."""
        return self.rhymes(line) or (line == 0 and interpretation.order[:1].isupper())

    def end_line(self, state: GrammarState) -> GrammarState:
        """Return the state once the current line has ended with its last character.

        Raises:
            ConstraintViolation: the line does not rhyme as it must.
        """
        last, line = state.text[-1], state.line
        if line and not self.rhymes(line):
            return state
        if line and last in state.rhymed:
            raise ConstraintViolation(tr("has rhymed before"))
        own = _rhyme_groups_of(last, level_only=self.level_only, any_reading=self.any_reading)
        fitting = tuple(
            one._replace(groups=one.groups & own) if self.binds(one, line) else one
            for one in state.interpretations
            if not self.binds(one, line) or one.groups & own
        )
        if not fitting:
            wanted = frozenset[str]().union(*(one.groups for one in state.interpretations))
            raise ConstraintViolation(_no_rhyme(own, wanted, level_only=self.level_only))
        return state._replace(interpretations=fitting, rhymed=state.rhymed | {last})

    def class_at_end(self, interpretation: Interpretation, line: int, tones: str) -> CharacterClass:
        """Return the characters that may end the line (from 0), given their possible tones."""
        groups = interpretation.groups if self.binds(interpretation, line) else None
        return CharacterClass(tones, groups, self.level_only, self.any_reading)

    def excluded(self, state: GrammarState) -> frozenset[str]:
        """Return the characters that may not end the current line, for they rhyme elsewhere."""
        later = frozenset(
            c for line, c in self._ends.items() if self.rhymes(line) and line > state.line
        )
        if state.line == 0:
            return later
        return state.rhymed | later if self.rhymes(state.line) else frozenset()

    def has_unused(self, state: GrammarState) -> bool:
        """Return whether a character is left that one more couplet could rhyme with."""
        return any(
            c not in state.rhymed
            for one in state.interpretations
            for group in one.groups
            for c in self._members[group]
        )


class FormGrammar:
    """The rules of one of the four forms: exact lines and marks, optionally rhyme and tones."""

    def __init__(
        self,
        form: Form,
        scheme: RhymeScheme | None,
        *,
        tones: bool,
        any_reading: bool,
        required: Required,
    ) -> None:
        self.num_lines: int | None = form.num_lines
        self._form = form
        self._scheme = scheme
        self._tones = tones
        self._any_reading = any_reading
        self._required = required
        self._tone_templates = tuple(
            "".join(
                self._tone_of(required[line, i]) if (line, i) in required else EITHER
                for i in range(form.line_length)
            )
            for line in range(form.num_lines)
        )
        groups = scheme.groups if scheme else frozenset[str]()
        orders = form.orders if tones else ("",)
        possible = tuple(Interpretation(order, groups) for order in orders)
        self.start = GrammarState(self._consistent(possible))

    def line_length(self, state: GrammarState) -> int | None:  # noqa: ARG002
        """Return the form's line length."""
        return self._form.line_length

    def advance(self, state: GrammarState, character: str) -> GrammarState:
        """See `Grammar`."""
        form, position = self._form, len(state.text)
        _check_line(state, self.num_lines)
        if character in MARKS:
            return self._with_mark(state, character)
        if position == form.line_length:
            raise ConstraintViolation(
                tr(
                    "is too much: a line of {form} has {num} characters",
                    form=form.name,
                    num=form.line_length,
                )
            )
        _check_required(character, self._required.get((state.line, position)))
        state = state._replace(text=state.text + character)
        if self._tones:
            state = self._with_tone(state, character)
        return self._ended(state) if position + 1 == form.line_length else state

    def allowed(self, state: GrammarState) -> Allowed:
        """See `Grammar`."""
        position = len(state.text)
        if state.line == self.num_lines:
            return Allowed(end=True)
        if position == self._form.line_length:
            return Allowed(marks=self._marks(state))
        required = self._required.get((state.line, position), "")
        following = [self._next_tones(one, state) for one in state.interpretations]
        if position + 1 < self._form.line_length:
            union = "".join(tone for tone in ANY_TONE if any(tone in one for one in following))
            return Allowed((self._class_of(union),), required)
        if self._scheme is None:
            return Allowed(tuple(map(self._class_of, following)), required)
        classes = tuple(
            self._scheme.class_at_end(one, state.line, tones)
            for one, tones in zip(state.interpretations, following, strict=True)
        )
        return Allowed(classes, required, self._scheme.excluded(state))

    def _consistent(self, possible: tuple[Interpretation, ...]) -> tuple[Interpretation, ...]:
        """Return the interpretations that the required characters leave open."""
        state = GrammarState(possible)
        for (line, position), character in sorted(self._required.items()):
            fitting = tuple(
                one for one in state.interpretations if self._admits(one, line, position)
            )
            state = state._replace(line=line, text=character, interpretations=fitting)
            if position + 1 == self._form.line_length:
                state = _ended_with_required(self._ended, state)
            elif not fitting:
                why = tr(
                    "{character} has the wrong tone for position {position} of line {line}",
                    character=character,
                    position=position + 1,
                    line=line + 1,
                )
                raise ConstraintError(
                    why, tr("Choose another character, or drop another constraint.")
                )
        return state.interpretations

    def _admits(self, one: Interpretation, line: int, position: int) -> bool:
        """Return whether the required characters of the line fit, up to `position`.

        The others then need no 中, except for required ones that are.
        """
        if not one.order:
            return True
        template = self._tone_templates[line]
        known = {
            i: tone
            for i, tone in enumerate(template)
            if (line, i) in self._required and (i <= position or tone == EITHER)
        }
        possible = (known.get(i, LEVEL + OBLIQUE) for i in range(len(template)))
        return any(
            may_begin("".join(tones), one.order[line], template) for tones in product(*possible)
        )

    def _ended(self, state: GrammarState) -> GrammarState:
        if not state.interpretations:
            raise ConstraintViolation(tr("fits none of the tone patterns that are still possible"))
        return self._scheme.end_line(state) if self._scheme else state

    def _with_tone(self, state: GrammarState, character: str) -> GrammarState:
        tone, template = self._tone_of(character), self._tone_templates[state.line]
        written = state.tones + tone
        fitting = tuple(
            one
            for one in state.interpretations
            if may_begin(written, one.order[state.line], template)
        )
        if not fitting:
            raise ConstraintViolation(
                tr("is level; 仄 is needed here")
                if tone == LEVEL
                else tr("is oblique; 平 is needed here")
            )
        return state._replace(tones=written, interpretations=fitting)

    def _tone_of(self, character: str) -> str:
        return tone_of(character, any_reading=self._any_reading)

    def _class_of(self, tones: str) -> CharacterClass:
        return CharacterClass(tones, any_reading=self._any_reading)

    def _with_mark(self, state: GrammarState, mark: str) -> GrammarState:
        form, length = self._form, len(state.text)
        if not length:
            raise ConstraintViolation(tr("has no line before it"))
        if length != form.line_length:
            raise ConstraintViolation(
                tr(
                    "ends a line of {length}; the lines of {form} have {num} characters",
                    length=length,
                    form=form.name,
                    num=form.line_length,
                )
            )
        if mark not in self._marks(state):
            marks = self._marks(state)
            raise ConstraintViolation(
                tr("does not fit here: {form} needs one of {marks}", form=form.name, marks=marks)
            )
        return _next_line(state)

    def _marks(self, state: GrammarState) -> str:
        return STOPS if state.line % 2 else PAUSES

    def _next_tones(self, one: Interpretation, state: GrammarState) -> str:
        if not one.order:
            return ANY_TONE
        return next_tones(state.tones, one.order[state.line], self._tone_templates[state.line])


class FreeGrammar:
    """The rules of verse without a form: rhyming couplets, and lines with required characters.

    With required characters all lines are as long as the first one, whose length the model chooses;
    without, the second line of a rhyming couplet is as long as the first.  A line must have a known
    length to end in a certain way, so a first line of which that is required has `DEFAULT_LINE`.
    """

    def __init__(
        self, num_lines: int | None, scheme: RhymeScheme | None, required: Required
    ) -> None:
        self.num_lines = num_lines
        self._scheme = scheme
        self._required = required
        # Each line has room for the required characters of any line, and for a rhyme after them.
        needed = (self._num_required(line) + bool(scheme) for line, _ in required)
        self._shortest = max([SHORTEST_LINE, *needed])
        # The only line ends in a stop, which the model rarely gives a first line.
        is_fixed = num_lines == 1 or any(position == _LAST for _, position in required)
        self._first_length = max(DEFAULT_LINE, self._shortest) if is_fixed else None
        groups = scheme.groups if scheme else frozenset[str]()
        self.start = GrammarState(self._consistent(Interpretation("", groups)))

    def line_length(self, state: GrammarState) -> int | None:
        """Return the length of the current line, None where it is open; a prompt may exceed it."""
        if state.line == 0:
            return self._first_length
        if self.num_lines is None and state.line % 2 == 0:
            return None
        return max(state.previous_length, self._shortest)

    def advance(self, state: GrammarState, character: str) -> GrammarState:
        """See `Grammar`."""
        _check_line(state, self.num_lines)
        if character in MARKS:
            if not state.text:
                raise ConstraintViolation(tr("has no line before it"))
            self._check_complete(state)
            return _next_line(self._ended(state))
        _check_required(character, self._required.get((state.line, len(state.text))))
        # Only the mark shows that the line has ended.
        return state._replace(text=state.text + character)

    def allowed(self, state: GrammarState) -> Allowed:
        """See `Grammar`."""
        if state.line == self.num_lines:
            return Allowed(end=True)
        position, length = len(state.text), self.line_length(state)
        if length is None:
            return self._allowed_in_open_line(state)
        if position < length - 1:
            return self._allowed_in_line(state)
        if position >= length and self._may_end_line(state):
            return Allowed(marks=self._marks(state))
        classes: tuple[CharacterClass, ...] = ANY_CHARACTER
        if self._scheme:
            ends = (
                self._scheme.class_at_end(o, state.line, ANY_TONE) for o in state.interpretations
            )
            classes = tuple(ends)
        at_end = self._required.get((state.line, _LAST), "")
        required = self._required.get((state.line, position), at_end)
        excluded = self._scheme.excluded(state) if self._scheme else frozenset[str]()
        return Allowed(classes, required, excluded)

    def _consistent(self, possible: Interpretation) -> tuple[Interpretation, ...]:
        """Return the interpretations that the required line ends leave open."""
        state = GrammarState((possible,))
        for (line, position), character in sorted(self._required.items()):
            if position == _LAST:
                state = state._replace(line=line, text=character)
                state = _ended_with_required(self._ended, state)
        return state.interpretations

    def _ended(self, state: GrammarState) -> GrammarState:
        _check_required(state.text[-1], self._required.get((state.line, _LAST)))
        return self._scheme.end_line(state) if self._scheme else state

    def _check_complete(self, state: GrammarState) -> None:
        missing = [i for line, i in self._required if line == state.line and i >= len(state.text)]
        if missing:
            raise ConstraintViolation(
                tr(
                    "ends a line of {length}; {character} is required at position {position}",
                    length=len(state.text),
                    character=self._required[state.line, missing[0]],
                    position=missing[0] + 1,
                )
            )

    def _may_end_line(self, state: GrammarState) -> bool:
        try:
            self._check_complete(state)
            self._ended(state)
        except ConstraintViolation:
            return False
        return True

    def _marks(self, state: GrammarState) -> str:
        """Return the marks of couplets; the last three of an odd number of lines are one sentence.

        Models can write such a sentence and end it; a last line on its own they would continue.
        """
        num_left = None if self.num_lines is None else self.num_lines - state.line - 1
        if num_left == 1 and state.line % 2:
            return "，"  # models expect a stop here, and would choose ？ and ！ too often instead
        return STOPS if num_left == 0 or state.line % 2 else PAUSES

    def _allowed_in_line(self, state: GrammarState) -> Allowed:
        required = self._required.get((state.line, len(state.text)), "")
        return Allowed(ANY_CHARACTER, required)

    def _allowed_in_open_line(self, state: GrammarState) -> Allowed:
        position = len(state.text)
        if position == 0 and self._may_end_poem(state):
            if self._scheme is None or self._scheme.has_unused(state):
                return self._allowed_in_line(state)._replace(end=True)
            return Allowed(end=True)
        if position < self._shortest:
            return self._allowed_in_line(state)
        classes = ANY_CHARACTER if position < LONGEST_LINE else ()
        return Allowed(classes, marks=self._marks(state))

    def _num_required(self, line: int) -> int:
        """Return the least length of the line that holds the characters required in it."""
        last = max((i for own, i in self._required if own == line), default=_LAST)
        at_end = self._required.get((line, _LAST))
        is_end = at_end is None or last == _LAST or self._required[line, last] == at_end
        return last + (1 if is_end else 2)

    def _may_end_poem(self, state: GrammarState) -> bool:
        """Return whether the poem has at least two complete couplets, where nothing fixes its length."""
        return self.num_lines is None and state.line >= 4 and state.line % 2 == 0


@lru_cache(maxsize=8)
def rhyming_characters(
    alphabet: tuple[str, ...], *, level_only: bool, any_reading: bool = False
) -> Mapping[str, Sequence[str]]:
    """Return the characters of `alphabet` by rhyme group; with `level_only` by their level readings.

    >>> rhyming_characters(tuple("山月关"), level_only=True)
    {'删': ['山', '关']}
    """
    members: dict[str, list[str]] = {}
    for character in alphabet:
        groups = _rhyme_groups_of(character, level_only=level_only, any_reading=any_reading)
        for group in groups:
            members.setdefault(group, []).append(character)
    return members


@cache
def tone_of(character: str, *, any_reading: bool = False) -> str:
    """Return 平, 仄 or 中 (either).

    >>> tone_of("山"), tone_of("月")
    ('平', '仄')
    """
    own = tones(character, any_reading=any_reading)
    if not own or (LEVEL in own and len(own) > 1):
        return EITHER
    return LEVEL if LEVEL in own else OBLIQUE


@cache
def may_begin(written: str, line_type: str, template: str) -> bool:
    """Return whether a line that `scan` accepts can begin with the tones `written`.

    The line is of `line_type`; `template` holds the tone of each position, 中 where any will do.

    >>> may_begin("仄仄平平仄", "a", "中中中中中"), may_begin("仄平", "a", "中中中中中")
    (True, False)
    """
    whole = written + template[len(written) :]
    return len(whole) == len(template) and line_fits(
        [_TONE_SETS[tone] for tone in whole], line_type
    )


@cache
def next_tones(written: str, line_type: str, template: str) -> str:
    """Return the letters of 平仄中 that may follow `written`, such that the rest needs no 中.

    >>> next_tones("仄仄平平", "a", "中中中中中")
    '仄中'

    Without this look-ahead a line could come to depend on a character of several tones where there
    is none.  Where that has happened already, all that `may_begin` admits may follow.
    """
    fixed = template[len(written)]
    following = [written + tone for tone in ANY_TONE if fixed in (EITHER, tone)]
    safe = [line for line in following if _can_be_completed(line, line_type, template)]
    return "".join(
        line[-1] for line in safe or following if safe or may_begin(line, line_type, template)
    )


_TONE_SETS = {LEVEL: frozenset({"平"}), OBLIQUE: frozenset({"去"}), EITHER: frozenset[str]()}
_SINGLE_TONES = {LEVEL: LEVEL, OBLIQUE: OBLIQUE, EITHER: LEVEL + OBLIQUE}


def _can_be_completed(written: str, line_type: str, template: str) -> bool:
    """Return whether a line can be completed with characters of a single tone each."""
    rest = product(*(_SINGLE_TONES[tone] for tone in template[len(written) :]))
    return any(may_begin(written + "".join(tones), line_type, template) for tones in rest)


def _resolved(required: Required, form: Form | None) -> Required:
    """Return the required characters with the positions that the form gives to line ends.

    Raises:
        ConstraintError: one is outside the form.
    """
    if form is None:
        return required
    length = form.line_length
    for (line, position), character in required.items():
        if line >= form.num_lines or position >= length:
            why = tr(
                "{character} is required at position {position} of line {line}, "
                "but {form} has {num_lines} lines of {length} characters",
                character=character,
                position=position + 1,
                line=line + 1,
                form=form.name,
                num_lines=form.num_lines,
                length=length,
            )
            raise ConstraintError(why, tr("Choose another form, or drop the required character."))
    return {(line, position % length): c for (line, position), c in required.items()}


def _ends(required: Required, form: Form | None) -> Mapping[int, str]:
    """Return the required last characters by line."""
    last = form.line_length - 1 if form else _LAST
    return {line: c for (line, position), c in required.items() if position == last}


def _rhyme_groups_of(character: str, *, level_only: bool, any_reading: bool) -> frozenset[str]:
    own = readings(character, any_reading=any_reading)
    return frozenset(r.rhyme for r in own if r.tone == LEVEL or not level_only)


def _check_line(state: GrammarState, num_lines: int | None) -> None:
    if num_lines is not None and state.line == num_lines:
        raise ConstraintViolation(
            tr_plural(
                num_lines,
                "is too much: the poem has {num} line",
                "is too much: the poem has {num} lines",
            )
        )


def _check_required(character: str, required: str | None) -> None:
    if required and character != required:
        raise ConstraintViolation(
            tr("does not fit here: {required} is required", required=required)
        )


def _next_line(state: GrammarState) -> GrammarState:
    return GrammarState(
        state.interpretations,
        state.line + 1,
        rhymed=state.rhymed,
        previous_length=len(state.text),
    )


def _ended_with_required(
    end_line: Callable[[GrammarState], GrammarState], state: GrammarState
) -> GrammarState:
    """Return `end_line(state)`, where the last character is required.

    Raises:
        ConstraintError: the line cannot end so.
    """
    try:
        return end_line(state)
    except ConstraintViolation as violation:
        why = tr(
            "line {line} cannot end in {character}: it {violation}",
            line=state.line + 1,
            character=state.text[-1],
            violation=violation,
        )
        fix = tr("Change the required character, or drop another constraint.")
        raise ConstraintError(why, fix) from violation


def _no_rhyme(own: frozenset[str], wanted: frozenset[str], *, level_only: bool) -> str:
    if not own and level_only:
        return tr("has no level reading to rhyme by")
    if not own:
        return tr("has no known reading to rhyme by")
    groups, needed = " ".join(sorted(own)), " ".join(sorted(wanted))
    if len(wanted) == 1:
        return tr("rhymes in {groups}; {needed} is needed here", groups=groups, needed=needed)
    if len(wanted) > 4:
        return tr("rhymes in {groups}; another rhyme group is needed here", groups=groups)
    return tr("rhymes in {groups}; one of {needed} is needed here", groups=groups, needed=needed)

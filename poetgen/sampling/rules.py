"""What may be written: form, rhyme, tones and acrostic, character by character.

`Rules` are the constraints of a request over a vocabulary, a `Draft` a poem as far as it is written.
`Rules.write` puts a character to a draft or says why it does not fit; `Rules.next` says what may come
next, and looks ahead so that dead ends are rare: no rhyme group is opened that has too few characters
in the vocabulary, and no line is begun that only a character of several tones could end.

Knows no model and no tensors.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from poetgen.data.poem import MARKS, STOPS
from poetgen.data.vocab import Vocabulary
from poetgen.errors import ConstraintError, UsageError
from poetgen.prosody.forms import FORMS, LEVEL
from poetgen.prosody.patterns import EITHER, OBLIQUE, may_begin, next_tones, tone_of
from poetgen.prosody.phonology import readings
from poetgen.sampling.draft import ANY_CHARACTER, ANY_TONE, Broken, Draft, Kind, Next, Way
from poetgen.sampling.request import Constraints

PAUSES = "，？！"
"""The marks that may follow the first line of a couplet; the second takes one of `STOPS`."""

SHORTEST_LINE, LONGEST_LINE = 3, 16
"""Characters of a line that the model writes under constraints without a form."""

ACROSTIC_LINE = 7
"""Characters of a line that an acrostic ends, where neither form nor prompt say how many."""

_FREE_RHYMES = 4
"""Characters that a group must have to be opened where nothing says how many rhymes there will be."""


class Rules:
    """The constraints of a poem over a vocabulary.

    Raises:
        UsageError: constraints that contradict each other.
        ConstraintError: an acrostic that cannot be met, a rhyme group with too few characters.
    """

    def __init__(self, constraints: Constraints, vocab: Vocabulary) -> None:
        self._form = FORMS.get(constraints.form)
        self._tones = constraints.tones
        self._rhymes = constraints.rhyme or bool(constraints.rhyme_group)
        self._ends = constraints.acrostic if constraints.acrostic_at == "end" else ""
        self._begins = "" if self._ends else constraints.acrostic
        self.num_lines = self._form.num_lines if self._form else len(constraints.acrostic) or None
        """How many lines the poem is to have; None: the model may choose."""
        self.level_rhyme = self._form is not None
        """Whether rhymes are on level tones."""
        _check(constraints, self.num_lines)
        self._ids = vocab.ids
        self._members: Mapping[str, Sequence[str]] = (
            rhyming(vocab, level=self.level_rhyme) if self._rhymes else {}
        )
        groups = self._open_groups(constraints.rhyme_group)
        orders = self._form.orders if self._form and self._tones else ("",)
        self.start = Draft(self._foreseen(tuple(Way(order, groups) for order in orders)))

    @property
    def is_bounded(self) -> bool:
        """Whether every poem comes to its end by the constraints alone."""
        return self.num_lines is not None

    def line_length(self, draft: Draft) -> int | None:
        """How long the line being written is to be; None: the model may choose.

        Where a line must end in a certain way, its end must be known.  So without a form the second
        line of a rhyming couplet is as long as the first, and all lines that an acrostic ends are as
        long as the first.  A line in a prompt may be longer.
        """
        if self._form:
            return self._form.line_length
        if self._ends:
            return max(SHORTEST_LINE, draft.previous or ACROSTIC_LINE)
        if self._rhymes and draft.line % 2:
            return max(SHORTEST_LINE, draft.previous)
        return None

    def write(self, draft: Draft, character: str) -> Draft:
        """`draft` with one more character or mark.

        Raises:
            Broken: it does not fit.
        """
        if draft.line == self.num_lines:
            raise Broken(f"is too much: the poem has {self.num_lines} lines")
        if character in MARKS:
            return self._with_mark(draft, character)
        place = len(draft.text) + 1
        if self._form and place > self._form.line_length:
            raise Broken(
                f"is too much: a line of {self._form.name} has {self._form.line_length} characters"
            )
        if self._begins and place == 1 and character != self._begins[draft.line]:
            raise Broken(f"stands where the acrostic needs {self._begins[draft.line]}")
        draft = draft._replace(text=draft.text + character)
        if self._tones:
            draft = self._with_tone(draft, character)
        # Without a form it shows only at the mark that the line has ended.
        return self._closed(draft) if self._form and place == self._form.line_length else draft

    def next(self, draft: Draft) -> Next:
        """What may be written next."""
        if draft.line == self.num_lines:
            return Next(end=True)
        place, length = len(draft.text), self.line_length(draft)
        if length is None:
            return self._next_in_free_line(draft)
        if place < length - 1:
            return self._next_in_line(draft)
        if self._may_end_line(draft):
            return Next(marks=self._marks(draft))
        return Next(
            tuple(self._kind_at_end(way, draft) for way in draft.ways),
            only=self._ends[draft.line] if self._ends else "",
            but=draft.rhymed if self._rhymes and draft.line % 2 else frozenset(),
        )

    def forced(self, draft: Draft) -> str | None:
        """The character that must come next though the vocabulary lacks it; None: there is none."""
        if not (self._begins or self._ends):
            return None
        character = self.next(draft).only
        return character if character and character not in self._ids else None

    def _open_groups(self, asked: str) -> frozenset[str]:
        """The groups that can serve a whole poem."""
        if not self._rhymes:
            return frozenset()
        candidates = [asked] if asked else list(self._members)
        if self._ends:  # the characters are given, however few their groups have
            return frozenset(candidates)
        # Each even line takes a character away, and line 1 may.
        needed = self.num_lines // 2 + 1 if self.num_lines else _FREE_RHYMES
        groups = frozenset(g for g in candidates if len(self._members.get(g, ())) >= needed)
        if not groups:
            raise ConstraintError(
                f"the model knows fewer than the {needed} characters needed that rhyme "
                + (f"in {asked}" if asked else "with one another"),
                "Ask for another rhyme group or none, or take another model.",
            )
        return groups

    def _foreseen(self, ways: tuple[Way, ...]) -> tuple[Way, ...]:
        """Those of `ways` that an acrostic at the lines' ends leaves open."""
        draft = Draft(ways)
        for line, character in enumerate(self._ends):
            fitting = tuple(way for way in draft.ways if _may_end(character, way, line))
            draft = draft._replace(line=line, text=character, ways=fitting)
            try:
                draft = self._closed(draft)
            except Broken as broken:
                raise ConstraintError(
                    f"line {line + 1} cannot end in {character}: it {broken}",
                    "Change the acrostic, or ask for less beside it.",
                ) from broken
        return draft.ways

    def _with_tone(self, draft: Draft, character: str) -> Draft:
        assert self._form is not None
        tone = tone_of(character)
        tones, length = draft.tones + tone, self._form.line_length
        ways = tuple(w for w in draft.ways if may_begin(tones, w.order[draft.line], length))
        if not ways:
            raise Broken(
                "is level; 仄 is needed here" if tone == LEVEL else "is oblique; 平 is needed here"
            )
        return draft._replace(tones=tones, ways=ways)

    def _with_mark(self, draft: Draft, mark: str) -> Draft:
        length = len(draft.text)
        if not length:
            raise Broken("has no line before it")
        if self._form is None:
            draft = self._closed(draft)
        elif length != self._form.line_length:
            raise Broken(
                f"ends a line of {length}; the lines of {self._form.name} have "
                f"{self._form.line_length} characters"
            )
        elif mark not in self._marks(draft):
            raise Broken(f"stands where {self._form.name} has one of {self._marks(draft)}")
        return Draft(draft.ways, draft.line + 1, rhymed=draft.rhymed, previous=length)

    def _closed(self, draft: Draft) -> Draft:
        """`draft` with the last character that its line has now as the line's end.

        Raises:
            Broken: the line cannot end so.
        """
        last, line = draft.text[-1], draft.line
        if self._ends and last != self._ends[line]:
            raise Broken(f"stands where the acrostic needs {self._ends[line]}")
        if not draft.ways:
            raise Broken("has the wrong tone for every order of lines that is left")
        if not self._rhymes or (line and line % 2 == 0):
            return draft
        if line and last in draft.rhymed:
            raise Broken("has rhymed before")
        own = _groups_of(last, level=self.level_rhyme)
        ways = tuple(
            way._replace(groups=way.groups & own) if self._must_rhyme(way, line) else way
            for way in draft.ways
            if not self._must_rhyme(way, line) or way.groups & own
        )
        if not ways:
            wanted = frozenset[str]().union(*(way.groups for way in draft.ways))
            raise Broken(_no_rhyme(own, wanted, level=self.level_rhyme))
        return draft._replace(ways=ways, rhymed=draft.rhymed | {last})

    def _must_rhyme(self, way: Way, line: int) -> bool:
        """Whether the line (from 0) must rhyme: each second one, and a line 1 that is to end level."""
        return self._rhymes and bool(line % 2 or (line == 0 and way.order[:1].isupper()))

    def _may_end_line(self, draft: Draft) -> bool:
        """Whether a line of known length is there, and ends as it must."""
        if len(draft.text) < (self.line_length(draft) or 0):
            return False
        if self._form:
            return True  # `write` has closed it
        try:
            self._closed(draft)
        except Broken:
            return False
        return True

    def _marks(self, draft: Draft) -> str:
        if draft.line + 1 == self.num_lines:
            return STOPS
        if self._form or self._rhymes:
            return STOPS if draft.line % 2 else PAUSES
        return MARKS

    def _next_in_line(self, draft: Draft) -> Next:
        """Before the last place of a line."""
        tones = {tone for way in draft.ways for tone in self._next_tones(way, draft)}
        return Next(
            (Kind("".join(tone for tone in ANY_TONE if tone in tones)),),
            only=self._begins[draft.line] if self._begins and not draft.text else "",
        )

    def _next_in_free_line(self, draft: Draft) -> Next:
        """In a line that may be of any length."""
        place = len(draft.text)
        if place == 0 and self._may_end_poem(draft):
            if self._can_rhyme_again(draft):
                return self._next_in_line(draft)._replace(end=True)
            return Next(end=True)
        if place < SHORTEST_LINE:
            return self._next_in_line(draft)
        kinds = ANY_CHARACTER if place < LONGEST_LINE else ()
        return Next(kinds, marks=self._marks(draft))

    def _may_end_poem(self, draft: Draft) -> bool:
        """Where nothing tells the number of lines: after couplets of which at least two rhyme."""
        return self.num_lines is None and draft.line >= 4 and draft.line % 2 == 0

    def _can_rhyme_again(self, draft: Draft) -> bool:
        """Whether a character is left that one more couplet could rhyme with."""
        return any(
            c not in draft.rhymed
            for way in draft.ways
            for group in way.groups
            for c in self._members[group]
        )

    def _kind_at_end(self, way: Way, draft: Draft) -> Kind:
        """The characters that may end the line, if the poem is meant in this way."""
        groups = way.groups if self._must_rhyme(way, draft.line) else None
        return Kind(self._next_tones(way, draft), groups)

    def _next_tones(self, way: Way, draft: Draft) -> str:
        if not way.order:
            return ANY_TONE
        assert self._form is not None
        return next_tones(draft.tones, way.order[draft.line], self._form.line_length)


@lru_cache(maxsize=8)
def rhyming(vocab: Vocabulary, *, level: bool) -> Mapping[str, Sequence[str]]:
    """The characters of a vocabulary by rhyme group; with `level` by their level readings alone."""
    members: dict[str, list[str]] = {}
    for symbol in vocab.symbols:
        for group in _groups_of(symbol, level=level) if len(symbol) == 1 else ():
            members.setdefault(group, []).append(symbol)
    return members


def _groups_of(character: str, *, level: bool) -> frozenset[str]:
    return frozenset(r.rhyme for r in readings(character) if r.tone == LEVEL or not level)


def _check(constraints: Constraints, num_lines: int | None) -> None:
    if constraints.tones and not constraints.form:
        raise UsageError("tones need a form", f"Add a form: {', '.join(FORMS)}.")
    acrostic = constraints.acrostic
    if acrostic and len(acrostic) != num_lines:
        raise UsageError(
            f"the acrostic {acrostic} has {len(acrostic)} characters, "
            f"but {constraints.form} has {num_lines} lines",
            f"Give {num_lines} characters.",
        )


def _may_end(character: str, way: Way, line: int) -> bool:
    """Whether its tone allows a character to end a line (from 0) of a poem that is meant so."""
    if not way.order:
        return True
    return tone_of(character) in (EITHER, LEVEL if way.order[line].isupper() else OBLIQUE)


def _no_rhyme(own: frozenset[str], wanted: frozenset[str], *, level: bool) -> str:
    if not own:
        return f"has no {'level' if level else 'known'} reading to rhyme by"
    named = " or ".join(sorted(wanted)) if len(wanted) <= 4 else "a group that is open"
    return f"rhymes in {' '.join(sorted(own))}; {named} is needed here"

"""The constraints of a request as masks over the vocabulary, and its prompt held against them.

`rules` says what may come next; here that becomes a mask, from a few that are made once.

Shape suffixes: V vocabulary size.
"""

from collections.abc import Iterable
from functools import lru_cache

import torch
from torch import Tensor

from poetgen.data.poem import MARKS
from poetgen.data.vocab import EOS, Vocabulary
from poetgen.errors import ConstraintError
from poetgen.prosody.patterns import tone_of
from poetgen.prosody.phonology import readings
from poetgen.sampling.draft import ANY_TONE, Broken, Draft, Kind, Next
from poetgen.sampling.request import Constraints, Request
from poetgen.sampling.rules import Rules, rhyming


class Masks:
    """What the ids of a vocabulary are to the rules: bool (V,), true where one may be chosen."""

    def __init__(self, vocab: Vocabulary) -> None:
        self._vocab = vocab
        self._by_tones: dict[str, Tensor] = {}
        self._by_groups: dict[tuple[frozenset[str], bool], Tensor] = {}
        self._by_marks: dict[str, Tensor] = {}

    def mask(self, following: Next, *, level_rhyme: bool) -> Tensor:
        """The ids that `following` allows; do not write to it."""
        fitting = [self._of_kind(kind, level_rhyme) for kind in following.kinds]
        if following.marks:
            fitting.append(self._of_marks(following.marks))
        if following.end:
            fitting.append(self._end())
        mask_V, *others = fitting
        for other_V in others:
            mask_V = mask_V | other_V
        if following.only:
            mask_V = mask_V & self._holding(following.only)
        if following.but:
            mask_V = mask_V & ~self._holding(following.but)
        return mask_V

    def _of_kind(self, kind: Kind, level_rhyme: bool) -> Tensor:
        tones_V = self._of_tones(kind.tones)
        return (
            tones_V if kind.groups is None else tones_V & self._of_groups(kind.groups, level_rhyme)
        )

    def _of_tones(self, allowed: str) -> Tensor:
        if allowed not in self._by_tones:
            characters = (c for c in self._vocab.symbols if len(c) == 1 and c not in MARKS)
            self._by_tones[allowed] = self._holding(
                c
                for c in characters
                if allowed == ANY_TONE or (tone_of(c) in allowed and readings(c))
            )
        return self._by_tones[allowed]

    def _of_groups(self, groups: frozenset[str], level_rhyme: bool) -> Tensor:
        key = groups, level_rhyme
        if key not in self._by_groups:
            members = rhyming(self._vocab, level=level_rhyme)
            self._by_groups[key] = self._holding(c for g in groups for c in members.get(g, ()))
        return self._by_groups[key]

    def _of_marks(self, marks: str) -> Tensor:
        if marks not in self._by_marks:
            self._by_marks[marks] = self._holding(marks)
        return self._by_marks[marks]

    def _end(self) -> Tensor:
        mask_V = torch.zeros(len(self._vocab), dtype=torch.bool)
        mask_V[EOS] = True
        return mask_V

    def _holding(self, characters: Iterable[str]) -> Tensor:
        """True for those of `characters` that the vocabulary has."""
        mask_V = torch.zeros(len(self._vocab), dtype=torch.bool)
        mask_V[[self._vocab.ids[c] for c in characters if c in self._vocab.ids]] = True
        return mask_V


@lru_cache(maxsize=4)
def masks_of(vocab: Vocabulary) -> Masks:
    """The masks of `vocab`, each made when it is first asked for."""
    return Masks(vocab)


@lru_cache(maxsize=256)
def rules_for(constraints: Constraints, vocab: Vocabulary) -> Rules:
    """`Rules(constraints, vocab)`, made once."""
    return Rules(constraints, vocab)


def begin(request: Request, vocab: Vocabulary) -> tuple[Rules, Draft]:
    """The rules of a request, and its prompt as what is written.

    Raises:
        UsageError: constraints that contradict each other.
        ConstraintError: the prompt breaks one, with the place named; or none can be met.
    """
    rules = rules_for(request.constraints, vocab)
    draft, number, last = rules.start, 0, ""
    for character in request.prompt.text:
        is_mark = character in MARKS
        number, last = (number, last) if is_mark else (number + 1, character)
        try:
            draft = rules.write(draft, character)
        except Broken as broken:
            place = f"第{number}字 {last}" if last else "the beginning"
            raise _misfit(
                f"{character} after {place} {broken}" if is_mark else f"{place} {broken}"
            ) from broken
    following = rules.next(draft)
    mask_V = masks_of(vocab).mask(following, level_rhyme=rules.level_rhyme)
    if rules.forced(draft) is None and not mask_V.any():
        raise _misfit(f"no character that the model knows can stand after 第{number}字 {last}")
    return rules, draft


def check_prompt(request: Request, vocab: Vocabulary) -> None:
    """Nothing, if a request's prompt keeps its constraints, and they can be met at all.

    Raises:
        UsageError: constraints that contradict each other.
        ConstraintError: the prompt breaks one, with the place named; or none can be met.
    """
    if request.constraints:
        begin(request, vocab)


def _misfit(why: str) -> ConstraintError:
    return ConstraintError(why, "Change the prompt there, or ask for less: leave a constraint out.")

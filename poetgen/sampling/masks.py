"""Masks over a vocabulary of the tokens that a grammar allows.

Shape suffixes: V vocabulary size.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from poetgen.data.vocab import EOS, UNK, Vocabulary
from poetgen.prosody.grammar import ANY_TONE, Allowed, CharacterClass, rhyming_characters, tone_of
from poetgen.prosody.phonology import readings

Mask: TypeAlias = NDArray[np.bool_]
_MAX_RECENT = 512


@dataclass(frozen=True)
class VocabularyMasks:
    """Masks over one vocabulary, each made when it is first needed and then kept.

    masks = VocabularyMasks(vocab)
    mask_V = masks.mask(grammar.allowed(state))
    """

    _vocab: Vocabulary
    _masks: dict[Allowed, Mask] = field(default_factory=dict)
    _recent: dict[Allowed, Mask] = field(default_factory=dict)
    """Those with excluded characters, which are without number."""
    _by_tones: dict[CharacterClass, Mask] = field(default_factory=dict)
    _by_groups: dict[CharacterClass, Mask] = field(default_factory=dict)
    _by_marks: dict[str, Mask] = field(default_factory=dict)

    @cached_property
    def text(self) -> Mask:
        """The ids of text, and the end."""
        mask_V = np.ones(len(self._vocab), np.bool_)
        mask_V[list(self._vocab.not_text)] = False
        return mask_V

    @cached_property
    def first(self) -> Mask:
        """The ids of text: no poem is empty."""
        mask_V = self.text.copy()
        mask_V[EOS] = False
        return mask_V

    @cached_property
    def unknown(self) -> Mask:
        """The unknown character."""
        return self._of_ids([UNK])

    def mask(self, allowed: Allowed) -> Mask:
        """Return the ids that `allowed` admits, bool (V,); do not write to it."""
        if not allowed.excluded:
            if allowed not in self._masks:
                self._masks[allowed] = self._combined(allowed)
            return self._masks[allowed]
        if allowed not in self._recent:
            if len(self._recent) == _MAX_RECENT:
                self._recent.clear()
            ids = self._vocab.ids
            mask_V = self.mask(allowed._replace(excluded=frozenset())).copy()
            mask_V[[ids[character] for character in allowed.excluded if character in ids]] = False
            self._recent[allowed] = mask_V
        return self._recent[allowed]

    def _combined(self, allowed: Allowed) -> Mask:
        parts = [self._of_class(one) for one in allowed.classes]
        if allowed.marks:
            parts.append(self._of_marks(allowed.marks))
        if allowed.end:
            parts.append(self._of_ids([EOS]))
        mask_V: Mask = np.logical_or.reduce(parts)
        return mask_V & self._of_characters(allowed.required) if allowed.required else mask_V

    def _of_class(self, one: CharacterClass) -> Mask:
        tones_V = self._of_tones(one)
        return tones_V if one.groups is None else tones_V & self._of_groups(one)

    def _of_tones(self, one: CharacterClass) -> Mask:
        key = one._replace(groups=None, level_only=False)
        if key not in self._by_tones:
            self._by_tones[key] = self._of_characters(
                c
                for c in self._vocab.characters
                if one.tones == ANY_TONE
                or (tone_of(c, any_reading=one.any_reading) in one.tones and readings(c))
            )
        return self._by_tones[key]

    def _of_groups(self, one: CharacterClass) -> Mask:
        key = one._replace(tones="")
        if key not in self._by_groups:
            members = rhyming_characters(
                self._vocab.characters, level_only=one.level_only, any_reading=one.any_reading
            )
            groups = one.groups or ()
            self._by_groups[key] = self._of_characters(
                c for g in groups for c in members.get(g, ())
            )
        return self._by_groups[key]

    def _of_marks(self, marks: str) -> Mask:
        if marks not in self._by_marks:
            self._by_marks[marks] = self._of_characters(marks)
        return self._by_marks[marks]

    def _of_characters(self, characters: Iterable[str]) -> Mask:
        """Return the mask of those `characters` that have an id."""
        return self._of_ids([self._vocab.ids[c] for c in characters if c in self._vocab.ids])

    def _of_ids(self, ids: Sequence[int]) -> Mask:
        mask_V = np.zeros(len(self._vocab), np.bool_)
        mask_V[list(ids)] = True
        return mask_V

"""Masks over a vocabulary of the tokens that a grammar allows.

Shape suffixes: V vocabulary size.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from poetgen.data.vocab import EOS, Vocabulary
from poetgen.prosody.grammar import ANY_TONE, Allowed, CharacterClass, rhyming_characters, tone_of
from poetgen.prosody.phonology import readings


@dataclass(frozen=True)
class VocabularyMasks:
    """Masks over one vocabulary, each made when it is first needed and then kept.

    masks = VocabularyMasks(vocab)
    mask_V = masks.mask(grammar.allowed(state))
    """

    _vocab: Vocabulary
    _by_tones: dict[str, Tensor] = field(default_factory=dict)
    _by_groups: dict[CharacterClass, Tensor] = field(default_factory=dict)
    _by_marks: dict[str, Tensor] = field(default_factory=dict)

    def mask(self, allowed: Allowed) -> Tensor:
        """Return the ids that `allowed` admits, bool (V,); do not write to it."""
        masks = [self._of_class(one) for one in allowed.classes]
        if allowed.marks:
            masks.append(self._of_marks(allowed.marks))
        if allowed.end:
            masks.append(self._end())
        mask_V, *others = masks
        for other_V in others:
            mask_V = mask_V | other_V
        if allowed.required:
            mask_V = mask_V & self._of_characters(allowed.required)
        if allowed.excluded:
            mask_V = mask_V & ~self._of_characters(allowed.excluded)
        return mask_V

    def _of_class(self, one: CharacterClass) -> Tensor:
        tones_V = self._of_tones(one.tones)
        return tones_V if one.groups is None else tones_V & self._of_groups(one)

    def _of_tones(self, tones: str) -> Tensor:
        if tones not in self._by_tones:
            self._by_tones[tones] = self._of_characters(
                c
                for c in self._vocab.characters
                if tones == ANY_TONE or (tone_of(c) in tones and readings(c))
            )
        return self._by_tones[tones]

    def _of_groups(self, one: CharacterClass) -> Tensor:
        key = one._replace(tones="")
        if key not in self._by_groups:
            members = rhyming_characters(self._vocab.characters, level_only=one.level_only)
            groups = one.groups or ()
            self._by_groups[key] = self._of_characters(
                c for g in groups for c in members.get(g, ())
            )
        return self._by_groups[key]

    def _of_marks(self, marks: str) -> Tensor:
        if marks not in self._by_marks:
            self._by_marks[marks] = self._of_characters(marks)
        return self._by_marks[marks]

    def _end(self) -> Tensor:
        mask_V = torch.zeros(len(self._vocab), dtype=torch.bool)
        mask_V[EOS] = True
        return mask_V

    def _of_characters(self, characters: Iterable[str]) -> Tensor:
        """Return the mask of those `characters` that have an id."""
        mask_V = torch.zeros(len(self._vocab), dtype=torch.bool)
        mask_V[[self._vocab.ids[c] for c in characters if c in self._vocab.ids]] = True
        return mask_V

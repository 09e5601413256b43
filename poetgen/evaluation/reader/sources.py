"""The sources of poems that judges tell apart.

The training split is halved by groups of near-duplicates: the *background* supplies statistics of features,
and the poems that judges learn from are in the other half.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poetgen.data.corpus import load_corpus
from poetgen.data.poem import Poem, content_hash
from poetgen.data.split import near_duplicate_groups
from poetgen.data.vocab import BOS, PAD, Vocabulary
from poetgen.errors import CorpusError
from poetgen.evaluation.comparison import PoemsByForm, group_by_form
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.kneser_ney import KneserNey
from poetgen.language import tr
from poetgen.progress import Stage
from poetgen.prosody.forms import FORMS, Form
from poetgen.prosody.marks import MARKS

PARTS = ("train", "selection", "judged")
KNESER_NEY_ORDER = 5


@dataclass(frozen=True)
class RealSource:
    """Real poems by form: to learn from, to select a judge with, and to be judged."""

    background: list[Poem]
    parts: Mapping[str, PoemsByForm]

    @classmethod
    def of(cls, eval_set: EvaluationSet) -> "RealSource":
        """Divide an evaluation set.

        Judged are the poems of its split.  A judge of test poems is selected on validation poems.  A
        judge of validation poems is selected on one half of them and judges the other, so that no
        choice depends on test poems.

        Raises:
            CorpusError: there is no training split, or no poem to judge.
        """
        if not eval_set.train or not eval_set.poems:
            raise CorpusError(
                tr("the reader's test needs a corpus with a training split"),
                tr("Name one with --corpus, or fetch the Tang poems: poetgen corpus fetch"),
            )
        background, learned = _halves(eval_set.train)
        if eval_set.split == "test":
            selection, judged = eval_set.other_held_out, eval_set.poems
        else:
            selection, judged = _halves(eval_set.poems)
        groups = map(group_by_form, (learned, selection, judged))
        return cls(background, dict(zip(PARTS, groups, strict=True)))

    def counts(self, size: int) -> dict[str, dict[str, int]]:
        """Return the number of poems of each part and form; at most `size` to learn from."""
        return {
            part: {form: min(len(own), size) for form, own in poems.items()}
            for part, poems in self.parts.items()
        }

    def split_in_two(self) -> tuple["RealSource", "RealSource"]:
        """Return two sources with half of the poems of each part, at random."""
        halves = {
            part: {form: _by_hash(own) for form, own in poems.items()}
            for part, poems in self.parts.items()
        }
        first, second = (
            RealSource(
                self.background,
                {p: {f: pair[i] for f, pair in forms.items()} for p, forms in halves.items()},
            )
            for i in (0, 1)
        )
        return first, second


def _halves(poems: Sequence[Poem]) -> tuple[list[Poem], list[Poem]]:
    """Divide poems by a hash; near-duplicates stay together."""
    groups = near_duplicate_groups(poems)
    halves: tuple[list[Poem], list[Poem]] = ([], [])
    for poem, group in zip(poems, groups, strict=True):
        halves[_bit(poems[group], "background")].append(poem)
    return halves


def _by_hash(poems: Sequence[Poem]) -> tuple[list[Poem], list[Poem]]:
    halves: tuple[list[Poem], list[Poem]] = ([], [])
    for poem in poems:
        halves[_bit(poem, "half")].append(
            poem
        )  # not the bit that a half of the poems has in common
    return halves


def _bit(poem: Poem, purpose: str) -> int:
    return content_hash(f"{purpose}:{poem.characters}") & 1


@dataclass(frozen=True)
class Opponent:
    """A named source of poems to be distinguished from real ones, by part and form."""

    name: str
    parts: Mapping[str, PoemsByForm]
    temperature: float | None = None


def deal(poems: PoemsByForm, counts: Mapping[str, Mapping[str, int]]) -> dict[str, PoemsByForm]:
    """Deal the poems of each form to the parts, in order."""
    dealt: dict[str, PoemsByForm] = {}
    first = dict.fromkeys(poems, 0)
    for part, by_form in counts.items():
        dealt[part] = {
            form: own[first[form] : first[form] + by_form[form]] for form, own in poems.items()
        }
        for form, num in by_form.items():
            first[form] += num
    return dealt


def totals(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return the number of poems of each form that all parts need."""
    return {form: sum(by_form[form] for by_form in counts.values()) for form in FORMS}


def song_poems(folder: Path, known: Iterable[Poem]) -> PoemsByForm:
    """Return the Song poems of a folder by form, in an order that is random and always the same."""
    corpus = load_corpus([folder])
    taken = {poem.characters for poem in known}
    poems = [poem for poem in corpus.poems if poem.characters not in taken]
    return group_by_form(sorted(poems, key=lambda poem: content_hash(poem.characters)))


def kneser_ney_poems(train: Sequence[Poem], counts: Mapping[str, int], seed: int) -> PoemsByForm:
    """Return poems drawn from a Kneser–Ney model of `train`, given the form.

    Each position of the form takes a character from the model's distribution there; marks are given.
    """
    vocab = Vocabulary.build(train, min_count=2)
    model = KneserNey(
        (vocab.encode_poem(poem.text) for poem in train),
        num_symbols=len(vocab),
        num_outcomes=len(vocab),
        start=BOS,
        max_order=KNESER_NEY_ORDER,
    )
    is_character_V = np.isin(vocab.symbols, vocab.characters)
    random = np.random.default_rng(seed)
    poems: PoemsByForm = {form: [] for form in counts}
    with Stage(tr("generating with a Kneser–Ney model"), sum(counts.values())) as stage:
        for form, num in counts.items():
            for _ in range(num):
                poems[form].append(_draw_poem(model, vocab, is_character_V, FORMS[form], random))
                stage.advance()
    return poems


def _draw_poem(
    model: KneserNey,
    vocab: Vocabulary,
    is_character_V: NDArray[np.bool_],
    form: Form,
    random: np.random.Generator,
) -> Poem:
    ids = [PAD, BOS]
    for line in range(form.num_lines):
        for _ in range(form.line_length):
            p_V = model.distribution(ids[1:], KNESER_NEY_ORDER) * is_character_V
            ids.append(int(random.choice(len(p_V), p=p_V / p_V.sum())))
        ids.append(vocab.ids[MARKS[line % 2]])
    return Poem(vocab.decode(ids))

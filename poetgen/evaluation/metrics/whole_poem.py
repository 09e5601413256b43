"""Measures of a whole poem: parallelism, coherence, similarity of the halves, title retrieval.

1. Counts of character pairs in the training text: facing characters of couplets, characters of
   different lines of a poem, characters of a title and of its poem (`cooccurrence`).
2. Three small models of them: `FacingModel`, `TopicModel`, `TitleModel`.
3. One value of a poem for each entry of `MEASURES`; None where it has none.

None of these models is a network that generates poems, so no model judges itself.  They see which
characters go together, not what a poem says.  `shuffled` has the control that shows whether a measure is
informative.

Shape suffixes: V characters, K features, L lines, T titles, N pairs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from poetgen.data.conditions import title_characters
from poetgen.data.poem import Poem
from poetgen.evaluation.cooccurrence import (
    Characters,
    Floats,
    Ints,
    cluster,
    count_pairs,
    pairs_of,
    ppmi,
    truncated_svd,
)
from poetgen.language import tr, tr_noop
from poetgen.progress import Stage
from poetgen.prosody.forms import FORMS, form_of

MAX_POEMS = 60_000
"""Maximum number of poems to count, spaced evenly over the training text."""
NUM_TITLES = 100
"""Titles among which the right one is sought, itself included."""
WINDOW = 8
"""Lines of a long poem that are counted together."""

_NUM_CLASSES = 64
_CLASS_FEATURES = 48
_CLASS_PSEUDO_COUNT = 100  # of the class model, in the distribution of a character's partner
_UNIGRAM_PSEUDO_COUNT = 20  # of the class frequencies, in the distribution of a class's partner
_POSITION_PSEUDO_COUNT = 500  # of the whole text, in the distribution of a position
_TOPIC_FEATURES = 128
# Of 2, 4, 7 and 10, the one with the highest likelihood of held-out poems.
_TOPIC_SCALE = 4.0
# Of 1, 2 and 3, the one with the largest area under the curve on held-out poems.
_TITLE_SCALE = 3.0


class FacingModel:
    """Pointwise mutual information of facing characters, smoothed over classes of characters.

    p(b | a) = (n(a, b) + m · P(class of b | class of a) · p(b | class of b)) / (n(a) + m), with counts n
    of characters at the same position of the two lines of a couplet, neither first nor last, and m =
    `_CLASS_PSEUDO_COUNT`.  Classes are clusters of characters that face the same characters.
    """

    def __init__(self, poems: Sequence[Poem], characters: Characters) -> None:
        size = len(characters)
        all_VV = count_pairs((_facing(_couplets(p), characters) for p in poems), size)
        counts_VV = count_pairs((_facing(_couplets(p)[1:-1], characters) for p in poems), size)
        left_VK, values_K, _ = truncated_svd(ppmi(all_VV + all_VV.T), _CLASS_FEATURES)
        weights_V = characters.shares_V
        self._characters = characters
        self._classes = classes = cluster(left_VK * np.sqrt(values_K), weights_V, _NUM_CLASSES)
        self._counts_VV = counts_VV
        self._totals_V = counts_VV.sum(axis=1)
        shares_V = counts_VV.sum(axis=0) + 1000 * weights_V
        self._shares_V = shares_V / shares_V.sum()
        members_GV = (classes == np.arange(classes.max() + 1)[:, None]).astype(np.float32)
        shares_G = members_GV @ self._shares_V
        counts_GG = members_GV @ counts_VV @ members_GV.T + _UNIGRAM_PSEUDO_COUNT * shares_G
        # P(class of b | class of a) / P(class of b), which is also the ratio to p(b) of the back-off.
        self._ratios_GG = (
            counts_GG / counts_GG.sum(axis=1, keepdims=True) / np.maximum(shares_G, 1e-9)
        )

    def parallelism(self, poem: Poem) -> float | None:
        """Return the mean over the facing characters of the middle couplets; None without any."""
        firsts, seconds = _facing(_couplets(poem)[1:-1], self._characters)
        if not len(firsts):
            return None
        return float(self.information(firsts, seconds).mean())

    def information(self, firsts: Ints, seconds: Ints) -> Floats:
        """Return ln p(b | a) − ln p(b) of pairs of ids, (N,)."""
        ratios_N = self._ratios_GG[self._classes[firsts], self._classes[seconds]]
        own_N = self._counts_VV[firsts, seconds] / self._shares_V[seconds]
        backed_off_N = own_N + _CLASS_PSEUDO_COUNT * ratios_N
        result: Floats = np.log(backed_off_N / (self._totals_V[firsts] + _CLASS_PSEUDO_COUNT))
        return result


def _couplets(poem: Poem) -> list[tuple[str, str]]:
    return list(zip(poem.lines[::2], poem.lines[1::2], strict=False))


def _facing(couplets: Sequence[tuple[str, str]], characters: Characters) -> tuple[Ints, Ints]:
    """Return the ids of facing characters; couplets of unequal lines have none."""
    ids = characters.ids
    pairs = [
        (ids[one], ids[other])
        for upper, lower in couplets
        if len(upper) == len(lower)
        for one, other in zip(upper, lower, strict=True)
        if one in ids and other in ids
    ]
    return pairs_of([one for one, _ in pairs], [other for _, other in pairs])


class TopicModel:
    """A log-bilinear model of a line given the lines before it.

    p(c | lines before) ∝ p(c | form, line, position) · exp(s · u(c) · mean of v(d)), d the characters of
    the lines before.  u and v are vectors of characters that occur in different lines of one poem.  The
    last character of a line is left out of all counts, because the rhyme decides it.
    """

    def __init__(self, poems: Sequence[Poem], characters: Characters) -> None:
        self._characters = characters
        pairs = (pair for poem in poems for pair in _pairs_between_lines(poem, characters))
        found = truncated_svd(ppmi(count_pairs(pairs, len(characters))), _TOPIC_FEATURES)
        left_VK, values_K, right_VK = found
        self._targets_VK = left_VK * np.sqrt(values_K)
        self._contexts_VK = right_VK * np.sqrt(values_K) * np.float32(_TOPIC_SCALE)
        self._shares_V = characters.shares_V
        self._centered_VK = left_VK - self._shares_V @ left_VK
        self._positions = _position_shares(poems, characters)

    def coherence(self, poem: Poem) -> float | None:
        """Return ln p(line | lines before, form, position) − ln p(line | form, position), in nats.

        The mean over the characters of all lines but the first.  A character that occurs in an earlier
        line is skipped: repetition is no coherence.
        """
        ids = self._characters.ids
        form = form_of(poem.lines)
        seen: set[str] = set()
        context: list[int] = []
        gains = []
        for number, line in enumerate(poem.lines):
            scored = [(i, c) for i, c in enumerate(line[:-1]) if c in ids and c not in seen]
            if context and scored:
                logits_V = self._targets_VK @ self._contexts_VK[context].mean(axis=0)
                weights_V = np.exp(logits_V)
                for i, character in scored:
                    shares_V = self._positions.get((form, number, i), self._shares_V)
                    gains.append(logits_V[ids[character]] - np.log(shares_V @ weights_V))
            seen.update(line)
            context += self._characters.encode(line[:-1])
        return float(np.mean(gains)) if gains else None

    def half_similarity(self, poem: Poem) -> float | None:
        """Return the cosine of the mean vectors of the two halves of a poem, repetitions skipped.

        Vectors are centered on the mean of the text, so two unrelated halves have a cosine about 0.
        """
        middle = len(poem.lines) // 2
        first, second = (
            [i for line in part for i in self._characters.encode(line[:-1])]
            for part in (poem.lines[:middle], poem.lines[middle:])
        )
        new = [i for i in second if i not in set(first)]
        if not first or not new:
            return None
        one_K, other_K = (self._centered_VK[part].mean(axis=0) for part in (first, new))
        lengths = float(np.linalg.norm(one_K) * np.linalg.norm(other_K))
        return float(one_K @ other_K) / lengths if lengths > 1e-9 else None


def _pairs_between_lines(poem: Poem, characters: Characters) -> Iterator[tuple[Ints, Ints]]:
    """Yield the pairs of characters of different lines, in both orders, within windows of lines."""
    for start in range(0, len(poem.lines), WINDOW):
        lines = [characters.encode(line[:-1]) for line in poem.lines[start : start + WINDOW]]
        ids = np.array([i for line in lines for i in line], dtype=np.int64)
        numbers = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
        firsts, seconds = np.nonzero(numbers[:, None] != numbers)
        yield ids[firsts], ids[seconds]


def _position_shares(
    poems: Sequence[Poem], characters: Characters
) -> Mapping[tuple[str, int, int], Floats]:
    """Return the distribution (V,) of each (form, line, position), smoothed with the whole text."""
    found: dict[tuple[str, int, int], list[int]] = {}
    for poem in poems:
        if (form := form_of(poem.lines)) not in FORMS:
            continue
        for number, line in enumerate(poem.lines):
            for i, character in enumerate(line[:-1]):
                if character in characters.ids:
                    found.setdefault((form, number, i), []).append(characters.ids[character])
    shares = {}
    for position, ids in found.items():
        counts_V = np.bincount(ids, minlength=len(characters)).astype(np.float32)
        counts_V += _POSITION_PSEUDO_COUNT * characters.shares_V
        shares[position] = counts_V / counts_V.sum()
    return shares


class TitleModel:
    """A log-bilinear model of the characters of a poem given its title.

    p(c | title) ∝ p(c) · exp(s · u(c) · mean of v(t)), t the characters of the title.
    """

    def __init__(
        self, poems: Sequence[Poem], characters: Characters, titles: Sequence[str] = ()
    ) -> None:
        """`titles` are those among which `retrieval` seeks the right one; the first ones are used."""
        self._characters = characters
        pairs = (_title_pairs(poem, characters) for poem in poems)
        counts_VV = count_pairs(pairs, len(characters))
        left_VK, values_K, right_VK = truncated_svd(ppmi(counts_VV), _TOPIC_FEATURES)
        self._titles_VK = left_VK * np.sqrt(values_K) * np.float32(_TITLE_SCALE)
        self._targets_VK = right_VK * np.sqrt(values_K)
        self._others = list(dict.fromkeys(filter(None, map(title_characters, titles))))[:NUM_TITLES]
        ratios = [self._log_ratios(title) for title in self._others]
        self._ratios_TV = np.array(ratios).reshape(len(ratios), len(characters))

    def _log_ratios(self, title: str) -> Floats:
        """Return ln p(c | title) − ln p(c) of every character, (V,)."""
        ids = self._characters.encode(title)
        if not ids:
            return np.zeros(len(self._characters), dtype=np.float32)
        logits_V = self._targets_VK @ self._titles_VK[ids].mean(axis=0)
        result: Floats = logits_V - np.log(self._characters.shares_V @ np.exp(logits_V))
        return result

    def retrieval(self, poem: Poem) -> float | None:
        """Return the share of `NUM_TITLES` − 1 other titles that fit the poem less than its own.

        1: the right title is first; 0.5: it is no better than a random one.  Ties count half.  None
        for a poem without a title.
        """
        title = title_characters(poem.title)
        ids = self._characters.encode(poem.characters)
        kept = [i for i, other in enumerate(self._others) if other != title][: NUM_TITLES - 1]
        if not title or not ids or not kept:
            return None
        own = float(self._log_ratios(title)[ids].sum())
        others_T = self._ratios_TV[kept][:, ids].sum(axis=1)
        return float((others_T < own).mean() + (others_T == own).mean() / 2)


def _title_pairs(poem: Poem, characters: Characters) -> tuple[Ints, Ints]:
    title = characters.encode("".join(dict.fromkeys(title_characters(poem.title))))
    text = characters.encode("".join(poem.lines[: 2 * WINDOW]))
    firsts, seconds = pairs_of(title, text)
    return np.repeat(firsts, len(seconds)), np.tile(seconds, len(firsts))


class WholePoemModel:
    """The models of a training text that the measures use.

    model = WholePoemModel(train, Characters(train), [poem.title for poem in held_out])
    MEASURES["coherence"].of_poem(model, poem)
    """

    def __init__(
        self, train: Sequence[Poem], characters: Characters, titles: Sequence[str] = ()
    ) -> None:
        """Count pairs of `characters`, at least one; `titles` are those of `TitleModel`."""
        poems = train[:: -(-len(train) // MAX_POEMS)]
        with Stage(tr("counting pairs of characters"), total=3) as stage:
            self.facing = FacingModel(poems, characters)
            stage.advance()
            self.topic = TopicModel(poems, characters)
            stage.advance()
            self.title = TitleModel(poems, characters, titles)
            stage.advance()


@dataclass(frozen=True)
class Measure:
    """A measure of a whole poem; `label` and `description` are English, views translate them."""

    label: str
    description: str
    of_poem: Callable[[WholePoemModel, Poem], float | None]
    given_title: bool = False
    """Whether generated poems have a value only if the model was conditioned on their title."""


MEASURES = {
    "parallelism": Measure(
        tr_noop("parallelism"),
        tr_noop(
            "mutual information of facing characters in the middle couplets of octaves, in nats; "
            "smoothed over classes of characters"
        ),
        of_poem=lambda model, poem: model.facing.parallelism(poem),
    ),
    "coherence": Measure(
        tr_noop("coherence"),
        tr_noop(
            "nats per character that the lines before add to the prediction of a line from its form "
            "and position"
        ),
        of_poem=lambda model, poem: model.topic.coherence(poem),
    ),
    "half_similarity": Measure(
        tr_noop("similar halves"),
        tr_noop("cosine of the topics of the two halves of a poem; low: the poem drifts"),
        of_poem=lambda model, poem: model.topic.half_similarity(poem),
    ),
    "title_retrieval": Measure(
        tr_noop("title retrieval"),
        tr_noop("share of 99 other titles that fit the poem less than its own"),
        of_poem=lambda model, poem: model.title.retrieval(poem),
        given_title=True,
    ),
}
"""The measures by key, in the order of the report."""

"""What a poem can be told to be before it begins: its form, its author, its title.

A model trained with conditions reads `[form] [author] [title …] <bos> text <eos>`, and of the three
whichever were given; without any it reads `<bos> text <eos>` as ever.  A condition is a symbol of the
vocabulary with a learned embedding of its own; a title is `<title>` and its characters.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from poetgen.config import ConditionsConfig
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import Vocabulary
from poetgen.prosody.forms import FORMS, OTHER, form_of

TITLE = "<title>"
MAX_TITLE = 24
"""Characters of a title that count, from its beginning; longer ones are mostly prefaces."""


@dataclass(frozen=True)
class Conditions:
    """What is given; an empty string is not given."""

    form: str = ""
    author: str = ""
    title: str = ""

    def __bool__(self) -> bool:
        return bool(self.form or self.author or self.title)


NO_CONDITIONS = Conditions()


def conditions_of(poem: Poem) -> Conditions:
    """All that is known of a poem."""
    form = form_of(poem.lines)
    return Conditions("" if form == OTHER else form, poem.author, poem.title)


def only(conditions: Conditions, kinds: Iterable[str]) -> Conditions:
    """`conditions` with those not in `kinds` ("form", "author", "title") left out."""
    kept = set(kinds)
    return replace(
        conditions, **{kind: "" for kind in ("form", "author", "title") if kind not in kept}
    )


def condition_symbols(poems: Iterable[Poem], config: ConditionsConfig) -> list[str]:
    """The symbols that the vocabulary needs for the conditions that `config` trains with.

    Authors need `author_min_poems` among `poems`; the most prolific come first.
    """
    symbols = [_form_symbol(form) for form in FORMS] if config.form else []
    if config.title:
        symbols.append(TITLE)
    if config.author:
        counts = Counter(poem.author for poem in poems if poem.author)
        names = [name for name, n in counts.items() if n >= config.author_min_poems]
        symbols += map(_author_symbol, sorted(names, key=lambda name: (-counts[name], name)))
    return symbols


def encode_conditions(conditions: Conditions, vocab: Vocabulary) -> list[int]:
    """The ids that stand before `<bos>`: what the vocabulary has no symbol for is left out."""
    symbols = (_form_symbol(conditions.form), _author_symbol(conditions.author))
    ids = [vocab.ids[symbol] for symbol in symbols if symbol in vocab.ids]
    title = title_characters(conditions.title)[:MAX_TITLE]
    if title and TITLE in vocab.ids:
        ids += [vocab.ids[TITLE], *vocab.encode(title)]
    return ids


def title_characters(title: str) -> str:
    """The Han characters of a title: marks in titles are editors' work."""
    return "".join(filter(is_hanzi, title))


def drop_at_random(
    conditions: Iterable[Conditions], config: ConditionsConfig, seed: int, epoch: int
) -> Iterator[Conditions]:
    """Each poem's conditions with those left out that (seed, epoch) drops.

    Each is given to the share of poems that `config` says, whatever the others.
    """
    chance = random.Random(f"{seed}:{epoch}:conditions")
    for one in conditions:
        given = (chance.random() < rate for rate in (config.form, config.author, config.title))
        form, author, title = given
        yield Conditions(
            one.form if form else "", one.author if author else "", one.title if title else ""
        )


def unmet(conditions: Conditions, vocab: Vocabulary) -> list[str]:
    """What of `conditions` a model with this vocabulary cannot take in, a sentence each."""
    faults = []
    if conditions.form and _form_symbol(conditions.form) not in vocab.ids:
        faults.append(f"the model was not trained with the form {conditions.form}: not given to it")
    if conditions.author and _author_symbol(conditions.author) not in vocab.ids:
        known = known_authors(vocab)
        faults.append(
            f"the model does not know the author {conditions.author}: left out; "
            + _alike(conditions.author, known)
            if known
            else "the model was not trained with authors: the author is left out"
        )
    if conditions.title and TITLE not in vocab.ids:
        faults.append("the model was not trained with titles: the title is left out")
    elif conditions.title:
        faults += _unmet_of_title(conditions.title, vocab)
    return faults


def _unmet_of_title(title: str, vocab: Vocabulary) -> Iterator[str]:
    characters = title_characters(title)
    given = characters[:MAX_TITLE]
    if not characters:
        yield f"the title {title} has no Han character in it: left out"
    if given != characters:
        yield f"the title is long: the model is given its beginning, {given}"
    if unknown := "".join(c for c in given if c not in vocab.ids):
        yield f"the model does not know {unknown} of the title: read as unknown"


def known_authors(vocab: Vocabulary) -> list[str]:
    """The authors that a model with this vocabulary knows, of each training the most prolific first."""
    return [s[len(_AUTHOR) : -1] for s in vocab.symbols if s.startswith(_AUTHOR)]


def known_forms(vocab: Vocabulary) -> list[str]:
    """The forms that a model with this vocabulary can be told."""
    return [form for form in FORMS if _form_symbol(form) in vocab.ids]


_AUTHOR = "<author:"


def _alike(author: str, known: Sequence[str]) -> str:
    near = get_close_matches(author, known, n=1)
    return f"did you mean {near[0]}?" if near else "poetgen info --json lists those it knows"


def _form_symbol(form: str) -> str:
    return f"<form:{form}>"


def _author_symbol(author: str) -> str:
    return f"{_AUTHOR}{author}>"

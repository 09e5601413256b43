"""The conditions of a poem: form, author and title, as tokens before `<bos>`.

A model trained with conditions reads `[form] [author] [title …] <bos> text <eos>`; each of the three
is optional.  Form and author are vocabulary symbols with their own learned embeddings; a title is
`<title>` and its characters.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import Vocabulary
from poetgen.language import tr
from poetgen.prosody.forms import FORMS, OTHER, form_of

if TYPE_CHECKING:  # pydantic takes 0.15 s to import: not for the options of the command line
    from poetgen.config import ConditionsConfig

TITLE = "<title>"
MAX_TITLE = 24
"""Characters of a title that the model reads; longer titles are mostly prefaces."""


@dataclass(frozen=True)
class Conditions:
    """The conditions of one poem; an empty string is no condition.

    >>> restrict_to(Conditions("五绝", "李白"), ("author",))
    Conditions(form='', author='李白', title='')
    """

    form: str = ""
    author: str = ""
    title: str = ""

    def __bool__(self) -> bool:
        return bool(self.form or self.author or self.title)


NO_CONDITIONS = Conditions()


def conditions_of(poem: Poem) -> Conditions:
    """Return all conditions that apply to a poem.

    >>> conditions_of(Poem("山月，云归。", "秋夜"))
    Conditions(form='', author='', title='秋夜')
    """
    form = form_of(poem.lines)
    return Conditions("" if form == OTHER else form, poem.author, poem.title)


def restrict_to(conditions: Conditions, names: Iterable[str]) -> Conditions:
    """Return `conditions` with only the fields in `names` ("form", "author", "title") set."""
    dropped = {field.name for field in fields(Conditions)}.difference(names)
    return replace(conditions, **dict.fromkeys(dropped, ""))


def condition_symbols(poems: Iterable[Poem], config: "ConditionsConfig") -> list[str]:
    """Return the vocabulary symbols for the conditions that `config` enables.

    Authors need `author_min_poems` among `poems`; the most prolific come first.
    """
    symbols = [_form_symbol(form) for form in FORMS] if config.form_rate else []
    if config.title_rate:
        symbols.append(TITLE)
    if config.author_rate:
        counts = Counter(poem.author for poem in poems if poem.author)
        names = [name for name, n in counts.items() if n >= config.author_min_poems]
        symbols += map(_author_symbol, sorted(names, key=lambda name: (-counts[name], name)))
    return symbols


def encode_conditions(conditions: Conditions, vocab: Vocabulary) -> list[int]:
    """Return the ids that precede `<bos>`; conditions without a symbol are left out."""
    symbols = (_form_symbol(conditions.form), _author_symbol(conditions.author))
    ids = [vocab.ids[symbol] for symbol in symbols if symbol in vocab.ids]
    title = title_characters(conditions.title)[:MAX_TITLE]
    if title and TITLE in vocab.ids:
        ids += [vocab.ids[TITLE], *vocab.encode(title)]
    return ids


def title_characters(title: str) -> str:
    """Return the Han characters of a title; marks in titles come from editors.

    >>> title_characters("秋夜，其二")
    '秋夜其二'
    """
    return "".join(filter(is_hanzi, title))


def sample_conditions(
    conditions: Iterable[Conditions], config: "ConditionsConfig", seed: int, epoch: int
) -> Iterator[Conditions]:
    """Yield a random subset of each poem's conditions, determined by (seed, epoch).

    Form, author and title are kept independently at the rates in `config`.
    """
    rng = random.Random(f"{seed}:{epoch}:conditions")
    rates = (config.form_rate, config.author_rate, config.title_rate)
    for one in conditions:
        kept = [rng.random() < rate for rate in rates]
        yield Conditions(one.form * kept[0], one.author * kept[1], one.title * kept[2])


def unsupported(conditions: Conditions, vocab: Vocabulary) -> list[str]:
    """Return a message for each of the `conditions` that the vocabulary cannot express."""
    faults = []
    if conditions.form and _form_symbol(conditions.form) not in vocab.ids:
        faults.append(
            tr(
                "the model was not trained with the form {form}: the form is left out",
                form=conditions.form,
            )
        )
    if conditions.author and _author_symbol(conditions.author) not in vocab.ids:
        faults.append(_unsupported_author(conditions.author, known_authors(vocab)))
    if conditions.title and TITLE not in vocab.ids:
        faults.append(tr("the model was not trained with titles: the title is left out"))
    elif conditions.title:
        faults += _unsupported_title(conditions.title, vocab)
    return faults


def _unsupported_author(author: str, known: Sequence[str]) -> str:
    if not known:
        return tr("the model was not trained with authors: the author is left out")
    if near := get_close_matches(author, known, n=1):
        return tr(
            "the model was not trained with the author {author}: the author is left out; "
            "did you mean {near}?",
            author=author,
            near=near[0],
        )
    return tr(
        "the model was not trained with the author {author}: the author is left out; "
        "poetgen info --json lists the known authors",
        author=author,
    )


def _unsupported_title(title: str, vocab: Vocabulary) -> Iterator[str]:
    characters = title_characters(title)
    given = characters[:MAX_TITLE]
    if not characters:
        yield tr("the title {title} has no Han character: the title is left out", title=title)
    if given != characters:
        yield tr("the title is long: only its beginning is used, {given}", given=given)
    if unknown := "".join(c for c in given if c not in vocab.ids):
        yield tr(
            "not in the model's vocabulary, read as unknown in the title: {unknown}",
            unknown=unknown,
        )


def known_authors(vocab: Vocabulary) -> list[str]:
    """Return the authors in the vocabulary, the most prolific of each training run first."""
    return [s[len(_AUTHOR) : -1] for s in vocab.symbols if s.startswith(_AUTHOR)]


def known_forms(vocab: Vocabulary) -> list[str]:
    """Return the forms in the vocabulary."""
    return [form for form in FORMS if _form_symbol(form) in vocab.ids]


_AUTHOR = "<author:"


def _form_symbol(form: str) -> str:
    return f"<form:{form}>"


def _author_symbol(author: str) -> str:
    return f"{_AUTHOR}{author}>"

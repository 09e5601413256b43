"""Turn a prompt as people type it into the text that the model continues.  Does not import torch."""

import unicodedata
from dataclasses import dataclass

from poetgen.data.normalize import normalize
from poetgen.data.vocab import Vocabulary
from poetgen.errors import UsageError, shorten
from poetgen.language import tr
from poetgen.prosody.marks import MARKS

_MAX_NAMED = 10
"""Characters that a warning names."""


@dataclass(frozen=True)
class Prompt:
    """The beginning of a poem in the corpus's spelling; empty if there is none."""

    text: str = ""
    warnings: tuple[str, ...] = ()
    """Warnings for the user, such as characters outside the vocabulary."""


NO_PROMPT = Prompt()


def prepare_prompt(text: str, vocab: Vocabulary) -> Prompt:
    """Return `text` normalized: width, script, variants and marks as in the corpus.

    Characters without an id stay in the poem and are read as `<unk>`; a warning names each.

    Raises:
        UsageError: no character is left, or none that the vocabulary has.
    """
    normal = normalize(text)
    if not normal.strip(MARKS):
        raise UsageError(
            tr("the prompt {prompt} has no characters, only marks", prompt=shorten(normal))
            if normal
            else tr("the prompt is empty"),
            tr("Give the beginning of a poem, such as 床前, or leave the prompt out."),
        )
    unknown = set(vocab.unknown(normal))
    if all(c in unknown or c in MARKS for c in normal):
        raise UsageError(
            tr(
                "the model's vocabulary has no character of the prompt {prompt}",
                prompt=shorten(normal),
            ),
            tr("Begin with at least one Chinese character of classical verse, such as 床前."),
        )
    return Prompt(normal, warn_of_unknown(normal, vocab) if unknown else ())


def warn_of_unknown(text: str, vocab: Vocabulary) -> tuple[str, ...]:
    """Return a warning that names the characters of `text` without an id, if there are any."""
    unknown = vocab.unknown(text)
    names = ", ".join(f"{c} ({_name(c)})" for c in unknown[:_MAX_NAMED])
    if not names:
        return ()
    if len(unknown) > _MAX_NAMED:
        names += ", …"
    return (tr("not in the model's vocabulary, kept but read as unknown: {names}", names=names),)


def _name(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'unnamed')}"

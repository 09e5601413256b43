"""A prompt as people type it → what the model is given.  Does not import torch."""

import unicodedata
from dataclasses import dataclass

from poetgen.data.normalise import normalise
from poetgen.data.poem import MARKS
from poetgen.data.vocab import Vocabulary
from poetgen.errors import UsageError


@dataclass(frozen=True)
class Prompt:
    """The beginning of a poem, in the corpus' spelling; empty where the model is to begin by itself."""

    text: str = ""
    warnings: tuple[str, ...] = ()
    """What the user should know, such as characters that the model does not."""


NO_PROMPT = Prompt()


def prepare_prompt(text: str, vocab: Vocabulary) -> Prompt:
    """`text` normalised: width, script, variants and marks as in the corpus.

    Characters without an id stay in the poem and are fed to the model as `<unk>`; each is named in a
    warning.

    Raises:
        UsageError: nothing is left of it, or nothing that the model knows.
    """
    normal = normalise(text)
    if not normal.strip(MARKS):
        raise UsageError(
            "the prompt is empty" if not normal else f"the prompt {normal} has no character in it",
            "Give the beginning of a poem, such as 床前, or leave the prompt out altogether.",
        )
    unknown = vocab.unknown(normal)
    if all(c in unknown or c in MARKS for c in normal):
        raise UsageError(
            f"the model knows no character of the prompt {normal}",
            "Begin with at least one Chinese character of classical verse, such as 床前.",
        )
    return Prompt(normal, warn_of_unknown(normal, vocab))


def warn_of_unknown(text: str, vocab: Vocabulary) -> tuple[str, ...]:
    """A warning that names the characters of `text` without an id; none where all have one."""
    names = ", ".join(f"{c} ({_name(c)})" for c in vocab.unknown(text))
    return (f"not in the model's vocabulary, kept but read as unknown: {names}",) if names else ()


def _name(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'unnamed')}"

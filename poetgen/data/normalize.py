"""The normalization applied to the corpus, to prompts and to poems to be scored.

Folds width, script, variant characters and punctuation, and drops nothing that carries meaning.
`clean` decides which characters a *poem* may contain.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache, partial
from operator import methodcaller

import opencc

from poetgen.data.variants import VARIANTS
from poetgen.prosody.marks import MARKS

# NFKC runs first, so full-width forms are ASCII here.  Only pauses (，) and stops (。) are
# distinguished; ？ and ！ are kept.
_MARK_FOLDS = str.maketrans(",、:;.｡?!—─", "，，，。。。？！，，")
_SILENT = re.compile(r"[「」『』“”‘’《》〈〉\"'·•]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_REPEATED_MARKS = re.compile(f"([{MARKS}])[{MARKS}]+")


# Loading the OpenCC tables is slow, so each converter is created once.
_converter = lru_cache(maxsize=2)(opencc.OpenCC)


def fold_marks(text: str) -> str:
    """Apply NFKC, drop white space, quotation marks and middle dots, fold pauses to ，and stops to 。.

    A lone surrogate, which UTF-8 cannot encode, becomes U+FFFD.

    >>> fold_marks("「春,夏.」")
    '春，夏。'
    """
    wide = "".join(unicodedata.normalize("NFKC", _SURROGATES.sub("\ufffd", text)).split())
    return _SILENT.sub("", wide).translate(_MARK_FOLDS)


collapse_marks = partial(_REPEATED_MARKS.sub, r"\1")
"""Reduce each run of marks to its first mark: 春眠？。 → 春眠？."""


def simplify(text: str) -> str:
    """Convert traditional to simplified characters, phrase by phrase: 乾坤 keeps its 乾."""
    return str(_converter("t2s").convert(text))


fold_variants = methodcaller("translate", VARIANTS)
"""Replace rare variant characters by the usual one: 隄 → 堤."""


STEPS: dict[str, Callable[[str], str]] = {
    "mark_folded": fold_marks,
    "mark_doubled": collapse_marks,
    "simplified": simplify,
    "variant_folded": fold_variants,
}
"""The steps of `normalize` in order, keyed by their name in the corpus report."""


def normalize(text: str) -> str:
    """Return `text` in the spelling of the corpus.  Idempotent.

    >>> normalize("舉頭望明月,低頭思故鄉.")
    '举头望明月，低头思故乡。'
    """
    return normalize_by_steps(text)[0]


def normalize_by_steps(text: str) -> tuple[str, list[str]]:
    """Return `normalize(text)` and the names of the `STEPS` that changed something.

    A folded character can complete a phrase that OpenCC converts as a whole (沈唫 → 沈吟 → 沉吟), so
    the steps repeat until nothing changes.
    """
    changed: dict[str, None] = {}
    while True:
        start = text
        for name, step in STEPS.items():
            before, text = text, step(text)
            if text != before:
                changed[name] = None
        if text == start:
            return text, list(changed)


def to_traditional(text: str) -> str:
    """Return `text` in traditional characters (`--script traditional`)."""
    return str(_converter("s2t").convert(text))

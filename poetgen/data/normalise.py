"""One spelling for everything: the corpus, a prompt and a poem to be scored pass through `normalise`.

Folds width, script, variant characters and punctuation; drops nothing that carries meaning.
Which characters a *poem* may hold is decided elsewhere (`clean`).
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import opencc

from poetgen.data.poem import MARKS
from poetgen.data.variants import VARIANTS

# NFKC runs first, so the full-width forms have become ASCII here.  A reader hears a pause or a stop
# and nothing finer: ，for a pause, 。 for a stop, ？ and ！ kept.
_MARK_FOLDS = str.maketrans(",、:;.｡?!—─", "，，，。。。？！，，")
_SILENT = re.compile(r"[「」『』“”‘’《》〈〉\"'·•]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_REPEATED_MARKS = re.compile(f"([{MARKS}])[{MARKS}]+")


@lru_cache(maxsize=2)
def _converter(direction: str) -> opencc.OpenCC:
    # Reading OpenCC's tables takes a moment, so each direction is made once.
    return opencc.OpenCC(direction)


def fold_marks(text: str) -> str:
    """NFKC and white space dropped; pauses become ，, stops 。; quotation marks and middle dots go.

    A lone surrogate, which cannot be written out, becomes U+FFFD.
    """
    wide = "".join(unicodedata.normalize("NFKC", _SURROGATES.sub("\ufffd", text)).split())
    return _SILENT.sub("", wide).translate(_MARK_FOLDS)


def single_marks(text: str) -> str:
    """Runs of marks cut to the first one: `？。` is ？."""
    return _REPEATED_MARKS.sub(r"\1", text)


def simplify(text: str) -> str:
    """Traditional to simplified over the whole text, for OpenCC knows phrases: 乾坤 keeps its 乾."""
    return str(_converter("t2s").convert(text))


def fold_variants(text: str) -> str:
    """Rare variant characters to the usual one: 隄 → 堤."""
    return text.translate(VARIANTS)


STEPS: dict[str, Callable[[str], str]] = {
    "mark_folded": fold_marks,
    "mark_doubled": single_marks,
    "simplified": simplify,
    "variant_folded": fold_variants,
}
"""The steps of `normalise` in their order, by the name under which the corpus report counts them."""


def normalise(text: str) -> str:
    """`text` in the corpus' own spelling; applying it again changes nothing."""
    return normalise_by_steps(text)[0]


def normalise_by_steps(text: str) -> tuple[str, list[str]]:
    """`normalise(text)` and the names of the `STEPS` that changed something.

    A folded character can complete a phrase that OpenCC converts as a whole (沈唫 → 沈吟 → 沉吟), so
    the steps are repeated until nothing changes: almost always once more, to find that out.
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
    """`text` in traditional characters, for readers who prefer them (`--script traditional`)."""
    return str(_converter("s2t").convert(text))

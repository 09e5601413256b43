"""Poems to train on and to score: from the Tang corpus if it is there, else random characters.

The lengths matter, not the text.  Random poems have the forms of the Tang corpus at its frequencies.
"""

import os
import random
from pathlib import Path

from benchmarks.lines import ROOT, Settings
from poetgen.data.corpus import load_corpus
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import Vocabulary

_NUM_FILES = 3
_LINES_AND_LENGTHS = {(8, 5): 29, (4, 7): 21, (8, 7): 16, (4, 5): 8}
_OTHER_WEIGHT = 26
"""Percentage of poems in no form: 12 to 28 lines here."""


def some_poems(vocab: Vocabulary, settings: Settings) -> list[Poem]:
    """Return a few thousand poems, the same at every call; with `settings.quick` random ones."""
    if settings.quick:
        return random_poems(vocab, 100)
    folder = Path(os.environ.get("POETGEN_CORPUS") or ROOT.parent / "shared" / "corpus" / "tang")
    files = sorted(folder.glob("*.json"))
    if not files:
        return random_poems(vocab, 3000)
    step = max(1, len(files) // _NUM_FILES)
    return load_corpus(files[step // 2 :: step][:_NUM_FILES]).poems


def random_poems(vocab: Vocabulary, num: int) -> list[Poem]:
    """Return `num` poems of random characters of `vocab` with the lengths of real ones."""
    draw = random.Random(1)
    characters = [symbol for symbol in vocab.symbols if len(symbol) == 1 and is_hanzi(symbol)]
    shapes = [*_LINES_AND_LENGTHS, None]
    weights = [*_LINES_AND_LENGTHS.values(), _OTHER_WEIGHT]
    poems = []
    for shape in draw.choices(shapes, weights, k=num):
        num_lines, length = shape or (draw.randrange(12, 30, 2), draw.choice((5, 5, 7)))
        lines = ("".join(draw.choices(characters, k=length)) for _ in range(num_lines))
        poems.append(Poem("".join(line + "，。"[row % 2] for row, line in enumerate(lines))))
    return poems

"""The punctuation marks of a cleaned poem, and its lines between them."""

MARKS = "，。？！"
"""The only marks in a cleaned poem; `normalize` folds all others to these or drops them."""

STOPS = "。？！"
"""The marks that end a sentence."""


def split_lines(text: str) -> tuple[str, ...]:
    """Return the lines of a text: the non-empty stretches between marks.

    >>> split_lines("床前明月光，疑是地上霜。")
    ('床前明月光', '疑是地上霜')
    """
    for mark in MARKS[1:]:
        text = text.replace(mark, MARKS[0])
    return tuple(line for line in text.split(MARKS[0]) if line)

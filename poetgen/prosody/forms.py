"""The four short forms of Tang verse (quatrains and octaves): their shape and their line patterns.

Source: the four line types of regulated verse (近体诗) and their two orders, as in Wang Li, 诗词格律.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

LEVEL = "平"
"""The level tone; the other three (上去入) are 仄, oblique."""

OTHER = "other"
"""The name that `form_of` gives to a poem of any other shape."""

LINE_TYPES = {"a": "仄仄平平仄", "A": "仄仄仄平平", "b": "平平平仄仄", "B": "平平仄仄平"}
"""The types of five-character lines; those named by a capital end level and carry the rhyme."""

LICENSED = {"b": "平平仄平仄"}
"""Permitted variants: positions 3 and 4 swapped, so position 3 is fixed too."""

_ORDERS = ("aBbA", "bAaB")


@dataclass(frozen=True)
class Form:
    """A form: `num_lines` lines of `line_length` characters each."""

    name: str
    alias: str
    num_lines: int
    line_length: int

    @property
    def orders(self) -> tuple[str, ...]:
        """The permitted sequences of line types, one letter per line.

        Each occurs without and with a rhyme in line 1; the rhyme makes line 1 end level.
        """
        whole = ["".join(islice(cycle(order), self.num_lines)) for order in _ORDERS]
        return tuple(first + order[1:] for order in whole for first in (order[0], order[0].upper()))


FORMS = {
    form.name: form
    for form in (
        Form("五绝", "wujue", 4, 5),
        Form("七绝", "qijue", 4, 7),
        Form("五律", "wulv", 8, 5),
        Form("七律", "qilv", 8, 7),
    )
}
"""The forms by name: quatrains (绝) and octaves (律) of five or seven characters per line."""


def extended(pattern: str, length: int) -> str:
    """Return a five-character pattern, extended to seven by two characters of the opposite tone.

    >>> extended(LINE_TYPES["a"], 7)
    '平平仄仄平平仄'
    """
    return pattern if length == 5 else ("仄仄" if pattern[1] == LEVEL else "平平") + pattern


def form_of(lines: Sequence[str]) -> str:
    """Return the name of the form that has the shape of `lines`, or `OTHER`.

    >>> form_of(["白日依山尽", "黄河入海流", "欲穷千里目", "更上一层楼"])
    '五绝'
    """
    lengths = {len(line) for line in lines}
    for form in FORMS.values():
        if len(lines) == form.num_lines and lengths == {form.line_length}:
            return form.name
    return OTHER


def find_form(name: str) -> Form | None:
    """Return the form with this Chinese name or alias (wujue, qijue, wulv, qilv), or None."""
    return next((form for form in FORMS.values() if name in (form.name, form.alias)), None)

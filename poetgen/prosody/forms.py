"""The four short forms of Tang verse, by their number of lines and of characters in a line."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """A form of so many equal lines."""

    name: str
    num_lines: int
    line_length: int


FORMS = {
    form.name: form
    for form in (Form("五绝", 4, 5), Form("七绝", 4, 7), Form("五律", 8, 5), Form("七律", 8, 7))
}
"""The forms by name: quatrains (绝) and octaves (律) of five or seven characters a line."""

OTHER = "other"
"""What `form_of` calls a poem that has none of the four shapes."""


def form_of(lines: Sequence[str]) -> str:
    """The name of the form that `lines` have by shape alone, or `OTHER`."""
    lengths = {len(line) for line in lines}
    for form in FORMS.values():
        if len(lines) == form.num_lines and lengths == {form.line_length}:
            return form.name
    return OTHER

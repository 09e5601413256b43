"""`poetgen.prosody.forms`: the four forms and other shapes."""

import pytest

from poetgen.prosody.forms import FORMS, OTHER, form_of


@pytest.mark.parametrize(
    ("name", "num_lines", "line_length"),
    [("五绝", 4, 5), ("七绝", 4, 7), ("五律", 8, 5), ("七律", 8, 7)],
)
def test_form_of_each_form(name: str, num_lines: int, line_length: int) -> None:
    form = FORMS[name]
    assert (form.name, form.num_lines, form.line_length) == (name, num_lines, line_length)
    assert form_of(["山" * line_length] * num_lines) == name


def test_forms_are_four() -> None:
    assert list(FORMS) == ["五绝", "七绝", "五律", "七律"]
    assert OTHER not in FORMS


@pytest.mark.parametrize(
    "lengths",
    [
        [],
        [5],
        [5] * 3,
        [5] * 5,
        [5] * 12,
        [7] * 6,
        [4] * 4,
        [6] * 8,
        [5, 5, 5, 7],
        [7, 7, 7, 7, 5, 5, 5, 5],
        [5, 5, 5, 5, 5, 5, 5, 0],
    ],
)
def test_form_of_other_shapes(lengths: list[int]) -> None:
    assert form_of(["山" * length for length in lengths]) == OTHER

"""The table of runs."""

import pytest
from rich.console import Console

from poetgen.views.run_table import run_table
from tests.views.histories import history


@pytest.mark.parametrize("width", [80, 40])
def test_table_has_a_row_per_run(width: int) -> None:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(run_table([history("base-20250131-120000"), history("春")]))
    shown = capture.get()
    assert "…" not in shown
    if width == 80:
        assert shown.splitlines()[-1].split() == [
            "春",
            "2",
            "40",
            "12.2",
            "7.4",
            "(epoch",
            "2)",
            "4",
            "min",
        ]

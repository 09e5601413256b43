"""Progress bars that are shown without a terminal, and recorded."""

from typing import Any, ClassVar

import pytest
from tqdm import tqdm


class Recorder(tqdm):  # type: ignore[type-arg]
    """A bar that is enabled without a terminal."""

    bars: ClassVar[list["Recorder"]] = []

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"disable": False})
        self.bars.append(self)


def record(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    """Show all bars from now on; return the list that they are added to."""
    monkeypatch.setattr(Recorder, "bars", [])
    monkeypatch.setattr("poetgen.progress.tqdm", Recorder)
    return Recorder.bars

"""Progress of long work: a bar on stderr if it is a terminal, else a log message per minute."""

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import ClassVar, TypeVar

from tqdm import tqdm

from poetgen.language import tr
from poetgen.terminal import visible

T = TypeVar("T")

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 60.0
"""Time between two messages."""
_DELAY_SECONDS = 2
"""Time before a bar appears: short work needs none."""
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]"


class Stage:
    """A named part of long work, with its progress on stderr.

    with Stage(tr("reading poems"), len(files)) as stage:
        for file in files:
            stage.advance()
    """

    # Shared by all stages, so that a series of short stages is not silent for minutes.
    _last_event: ClassVar[float] = -math.inf
    _last_message: ClassVar[float] = -math.inf

    def __init__(self, name: str, total: int, *, is_bytes: bool = False) -> None:
        self._name = name
        self._total = total
        self._num_done = 0
        self._start = now = time.monotonic()
        if now - Stage._last_event >= INTERVAL_SECONDS:  # no work went on: other work begins here
            Stage._last_message = now
        Stage._last_event = now
        style = {"unit": "B", "unit_scale": True} if is_bytes else {"bar_format": _BAR}
        self._bar = tqdm(
            desc=visible(name),
            total=total,
            leave=False,
            disable=None,
            delay=_DELAY_SECONDS,
            **style,
        )

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def advance(self, num: int = 1) -> None:
        """Count `num` more items (or bytes) of the total as done."""
        self._num_done += num
        self._bar.update(num)
        Stage._last_event = now = time.monotonic()
        num_left = self._total - self._num_done
        is_due = now - Stage._last_message >= INTERVAL_SECONDS
        if self._bar.disable and is_due and num_left > 0:
            Stage._last_message = now
            seconds_left = (now - self._start) / max(1, self._num_done) * num_left
            logger.info(
                tr(
                    "{name}: {done:,} of {total:,}, about {time} left",
                    name=self._name,
                    done=self._num_done,
                    total=self._total,
                    time=format_duration(seconds_left),
                )
            )


def track(items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, and show the stage `name` with one item done after each.

    `total` is the number of items where they have no length.
    """
    if total is None:
        assert isinstance(items, Sized)
        total = len(items)
    with Stage(name, total) as stage:
        for item in items:
            yield item
            stage.advance()


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units that matter.

    >>> format_duration(45), format_duration(3300), format_duration(11100)
    ('45 s', '55 min', '3 h 05 min')
    """
    if seconds < 90:
        return tr("{seconds:.0f} s", seconds=seconds)
    minutes = round(seconds / 60)
    if minutes < 90:
        return tr("{minutes} min", minutes=minutes)
    return tr("{hours} h {minutes:02} min", hours=minutes // 60, minutes=minutes % 60)

"""Progress of long work: a bar on stderr if it is a terminal, else a log message per minute."""

import logging
import math
import time
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import ClassVar, TypeVar

from tqdm import tqdm

from poetgen.language import tr

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
            desc=name, total=total, leave=False, disable=None, delay=_DELAY_SECONDS, **style
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


def track(items: Collection[T], name: str) -> Iterator[T]:
    """Yield `items`, and show the stage `name` with one item done after each."""
    with Stage(name, len(items)) as stage:
        for item in items:
            yield item
            stage.advance()


def format_duration(seconds: float) -> str:
    """Return a time to expect, rounded up: tens of seconds, minutes or half hours.

    >>> format_duration(41), format_duration(170), format_duration(8000)
    ('50 s', '3 min', '2.5 h')
    """
    if seconds <= 90:
        return tr("{num} s", num=10 * max(1, math.ceil(seconds / 10)))
    if seconds <= 90 * 60:
        return tr("{num} min", num=math.ceil(seconds / 60))
    return tr("{num:g} h", num=math.ceil(seconds / 1800) / 2)

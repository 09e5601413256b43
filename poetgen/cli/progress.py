"""Progress of a job on stderr: a bar on a terminal, elsewhere a line per minute, and an estimate."""

import logging
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from poetgen.language import tr
from poetgen.progress import format_duration

if TYPE_CHECKING:
    from poetgen.batch.job import JobProgress

logger = logging.getLogger(__name__)

_QUIET_SECONDS = 2.0
"""Time before the bar and the estimate: a short job needs neither."""
_LONG_SECONDS = 10.0
"""Time that a job must take for its estimate to be printed."""
_LINE_SECONDS = 60.0
"""Time between two lines where there is no bar."""


def show_progress(
    job: Iterable["JobProgress"],
    total: int | None,
    *,
    is_hidden: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> "JobProgress":
    """Run a job of `total` poems (None: unknown) to its end; return its last progress.

    `is_hidden`: show nothing.
    """
    from tqdm import tqdm

    start = last_line = clock()
    has_bar = sys.stderr.isatty() and not is_hidden
    progress, is_estimated = None, False
    with tqdm(
        total=total, unit=tr(" poems"), leave=False, delay=_QUIET_SECONDS, disable=not has_bar
    ) as bar:
        for progress in job:
            bar.update(progress.num_done - bar.n)
            if is_hidden:
                continue
            now = clock()
            left = _seconds_left(progress, total, now - start)
            if not is_estimated and left is not None and now - start >= _QUIET_SECONDS:
                is_estimated = True
                if now - start + left >= _LONG_SECONDS and total is not None:
                    bar.clear()
                    time_text = format_duration(now - start + left)
                    num = total - progress.num_kept
                    logger.info(tr("about {time} for {num:,} poems", time=time_text, num=num))
            if not has_bar and now - last_line >= _LINE_SECONDS:
                last_line = now
                logger.info(_line(progress.num_done, total, left))
    assert progress is not None, "a job has poems, or raises"
    return progress


def _seconds_left(progress: "JobProgress", total: int | None, seconds: float) -> float | None:
    """Return the expected time until the end of a job that has run for `seconds`; None: unknown."""
    num_generated = progress.num_done - progress.num_kept
    if total is None or not num_generated:
        return None
    return (total - progress.num_done) * seconds / num_generated


def _line(num: int, total: int | None, left: float | None) -> str:
    if total is None:
        return tr("{num:,} poems are done", num=num)
    if left is None:
        return tr("{num:,} of {total:,} poems are done", num=num, total=total)
    return tr(
        "{num:,} of {total:,} poems are done, about {time} left",
        num=num,
        total=total,
        time=format_duration(left),
    )

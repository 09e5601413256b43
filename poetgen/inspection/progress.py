"""Progress of slow work: a bar on a terminal, a log message every few seconds elsewhere."""

import logging
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TypeVar

from tqdm import tqdm

from poetgen.language import tr

INTERVAL_SECONDS = 5.0
"""Time between two log messages; work that takes less is not logged."""

Item = TypeVar("Item")

logger = logging.getLogger(__name__)


def track(items: Iterable[Item], total: int, stage: str) -> Iterator[Item]:
    """Yield `items`, `total` in number, and show how many are done and an estimate of the time left.

    The first item may take longer than the others; it does not count in the estimate.
    """
    first = last = monotonic()
    bar = tqdm(items, total=total, desc=stage, unit="", leave=False, disable=None)
    for done, item in enumerate(bar, start=1):
        now = monotonic()
        if done == 1:
            first = now
        elif bar.disable and done < total and now - last >= INTERVAL_SECONDS:
            last = now
            text = tr(
                "{stage}: {done} of {total}, about {seconds:.0f} s left",
                stage=stage,
                done=done,
                total=total,
                seconds=(now - first) / (done - 1) * (total - done),
            )
            logger.info(text)
        yield item

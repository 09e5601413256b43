"""Durations as short texts.  Does not import torch."""

from poetgen.language import tr


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

"""Histories of runs for the tests of the views."""

from pathlib import Path

from poetgen.training.history import RunHistory, StepEntry, ValidationEntry


def history(name: str, *, num_steps: int = 40, epochs: int = 2) -> RunHistory:
    """A run whose loss falls from 9 nats to 1."""
    each = num_steps // max(1, epochs)
    steps = [
        StepEntry(i, (i - 1) // each + 1, 9 - 8 * i / num_steps, 1e-3, i / each, 1000 * i)
        for i in range(1, num_steps + 1)
    ]
    validations = [
        ValidationEntry(each * e, e, 5.0 / e, 4.0 / e, 125.0, 1000 * each * e)
        for e in range(1, epochs + 1)
    ]
    return RunHistory(name, Path(name), steps, validations)

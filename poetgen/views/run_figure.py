"""Training curves of runs as a drawing: perplexity and learning rate, several runs over one axis."""

from collections.abc import Sequence

from poetgen.language import tr
from poetgen.training.history import Axis, Point, RunHistory, Series
from poetgen.views.charts import Curve, line_chart, side_by_side
from poetgen.views.svg import color

_MAX_POINTS = 100
"""Points of a curve; more are averaged in groups, which also smooths the loss of single batches."""
_MAX_NAME = 30
"""Characters of a run's name in the legend."""
_WARMUP = 0.1
"""Share of a run whose training perplexity, far above the rest, does not set the axis."""


def run_figure(histories: Sequence[RunHistory], axis: Axis) -> str:
    """Return both charts as one drawing."""
    charts = [perplexity_chart(histories, axis), learning_rate_chart(histories, axis)]
    return side_by_side(tr("Training curves"), charts)


def perplexity_chart(histories: Sequence[RunHistory], axis: Axis) -> str:
    """Return the chart of training perplexity (thin) and validation perplexity (dots)."""
    curves, ys = [], []
    for index, history in enumerate(histories):
        series = _scaled(history.series(axis), axis)
        training = _averaged(series.training)
        prefix = f"{_shortened(history.name)}: " if len(histories) > 1 else ""
        curves += [
            Curve(prefix + tr("training"), training, color(index), width=1.2),
            Curve(prefix + tr("validation"), series.validation, color(index), has_dots=True),
        ]
        ys += [point.y for point in training[int(_WARMUP * len(training)) :] + series.validation]
    y_range = (min(ys), max(ys)) if ys and min(ys) < max(ys) else None
    return line_chart(
        tr("Perplexity"), curves, _axis_label(axis), tr("perplexity"), y_range=y_range
    )


def learning_rate_chart(histories: Sequence[RunHistory], axis: Axis) -> str:
    curves = [
        Curve(
            _shortened(history.name),
            _averaged(_scaled(history.series(axis), axis).learning_rate),
            color(index),
        )
        for index, history in enumerate(histories)
    ]
    return line_chart(tr("Learning rate"), curves, _axis_label(axis), tr("learning rate"))


def _axis_label(axis: Axis) -> str:
    labels = {"epochs": tr("epochs"), "steps": tr("steps"), "tokens": tr("million tokens")}
    return labels[axis]


def _scaled(series: Series, axis: Axis) -> Series:
    """Return `series` with tokens in millions."""
    if axis != "tokens":
        return series
    each = (series.training, series.validation, series.learning_rate)
    return Series(*([Point(x / 1e6, y) for x, y in points] for points in each))


def _averaged(points: Sequence[Point]) -> list[Point]:
    """Return the means of consecutive groups of points, at most `_MAX_POINTS`."""
    size = -(-len(points) // _MAX_POINTS) or 1
    groups = (points[start : start + size] for start in range(0, len(points), size))
    return [
        Point(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group))
        for group in groups
    ]


def _shortened(name: str) -> str:
    """Return a name with its middle left out if it is too long for the legend."""
    half = _MAX_NAME // 2
    return name if len(name) <= _MAX_NAME else f"{name[:half]}…{name[-half:]}"

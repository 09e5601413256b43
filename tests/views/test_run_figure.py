"""Training curves: positions, colors and labels of the charts."""

from xml.etree import ElementTree

from poetgen.views.run_figure import learning_rate_chart, perplexity_chart, run_figure
from poetgen.views.svg import PALETTE
from tests.views.histories import history


def polylines(chart: str) -> list[tuple[str | None, list[tuple[float, ...]]]]:
    """The color and points of each curve, without its sample in the legend."""
    drawn = ElementTree.fromstring(chart).findall("polyline")[::2]
    return [
        (
            one.get("stroke"),
            [tuple(map(float, p.split(","))) for p in one.get("points", "").split()],
        )
        for one in drawn
    ]


def texts(chart: str) -> set[str | None]:
    return {text.text for text in ElementTree.fromstring(chart).iter("text")}


def test_perplexity_chart_has_two_curves_per_run() -> None:
    chart = perplexity_chart([history("spring"), history("autumn")], "epochs")
    curves = polylines(chart)
    assert [color for color, _ in curves] == [PALETTE[0], PALETTE[0], PALETTE[1], PALETTE[1]]
    assert [len(points) for _, points in curves[1::2]] == [2, 2]
    assert {"spring: training", "autumn: validation", "epochs", "perplexity"} <= texts(chart)
    alone = perplexity_chart([history("spring")], "steps")
    assert {"training", "validation", "steps"} <= texts(alone)


def test_perplexity_axis_ignores_the_start() -> None:
    """The first loss is 6,600 perplexity; the axis begins with what follows the first tenth."""
    ((_, points), _) = polylines(perplexity_chart([history("spring")], "steps"))
    assert 30 < len(points) < 40
    assert all(44 <= y <= 340 for _, y in points)
    assert points[0][1] == 44


def test_long_run_is_averaged() -> None:
    ((_, points),) = polylines(learning_rate_chart([history("spring", num_steps=950)], "steps"))
    assert len(points) == 95


def test_tokens_are_in_millions() -> None:
    chart = perplexity_chart([history("spring", num_steps=4000)], "tokens")
    assert {"million tokens", "1", "2", "3", "4"} <= texts(chart)


def test_long_names_are_shortened_in_the_legend() -> None:
    name = "a" * 40 + "b" * 40
    assert f"{'a' * 15}…{'b' * 15}" in texts(learning_rate_chart([history(name)], "epochs"))


def test_run_without_validation_is_drawn() -> None:
    young = history("young", epochs=0)
    ElementTree.fromstring(run_figure([young], "steps"))

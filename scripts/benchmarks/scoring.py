"""The speed of scoring: the exact engine, and torch in fp32."""

from collections.abc import Callable

from benchmarks.lines import Comparison, Group, Line, Settings, rate
from benchmarks.poems import some_poems
from poetgen.engine.scoring import score, total
from poetgen.model.file import load_model
from poetgen.model.scoring import validate
from poetgen.runs import BUNDLED


def scoring(settings: Settings) -> Group:
    """Return the scoring of the same poems by the engine and by torch."""
    bundle = load_model(BUNDLED, settings.device)
    poems = some_poems(bundle.vocab, settings)[: 8 if settings.quick else 512]

    def by_engine() -> float:
        return total(score(bundle.engine, poems, bundle.vocab)).tokens

    def by_torch() -> float:
        return validate(bundle.network, poems, bundle.vocab).tokens

    def measured(work: Callable[[], float]) -> Callable[[], float]:
        return lambda: rate(work, settings.seconds)

    return Group(
        "scoring",
        f"Scoring {len(poems)} poems with the bundled model",
        (
            Line("engine", "tokens/s", measured(by_engine), (Comparison("torch, fp32"),)),
            Line("torch, fp32", "tokens/s", measured(by_torch)),
        ),
    )

"""The time that an evaluation is expected to take."""

import logging
import time
from collections.abc import Iterator

import pytest

from poetgen.config import Config
from poetgen.data.poem import Poem
from poetgen.engine.scoring import BATCH_SIZE
from poetgen.evaluation import estimate
from poetgen.evaluation.estimate import log_estimate
from poetgen.evaluation.samples import FREE, MODES
from poetgen.model.file import ModelBundle
from poetgen.prosody.forms import FORMS
from tests.evaluation.bundles import conditional_model, constant_model
from tests.evaluation.verses import verses

COUNTS = dict.fromkeys(FORMS, 16)


@pytest.fixture
def bundle(tiny_config: Config) -> ModelBundle:
    return conditional_model(tiny_config)


@pytest.fixture(autouse=True)
def _no_minimum(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="poetgen")
    monkeypatch.setattr(estimate, "MIN_SECONDS", 0.0)


def test_estimate_names_the_work(bundle: ModelBundle, caplog: pytest.LogCaptureFixture) -> None:
    poems = verses("五绝", 2000, 1)
    log_estimate([bundle], poems, COUNTS, titled={}, modes=tuple(MODES), num_temperatures=3)
    log_estimate([bundle], poems, {}, titled={}, modes=(FREE,), num_temperatures=1)
    titled = {"五绝": 10}
    log_estimate([bundle], [], COUNTS, titled=titled, modes=(FREE,), num_temperatures=1)
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "2,000 poems to score, 384 to generate",
        "2,000 poems to score",
        "74 poems to generate",
    ]


def test_estimate_extrapolates_a_measurement(
    bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Poems that take 0.1 s each: the measured ones are 七绝 of 33 tokens."""
    clock = [0.0]

    def generate(_generator: object, _options: object, count: int, seed: int) -> Iterator[Poem]:
        for _ in range(count):
            clock[0] += 0.1
            yield Poem(f"山{seed}")

    monkeypatch.setattr(estimate, "generate_poems", generate)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    log_estimate([bundle], [], {"七律": 330}, titled={}, modes=(FREE,), num_temperatures=2)
    # 660 poems of 65 tokens: 660 · 0.1 s · 65/33 = 130 s.
    assert caplog.messages == ["about 2 min: 660 poems to generate"]


def test_estimate_extrapolates_the_scoring_of_a_batch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Poems that take 0.1 s each, a batch of which is scored."""
    clock, scored = [0.0], []

    def score(_engine: object, poems: list[Poem], _vocab: object) -> None:
        clock[0] += 0.1 * len(poems)
        scored.append(len(poems))

    monkeypatch.setattr(estimate, "score", score)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    poems = verses("五绝", 5 * BATCH_SIZE, 1) * 4
    log_estimate([constant_model()], poems, {}, titled={}, modes=(FREE,), num_temperatures=1)
    assert scored == [BATCH_SIZE]
    assert caplog.messages == ["about 2 min: 1,280 poems to score"]


def test_estimate_of_short_work_is_silent(
    bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(estimate, "MIN_SECONDS", 1e9)
    log_estimate(
        [bundle], verses("五绝", 9, 1), COUNTS, titled={}, modes=(FREE,), num_temperatures=1
    )
    assert caplog.messages == []

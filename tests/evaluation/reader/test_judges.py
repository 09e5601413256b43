"""Judges tell sources apart that differ in what they look at, and no others."""

import random

import pytest

from poetgen.data.poem import Poem
from poetgen.evaluation.reader.features import PoemFeatures
from poetgen.evaluation.reader.judges import (
    FeatureJudge,
    Judge,
    Labeled,
    PhraseJudge,
    SequenceJudge,
)

HANZI = "".join(chr(0x4E00 + index) for index in range(240))
FEATURES = PoemFeatures([Poem(f"{HANZI[:5]}，{HANZI[5:10]}。")])


def poems(num: int, seed: int, *, repeats: bool = False, first: str = "") -> list[Poem]:
    """Return quatrains of random characters; some repeat theirs, or begin lines with `first`."""
    rng = random.Random(seed)
    found = []
    for _ in range(num):
        characters = rng.sample(HANZI, 20)
        if repeats:
            characters[7], characters[12], characters[16] = (
                characters[2],
                characters[2],
                characters[4],
            )
        lines = ["".join(characters[start : start + 5]) for start in (0, 5, 10, 15)]
        lines[1] = first + lines[1][len(first) :]
        found.append(Poem("{}，{}。{}，{}。".format(*lines)))
    return found


def accuracy(judge: Judge, **second: object) -> float:
    """Return the accuracy on new poems of a judge that learned random poems from `second`."""
    parts = [
        Labeled(poems(num, seed), poems(num, seed + 1, **second))  # type: ignore[arg-type]
        for num, seed in ((150, 1), (60, 11), (100, 21))
    ]
    judge.fit(parts[0], parts[1])
    return parts[2].accuracy(judge.scores(parts[2].poems))


@pytest.fixture(params=["features", "phrases", "LSTM"])
def judge(request: pytest.FixtureRequest) -> Judge:
    judges = {
        judge.name: judge for judge in (FeatureJudge(FEATURES), PhraseJudge(), SequenceJudge())
    }
    return judges[request.param]


def test_judge_guesses_where_nothing_differs(judge: Judge) -> None:
    assert 0.38 < accuracy(judge) < 0.62


def test_feature_judge_counts_repeats() -> None:
    assert accuracy(FeatureJudge(FEATURES), repeats=True) > 0.97


def test_phrase_judge_finds_pairs() -> None:
    assert accuracy(PhraseJudge(), first=HANZI[:2]) > 0.9


def test_sequence_judge_finds_a_beginning() -> None:
    assert accuracy(SequenceJudge(), first=HANZI[:2]) > 0.8


def test_judge_is_reproducible() -> None:
    assert accuracy(SequenceJudge(), first=HANZI[:1]) == accuracy(SequenceJudge(), first=HANZI[:1])

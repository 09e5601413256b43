"""Measures of whole poems: values computed by hand, and what the measures ignore."""

import math

import numpy as np
import pytest

from poetgen.data.poem import Poem
from poetgen.evaluation.cooccurrence import Characters, Floats
from poetgen.evaluation.metrics import whole_poem
from poetgen.evaluation.metrics.whole_poem import (
    MEASURES,
    FacingModel,
    TitleModel,
    TopicModel,
    WholePoemModel,
)

FOUR = [Poem("山云月鹤。")]
"""Four characters, each a quarter of the text."""


@pytest.fixture
def identity_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every character a vector of its own: the identity matrix, singular values 1."""

    def vectors(matrix: Floats, num_features: int) -> tuple[Floats, Floats, Floats]:
        identity = np.eye(len(matrix), dtype=np.float32)
        assert num_features > len(matrix)
        return identity, np.ones(len(matrix), dtype=np.float32), identity

    monkeypatch.setattr(whole_poem, "truncated_svd", vectors)


def test_parallelism_by_hand() -> None:
    poem = Poem("甲，乙。山，水。山，水。丙，丁。")
    model = FacingModel([poem], Characters([poem], min_count=1))
    # 水 faces 山 twice in a middle couplet.  p(水) = (2 + 1000 · 2/8)/1002; every character is a class,
    # so P(水's class | 山's) = (2 + 20 p)/22, and p(水 | 山) = (2 + 100 P)/102.
    share = 252 / 1002
    of_class = (2 + 20 * share) / 22
    expected = math.log((2 + 100 * of_class) / 102 / share)
    assert model.parallelism(poem) == pytest.approx(expected, abs=1e-5)
    # 山 never faces 丁: only the smoothing is left, and the information is negative.
    other = model.parallelism(Poem("甲，乙。山，丁。丙，丁。"))
    share = (1000 / 8) / 1002
    assert other == pytest.approx(math.log((100 * 20 * share / 22) / 102 / share), abs=1e-5)


def test_parallelism_needs_a_middle_couplet_of_equal_lines() -> None:
    poem = Poem("甲，乙。山，水。丙，丁。")
    model = FacingModel([poem], Characters([poem], min_count=1))
    assert model.parallelism(poem) is not None
    assert model.parallelism(Poem("甲，乙。丙，丁。")) is None
    assert model.parallelism(Poem("甲，乙。山山，水。丙，丁。")) is None
    assert model.parallelism(Poem("甲，乙。鹤，猿。丙，丁。")) is None


@pytest.mark.usefixtures("identity_vectors")
def test_coherence_by_hand() -> None:
    model = TopicModel(FOUR, Characters(FOUR, min_count=1))
    # The last characters do not count: 月 given 山.  Logits 4 for 山, 0 for 月: −ln(e⁴/4 + 3/4).
    expected = -math.log(math.exp(4) / 4 + 3 / 4)
    assert model.coherence(Poem("山云，月鹤。")) == pytest.approx(expected, abs=1e-5)
    # Two contexts with a logit of 2 each.
    expected = -math.log(2 * math.exp(2) / 4 + 2 / 4)
    assert model.coherence(Poem("山云云，月鹤。")) == pytest.approx(expected, abs=1e-5)


@pytest.mark.usefixtures("identity_vectors")
def test_coherence_skips_repetition() -> None:
    model = TopicModel(FOUR, Characters(FOUR, min_count=1))
    assert model.coherence(Poem("山云，山鹤。")) is None
    assert model.coherence(Poem("山云，山月鹤。")) == model.coherence(Poem("山云，月鹤。"))
    assert model.coherence(Poem("山云。")) is None


def test_coherence_uses_the_position() -> None:
    """A character that is frequent at its position gains less from its context."""
    verse = Poem("山云水月鹤，松云水月鹤。山云水月鹤，猿云水月鹤。")
    characters = Characters([verse], min_count=1)
    shares = whole_poem._position_shares([verse] * 300, characters)
    assert len(shares) == 4 * 4
    own = shares["五绝", 1, 0][characters.ids["松"]]
    # 300 poems, and 500 of the whole text, in which 松 is one of twenty characters.
    assert own == pytest.approx((300 + 500 / 20) / 800, abs=1e-5)
    assert shares["五绝", 3, 0][characters.ids["松"]] == pytest.approx(500 / 20 / 800, abs=1e-5)


@pytest.mark.usefixtures("identity_vectors")
def test_half_similarity_by_hand() -> None:
    model = TopicModel(FOUR, Characters(FOUR, min_count=1))
    # (e₁ − p)·(e₂ − p) = −¼ − ¼ + ¼, lengths² 1 − ½ + ¼: cosine −⅓.
    assert model.half_similarity(Poem("山云，月鹤。")) == pytest.approx(-1 / 3, abs=1e-5)
    # A repeated character does not count.
    assert model.half_similarity(Poem("山云，山月鹤。")) == pytest.approx(-1 / 3, abs=1e-5)
    assert model.half_similarity(Poem("山云，山鹤。")) is None
    assert model.half_similarity(Poem("山云。")) is None


@pytest.mark.usefixtures("identity_vectors")
def test_retrieval_by_hand() -> None:
    titles = ["云", "月", "鹤", "山", "月"]
    model = TitleModel(FOUR, Characters(FOUR, min_count=1), titles)
    assert model.retrieval(Poem("山山。", "山")) == 1
    assert model.retrieval(Poem("山山。", "云")) == pytest.approx((0 + 2 / 2) / 3)  # one is higher
    # 山 once, 云 once, 月 and 鹤 never: 山 and 云 are equal.
    assert model.retrieval(Poem("山云。", "山")) == pytest.approx((2 + 1 / 2) / 3)
    # A title without a known character is no better than another one of that sort.
    assert model.retrieval(Poem("山山。", "鲲")) == pytest.approx(3 / 4)
    assert model.retrieval(Poem("山山。")) is None
    assert model.retrieval(Poem("鲲。", "山")) is None


def test_retrieval_seeks_among_a_hundred_titles() -> None:
    poems = [Poem(f"{chr(0x4E00 + i)}山。", chr(0x4E00 + i)) for i in range(150)]
    model = TitleModel(poems, Characters(poems, min_count=1), [poem.title for poem in poems])
    value = model.retrieval(poems[120])
    assert value is not None
    assert value * 2 * 99 == pytest.approx(round(value * 2 * 99))


def test_topics_are_learned_from_a_text() -> None:
    """Two topics whose characters never mix: a poem that mixes them is less coherent."""
    rng = np.random.default_rng(3)
    topics = ["山泉松鹤猿溪谷岩", "宫殿珠帘金灯舞歌"]

    def poem(first: int, second: int) -> Poem:
        lines = ["".join(rng.permutation(list(topics[i]))[:5]) for i in (first, second) * 2]
        return Poem("{}，{}。{}，{}。".format(*lines), topics[first][0])

    train = [poem(i % 2, i % 2) for i in range(300)]
    model = WholePoemModel(train, Characters(train), [topics[0][0], topics[1][0]])
    for name in ("coherence", "title_retrieval"):
        of_poem = MEASURES[name].of_poem
        pairs = [(of_poem(model, poem(0, 0)), of_poem(model, poem(0, 1))) for _ in range(50)]
        values = [(own, mixed) for own, mixed in pairs if own is not None and mixed is not None]
        assert len(values) > 30
        assert np.mean([own >= mixed for own, mixed in values]) > 0.9, name

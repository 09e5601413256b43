"""The measurements of scripts/release: what they select and how they rank."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from poetgen.data.conditions import Conditions
from poetgen.data.poem import Poem
from poetgen.engine.scoring import Likelihood

SCRIPTS = Path(__file__).parent.parent.parent / "scripts" / "release"
QUATRAIN = "山月随人去，江风送客归。云深不知路，一夜水声飞。"


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("titles")


def test_titled_quatrains_are_one_per_title(titles: Any) -> None:
    couplet = Poem(QUATRAIN[:12], "江上")
    poems = [Poem(QUATRAIN, title) for title in ("秋夜", "", "秋夜", "其 2", "No. 3", "山居")]
    chosen = titles.titled_quatrains([couplet, *poems])
    assert [poem.title for poem in chosen] == ["其 2", "山居", "秋夜"]


@pytest.mark.parametrize(("own", "rank"), [("山居", 1), ("秋夜", 2), ("江上", 3)])
def test_title_rank_counts_likelier_titles(
    titles: Any, monkeypatch: pytest.MonkeyPatch, own: str, rank: int
) -> None:
    nats = {"山居": 9.0, "秋夜": 9.5, "江上": 12.0}

    def score(
        _network: object, poems: Sequence[Poem], _vocab: object, *, conditions: Sequence[Conditions]
    ) -> list[Likelihood]:
        assert {poem.text for poem in poems} == {QUATRAIN}
        assert {one.form for one in conditions} == {"五绝"}
        return [Likelihood(1, 24, 0, 20, nats[one.title]) for one in conditions]

    class Bundle:
        engine = vocab = None

    monkeypatch.setattr(titles, "score", score)
    assert titles.title_rank(Bundle, Poem(QUATRAIN, own), list(nats)) == rank

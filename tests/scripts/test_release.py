"""The measurements of scripts/release: what they select and how they rank."""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from poetgen.data.conditions import Conditions
from poetgen.data.poem import Poem
from poetgen.engine.scoring import Likelihood
from poetgen.prosody.marks import split_lines

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


@pytest.fixture
def tone_counts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("readings")


def counted(tone_counts: Any, *poems: str) -> dict[str, tuple[int, int]]:
    """Return the occurrences at level and at oblique positions by character."""
    counts = tone_counts.count(split_lines(poem) for poem in poems)
    return {character: (one.level, one.oblique) for character, one in counts.items()}


def test_readings_count_what_the_other_characters_demand(tone_counts: Any) -> None:
    # aBbA.  Positions 1 and 3 are free (看, the first 不); 听 and the second 不 must be oblique.
    poem = "白日依山尽，黄河看海流。欲穷千里听，不不一层楼。"
    assert counted(tone_counts, poem) == {"不": (0, 1), "听": (0, 1)}
    assert counted(tone_counts, poem, poem)["不"] == (0, 2)


def test_readings_count_without_regard_to_the_character(tone_counts: Any) -> None:
    # Position 2 of line 2 must be level whatever 不 is; so must the rhyme, where 看 is.
    poem = "白日依山尽，黄不入海流。欲穷千里目，更上一层看。"
    assert counted(tone_counts, poem) == {"不": (1, 0), "看": (1, 0)}


@pytest.mark.parametrize(
    "poem",
    [
        "白日依山尽，黄河入海流。欲穷千里目，更上一层不。山山",  # no form
        "白日依山尽，黄河入不流。欲日千里目，更上一层楼。",  # 日 breaks the pattern
        "白日依山尽，黄河入海月。欲穷千里目，更上一不月。",  # oblique rhymes
        "白日依山尽，黄河入海不。欲穷千里目，更上一层看。",  # no rhyme that is level for certain
    ],
)
def test_readings_leave_out_poems(tone_counts: Any, poem: str) -> None:
    assert counted(tone_counts, poem) == {}


def test_readings_leave_out_positions_that_are_not_certain(tone_counts: Any) -> None:
    # Nothing shows the order.  In each, line 3 ends oblique; line 1 does if it does not rhyme.
    poem = "不不不不不，不不不不流。不不不不不，不不不不楼。"
    assert counted(tone_counts, poem) == {"不": (0, 1)}


@pytest.mark.parametrize(
    ("types", "line", "following", "positions"),
    [
        ("a", "仄仄平中仄", "平平仄仄平", [1, 3, 4]),
        ("a", "仄仄平中仄", "平平平仄平", [1, 4]),  # rescued if it is oblique
        ("a", "仄仄平中仄", "平平中仄平", [1, 4]),
        ("b", "平平平中仄", "仄仄仄平平", [1, 3, 4]),
        ("b", "平平仄中仄", "仄仄仄平平", [1, 4]),  # level in 平平仄平仄
        ("aA", "仄仄平中中", "平平仄仄平", [1, 3, 4]),
        ("b", "仄仄平平平中仄", "平平仄仄仄平平", [1, 3, 5, 6]),
        ("B", "平平仄仄平", "", [1, 3, 4]),
    ],
)
def test_readings_count_positions_without_variants(
    tone_counts: Any, types: str, line: str, following: str, positions: list[int]
) -> None:
    found = tone_counts.fixed_positions(set(types), line, [following] if following else [])
    assert list(found) == positions


def run(tone_counts: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["readings.py", *arguments])
    tone_counts.main()


def test_readings_check_compares_with_the_file(
    tone_counts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "counts.json"
    monkeypatch.setattr(tone_counts, "TONE_COUNTS_FILE", file)
    run(tone_counts, monkeypatch, "--corpus", "starter")
    text = file.read_text(encoding="utf-8")
    characters = json.loads(text)["characters"]
    assert list(characters) == sorted(characters)
    assert min(map(sum, characters.values())) >= 20
    run(tone_counts, monkeypatch, "--corpus", "starter", "--check")
    file.write_text(text.replace("]", " ]", 1), encoding="utf-8")
    with pytest.raises(SystemExit, match="is out of date"):
        run(tone_counts, monkeypatch, "--corpus", "starter", "--check")
    assert file.read_text(encoding="utf-8") != text


@pytest.mark.corpus
def test_readings_file_is_up_to_date(
    tone_counts: Any, real_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tone_counts, monkeypatch, "--corpus", str(real_corpus), "--check")

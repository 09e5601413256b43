"""The library's front door."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import poetgen
from poetgen import api
from poetgen.api import PoetModel
from poetgen.data.poem import Poem
from poetgen.data.vocab import UNK
from poetgen.errors import ConstraintError, ModelFileError, UsageError
from poetgen.sampling.decode import Failed, Sample
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request
from poetgen.sampling.writing import Choice, Setback


@pytest.fixture
def model(model_file: Path) -> PoetModel:
    return poetgen.load(model_file)


UNKNOWN = "鳌"


@pytest.fixture(autouse=True)
def _unknown_is_unknown(model: PoetModel) -> None:
    assert model.stored.vocab.encode(UNKNOWN) == [UNK], "choose another character for UNKNOWN"


def test_sample_gives_poems_that_begin_with_the_prompt(model: PoetModel) -> None:
    poems = model.sample("山月", num=3, seed=1)
    assert len(poems) == 3
    assert all(isinstance(poem, Poem) and poem.text.startswith("山月") for poem in poems)
    assert len({poem.text for poem in poems}) == 3
    assert str(poems[0]) == poems[0].text


def test_the_same_seed_gives_the_same_poems_at_any_batch_size(model: PoetModel) -> None:
    poems = model.sample("山", num=5, seed=3)
    assert model.sample("山", num=5, seed=3, batch_size=2) == poems
    assert model.sample("山", num=2, seed=3) == poems[:2]
    assert model.sample("山", num=5, seed=4) != poems


def test_without_a_seed_poems_come_by_chance(model: PoetModel) -> None:
    assert len({model.sample(temperature=2)[0].text for _ in range(6)}) > 1


@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0}, {"temperature": 1.3, "top_k": 20}, {"top_p": 0.7}, {"min_p": 0.3}],
    ids=str,
)
@pytest.mark.parametrize("prompt", [None, "山", "雲，"])
def test_stream_writes_the_poem_that_sample_writes(
    model: PoetModel, prompt: str | None, settings: dict[str, Any]
) -> None:
    pieces = list(model.stream(prompt, seed=5, **settings))
    assert "".join(pieces) == model.sample(prompt, num=3, seed=5, **settings)[0].text
    assert all(len(piece) == 1 for piece in pieces)


def test_stream_gives_each_character_as_it_is_chosen(model: PoetModel) -> None:
    pieces = model.stream("山月", seed=5)
    assert list(islice(pieces, 3))[:2] == ["山", "月"]


def test_temperature_0_does_not_hang_on_the_seed(model: PoetModel) -> None:
    assert model.sample("山", temperature=0, seed=1) == model.sample("山", temperature=0, seed=2)


def test_sample_warns_of_an_unknown_character_where_it_was_called(model: PoetModel) -> None:
    with pytest.warns(UserWarning, match="鳌 .U.9CCC") as caught:
        (poem,) = model.sample("山" + UNKNOWN, seed=1)
    assert poem.text.startswith("山鳌")
    assert caught[0].filename == __file__


def test_stream_warns_of_an_unknown_character_too(model: PoetModel) -> None:
    with pytest.warns(UserWarning, match="鳌 .U.9CCC"):
        list(model.stream("山" + UNKNOWN, seed=1))


def test_a_known_prompt_warns_of_nothing(model: PoetModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.sample("山", seed=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -1},
        {"temperature": math.nan},
        {"top_k": -1},
        {"top_p": 0},
        {"top_p": 1.5},
        {"min_p": -0.1},
        {"min_p": math.nan},
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused_before_anything_is_written(
    model: PoetModel, settings: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=r"is (-|nan|0|1\.5)"):
        model.sample("山", **settings)
    with pytest.raises(UsageError, match=r"is (-|nan|0|1\.5)"):
        model.stream("山", **settings)


@pytest.mark.parametrize(
    "options",
    [
        {"form": "五绝"},
        {"form": "qijue", "rhyme": True, "tones": True},
        {"rhyme": True},
        {"acrostic": "山云月"},
        {"form": "五律", "rhyme_group": "阳", "temperature": 0},
    ],
    ids=str,
)
def test_a_stream_under_constraints_is_the_poem_of_one_particle(
    model: PoetModel, options: dict[str, Any]
) -> None:
    (poem,) = model.sample("山", seed=5, particles=1, **options)
    assert "".join(model.stream("山", seed=5, **options)) == poem.text
    live = model.request(Options("山", particles=1, **options), seed=5)
    assert "".join(model.stream_request(live, pytest.fail)) == poem.text


def test_constraints_are_kept(model: PoetModel) -> None:
    poems = model.sample(form="五绝", acrostic="山云月人", num=3, seed=1)
    assert [[line[0] for line in poem.lines] for poem in poems] == [[*"山云月人"]] * 3
    assert all(len(line) == 5 for poem in poems for line in poem.lines)


def test_what_the_model_cannot_be_told_is_warned_about(model: PoetModel) -> None:
    with pytest.warns(UserWarning, match="not trained with titles") as caught:
        model.sample("山", title="望月", seed=1)
    assert caught[0].filename == __file__


def test_a_prompt_that_breaks_a_constraint_is_refused_before_anything_is_written(
    model: PoetModel,
) -> None:
    with pytest.raises(ConstraintError, match="第5字"):
        model.sample("山云归去晚，", form="七绝")
    with pytest.raises(ConstraintError, match="第5字"):
        model.stream("山云归去晚，", form="七绝")


def test_options_that_contradict_each_other_are_refused(model: PoetModel) -> None:
    with pytest.raises(UsageError, match="tones needs a form"):
        model.sample(tones=True)
    with pytest.raises(UsageError, match="stream"):
        model.stream(form="五绝", particles=4)
    with pytest.raises(UsageError, match="unknown key 'forms'"):
        model.sample(forms="五绝")  # type: ignore[call-arg]


ERROR = ConstraintError("a dead end", "Ask for less.")


def steps_of(events: str) -> Iterator[list[Choice | Setback]]:
    """A step per character; / is a dead end, ! the last of them."""
    for event in events:
        if event in "/!":
            yield [Setback(0, ERROR, is_final=event == "!")]
        else:
            yield [Choice(0, 9, 1.0, in_prompt=False, text=event)]


class Screen(list[str]):
    """Shows each character as it comes."""

    def show(self, characters: Iterator[str]) -> None:
        for character in characters:
            self += [character]


def test_what_a_dead_end_took_back_is_never_seen_unless_it_can_be_taken_back(
    model: PoetModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "generate_steps", lambda *_, **__: steps_of("山/云月/山云。"))
    request = model.request(Options(form="五绝"), seed=1)
    assert list(model.stream_request(request)) == ["山", "云", "。"]
    screen = Screen()
    screen.show(model.stream_request(request, screen.clear))
    assert screen == ["山", "云", "。"]


def test_a_stream_that_is_given_up_raises(
    model: PoetModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "generate_steps", lambda *_, **__: steps_of("山/云!"))
    request = model.request(Options(form="五绝"), seed=1)
    screen = Screen()
    with pytest.raises(ConstraintError, match="a dead end"):
        screen.show(model.stream_request(request))
    with pytest.raises(ConstraintError, match="a dead end"):
        screen.show(model.stream_request(request, screen.clear))
    assert screen == []


def test_a_poem_that_cannot_be_written_raises_in_sample(
    model: PoetModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Failed(Request(1), ERROR)
    monkeypatch.setattr(api, "generate", lambda *_, **__: iter([failed]))
    with pytest.raises(ConstraintError, match="a dead end"):
        model.sample(form="五绝", seed=1)


@pytest.mark.parametrize("prompt", ["", "，", "hello"])
def test_a_prompt_with_nothing_known_in_it_is_refused(model: PoetModel, prompt: str) -> None:
    with pytest.raises(UsageError):
        model.sample(prompt)
    with pytest.raises(UsageError):
        model.stream(prompt)


def test_a_batch_size_below_1_is_refused(model: PoetModel) -> None:
    with pytest.raises(UsageError, match="batch size 0"):
        model.sample("山", batch_size=0)


def test_score_is_the_likelihood_that_sampling_reports(model: PoetModel) -> None:
    request = model.request(Options("山"), seed=1)
    results = model.generate(replace(request, index=i) for i in range(300))
    ended = [s for s in results if isinstance(s, Sample) and not s.warnings]
    assert ended
    for sample in ended[:5]:
        scored = model.score(sample.poem.text)
        assert scored.nats == pytest.approx(sample.likelihood.nats, abs=1e-4)
        assert scored.tokens == sample.likelihood.tokens


def test_score_reads_any_spelling(model: PoetModel) -> None:
    assert model.score(" 雲歸山, 月照人. ") == model.score("云归山，月照人。")


def test_score_counts_characters_marks_and_the_end(model: PoetModel) -> None:
    likelihood = model.score("云归山，月照鳌。")
    counts = (likelihood.poems, likelihood.tokens, likelihood.unknown_tokens, likelihood.hanzi)
    assert counts == (1, 9, 1, 6)
    assert likelihood.perplexity == pytest.approx(math.exp(likelihood.nats / 9))


@pytest.mark.parametrize("text", ["", "  ", "「」"])
def test_an_empty_text_cannot_be_scored(model: PoetModel, text: str) -> None:
    with pytest.raises(UsageError, match="no text to score"):
        model.score(text)


def test_a_poem_is_no_longer_than_the_model_was_trained_for(model: PoetModel) -> None:
    assert model.max_tokens == 64
    assert max(len(poem.text) for poem in model.sample(num=20, seed=2)) <= 64


def test_load_without_a_path_takes_the_newest_run(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("checkpoints") / "short"
    run.mkdir(parents=True)
    model_file.rename(run / "best.safetensors")
    (run.parent / "latest").write_text("short\n")
    assert poetgen.load().stored.path == run / "best.safetensors"
    assert poetgen.load("short").stored.path == run / "best.safetensors"


def test_load_takes_the_environments_model(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POETGEN_CHECKPOINT", str(model_file))
    assert poetgen.load().stored.path == model_file


def test_load_of_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"absent\.safetensors") as caught:
        poetgen.load(tmp_path / "absent.safetensors")
    assert caught.value.fix

"""The library: `poetgen.load()` and the methods of `Poet`."""

import inspect
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import poetgen
from poetgen.api import Poet
from poetgen.data.poem import Poem
from poetgen.data.vocab import UNK
from poetgen.errors import ConstraintError, ModelFileError, UsageError
from poetgen.sampling.generator import Failure, Generator, Sample
from poetgen.sampling.hypothesis import Event, GivenUp, Restart, SampledToken
from poetgen.sampling.options import Options, declared_options


@pytest.fixture
def model(model_file: Path) -> Poet:
    return poetgen.load(model_file)


UNKNOWN = "鳌"


@pytest.fixture(autouse=True)
def _unknown_is_unknown(model: Poet) -> None:
    assert model.bundle.vocab.encode(UNKNOWN) == [UNK], "choose another character for UNKNOWN"


def test_sample_returns_poems_with_the_prompt(model: Poet) -> None:
    poems = model.sample("山月", num=3, seed=1)
    assert len(poems) == 3
    assert all(isinstance(poem, Poem) and poem.text.startswith("山月") for poem in poems)
    assert len({poem.text for poem in poems}) == 3
    assert str(poems[0]) == poems[0].text


def test_sample_is_equal_at_any_batch_size(model: Poet) -> None:
    poems = model.sample("山", num=5, seed=3)
    assert model.sample("山", num=5, seed=3, batch_size=2) == poems
    assert model.sample("山", num=2, seed=3) == poems[:2]
    assert model.sample("山", num=5, seed=4) != poems


def test_sample_without_a_seed_is_random(model: Poet) -> None:
    assert len({model.sample(temperature=2)[0].text for _ in range(6)}) > 1


@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0}, {"temperature": 1.3, "top_k": 20}, {"top_p": 0.7}, {"min_p": 0.3}],
    ids=str,
)
@pytest.mark.parametrize("prompt", [None, "山", "雲，"])
def test_stream_yields_the_poem_of_sample(
    model: Poet, prompt: str | None, settings: dict[str, Any]
) -> None:
    pieces = list(model.stream(prompt, seed=5, **settings))
    assert "".join(pieces) == model.sample(prompt, seed=5, **settings)[0].text
    assert all(len(piece) == 1 for piece in pieces)


def test_stream_yields_each_character_at_once(model: Poet) -> None:
    pieces = model.stream("山月", seed=5)
    assert list(islice(pieces, 3))[:2] == ["山", "月"]


def test_sample_at_temperature_0_ignores_the_seed(model: Poet) -> None:
    assert model.sample("山", temperature=0, seed=1) == model.sample("山", temperature=0, seed=2)


def test_sample_at_temperature_0_warns_of_identical_poems(model: Poet) -> None:
    with pytest.warns(UserWarning, match="the same") as caught:
        first, second = model.sample("山", temperature=0, num=2)
    assert first == second
    assert caught[0].filename == __file__


def test_sample_warns_of_unknown_characters(model: Poet) -> None:
    with pytest.warns(UserWarning, match="鳌 .U.9CCC") as caught:
        (poem,) = model.sample("山" + UNKNOWN, seed=1)
    assert poem.text.startswith("山鳌")
    assert caught[0].filename == __file__


def test_stream_warns_of_unknown_characters(model: Poet) -> None:
    with pytest.warns(UserWarning, match="鳌 .U.9CCC"):
        list(model.stream("山" + UNKNOWN, seed=1))


def test_sample_of_a_known_prompt_warns_of_nothing(model: Poet) -> None:
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
        {"num": 0},
        {"batch_size": 0},
        {"best_of": 0},
    ],
    ids=str,
)
def test_poet_refuses_options_out_of_range(model: Poet, settings: dict[str, Any]) -> None:
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
def test_stream_is_the_poem_of_sample(model: Poet, options: dict[str, Any]) -> None:
    (poem,) = model.sample("山", seed=5, **options)
    assert "".join(model.stream("山", seed=5, **options)) == poem.text


def test_sample_keeps_constraints(model: Poet) -> None:
    poems = model.sample(form="五绝", acrostic="山云月人", num=3, seed=1)
    assert [[line[0] for line in poem.lines] for poem in poems] == [[*"山云月人"]] * 3
    assert all(len(line) == 5 for poem in poems for line in poem.lines)


def test_sample_gives_acrostic_lines_one_length(model: Poet) -> None:
    for name in ("山云", "山云月", "山云月人归", "山云月人归去来"):
        for poem in model.sample(acrostic=name, num=5, seed=1):
            assert "".join(line[0] for line in poem.lines) == name
            assert len({len(line) for line in poem.lines}) == 1
    (poem,) = model.sample("山月晚，", acrostic="山云月", seed=1)
    assert [len(line) for line in poem.lines] == [3, 3, 3]


def test_sample_accepts_an_acrostic_shorter_than_the_form(model: Poet) -> None:
    (poem,) = model.sample(form="五律", acrostic="山云月", rhyme=True, seed=1)
    assert "".join(line[0] for line in poem.lines[:3]) == "山云月"
    assert len(poem.lines) == 8


def test_sample_warns_of_an_unsupported_condition(model: Poet) -> None:
    with pytest.warns(UserWarning, match="not trained with titles") as caught:
        model.sample("山", title="望月", seed=1)
    assert caught[0].filename == __file__


def test_poet_refuses_a_prompt_that_breaks_the_form(
    model: Poet,
) -> None:
    with pytest.raises(ConstraintError, match="character 5 "):
        model.sample("山云归去晚，", form="七绝")
    with pytest.raises(ConstraintError, match="character 5 "):
        model.stream("山云归去晚，", form="七绝")


def test_poet_refuses_contradicting_options(model: Poet) -> None:
    with pytest.raises(UsageError, match="tones needs a form"):
        model.sample(tones=True)
    with pytest.raises(UsageError, match="stream"):
        model.stream(form="五绝", particles=4)
    with pytest.raises(UsageError, match="unknown key 'forms'"):
        model.sample(forms="五绝")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="stream"):
        model.stream(best_of=2)
    with pytest.raises(UsageError, match="stream"):
        model.stream(num=2)
    with pytest.raises(TypeError, match="multiple values for argument 'prompt'"):
        model.sample("山", prompt="云")  # type: ignore[misc]


ERROR = ConstraintError("a dead end", "Drop a constraint.")


def events_of(pattern: str) -> Iterator[Event]:
    """An event per character; / is a dead end, ! the last of them."""
    for symbol in pattern:
        if symbol == "/":
            yield Restart(0)
        elif symbol == "!":
            yield GivenUp(0, ERROR)
        else:
            yield SampledToken(0, 9, 1.0, in_prompt=False, text=symbol)


def test_stream_yields_nothing_that_becomes_void(
    model: Poet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generator, "stream", lambda *_, **__: events_of("山/云月/山云。"))
    assert list(model.stream(form="五绝", seed=1)) == ["山", "云", "。"]


def test_stream_raises_if_the_poem_is_given_up(
    model: Poet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generator, "stream", lambda *_, **__: events_of("山/云!"))
    pieces = model.stream(form="五绝", seed=1)
    with pytest.raises(ConstraintError, match="a dead end"):
        next(pieces)


def test_sample_raises_if_a_poem_fails(model: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = Failure(model.request(Options(form="五绝"), seed=1), ERROR)
    monkeypatch.setattr(Generator, "generate", lambda *_, **__: iter([failure]))
    with pytest.raises(ConstraintError, match="a dead end"):
        model.sample(form="五绝", seed=1)


@pytest.mark.parametrize("prompt", ["", "，", "hello"])
def test_poet_refuses_a_prompt_of_unknown_characters(model: Poet, prompt: str) -> None:
    with pytest.raises(UsageError):
        model.sample(prompt)
    with pytest.raises(UsageError):
        model.stream(prompt)


def test_sample_refuses_a_batch_size_below_1(model: Poet) -> None:
    with pytest.raises(UsageError, match="batch_size is 0"):
        model.sample("山", batch_size=0)


@pytest.mark.parametrize("method", [Poet.sample, Poet.stream])
def test_poet_keywords_are_the_declared_options(method: Any) -> None:
    own, *parameters = inspect.signature(method).parameters.values()
    assert own.name == "self"
    expected = inspect.signature(Options).parameters
    assert [one.default for one in parameters] == [one.default for one in expected.values()]
    assert {one.annotation for one in parameters} == {str | None, float, int, int | None, bool, str}
    assert [parameter.name for parameter in parameters] == list(declared_options())
    assert parameters[0].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {parameter.kind for parameter in parameters[1:]} == {inspect.Parameter.KEYWORD_ONLY}


def test_sample_takes_the_prompt_by_keyword_too(model: Poet) -> None:
    assert model.sample(prompt="山", seed=1) == model.sample("山", seed=1)


def test_score_equals_the_likelihood_of_a_sample(model: Poet) -> None:
    request = model.request(Options("山"), seed=1)
    results = model.generate(replace(request, index=i) for i in range(300))
    ended = [s for s in results if isinstance(s, Sample) and not s.warnings]
    assert ended
    for sample in ended[:5]:
        scored = model.score(sample.poem.text)
        assert scored.nats == pytest.approx(sample.likelihood.nats, abs=1e-4)
        assert scored.tokens == sample.likelihood.tokens


def test_score_accepts_any_spelling(model: Poet) -> None:
    assert model.score(" 雲歸山, 月照人. ") == model.score("云归山，月照人。")


def test_score_counts_characters_marks_and_the_end(model: Poet) -> None:
    likelihood = model.score("云归山，月照鳌。")
    counts = (likelihood.poems, likelihood.tokens, likelihood.unknown_tokens, likelihood.hanzi)
    assert counts == (1, 9, 1, 6)
    assert likelihood.perplexity == pytest.approx(math.exp(likelihood.nats / 9))


@pytest.mark.parametrize("text", ["", "  ", "「」"])
def test_score_refuses_an_empty_text(model: Poet, text: str) -> None:
    with pytest.raises(UsageError, match="no text to score"):
        model.score(text)


def test_sample_is_limited_to_the_trained_length(model: Poet) -> None:
    assert model.bundle.config.data.max_tokens == 64
    assert max(len(poem.text) for poem in model.sample(num=20, seed=2)) <= 64


def test_load_without_a_path_loads_the_newest_run(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("checkpoints") / "short"
    run.mkdir(parents=True)
    model_file.rename(run / "best.safetensors")
    (run.parent / "latest").write_text("short\n")
    assert poetgen.load().bundle.path == run / "best.safetensors"
    assert poetgen.load("short").bundle.path == run / "best.safetensors"


def test_load_reads_the_environment_variable(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POETGEN_CHECKPOINT", str(model_file))
    assert poetgen.load().bundle.path == model_file


def test_load_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"absent\.safetensors") as caught:
        poetgen.load(tmp_path / "absent.safetensors")
    assert caught.value.fix

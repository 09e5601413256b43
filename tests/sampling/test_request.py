"""Requests: what of the options reaches the model, and the random stream."""

from typing import Any

import pytest

from poetgen.data.vocab import Vocabulary
from poetgen.errors import UsageError
from poetgen.sampling.options import MAX_PARALLEL, Options
from poetgen.sampling.philox import RandomStream
from poetgen.sampling.prompt import NO_PROMPT, prepare_prompt
from poetgen.sampling.request import Request, make_request, new_seed
from tests.sampling.models import VOCAB

CONDITIONED = Vocabulary(
    (
        *VOCAB.symbols,
        *"静夜思",
        *(f"<form:{form}>" for form in ("五绝", "七绝", "五律", "七律")),
        "<title>",
        "<author:李白>",
    )
)


def test_make_request_of_default_options() -> None:
    assert make_request(Options(), VOCAB, seed=3) == Request(Options(), 3)


def test_make_request_prepares_the_prompt() -> None:
    request = make_request(Options("牀前鹤"), VOCAB, seed=1, index=5)
    assert request.prompt == prepare_prompt("床前鹤", VOCAB)
    assert request.index == 5
    assert request.warnings == request.prompt.warnings != ()


def test_make_request_without_a_prompt() -> None:
    assert make_request(Options(prompt=None), VOCAB, seed=1).prompt == NO_PROMPT
    with pytest.raises(UsageError, match="the prompt is empty"):
        make_request(Options(prompt=""), VOCAB, seed=1)


def test_make_request_prefers_the_seed_of_the_options() -> None:
    assert make_request(Options(seed=0), VOCAB, seed=5).seed == 0
    assert make_request(Options(), VOCAB, seed=5).seed == 5


def test_make_request_warns_of_unsupported_conditions() -> None:
    options = Options("床鹤", title="静夜思", author="李白")
    unknown, author, title = make_request(options, VOCAB, seed=1).warnings
    assert "鹤 (U+9E64" in unknown
    assert "not trained with authors" in author
    assert "not trained with titles" in title
    known = Options("床前", title="静夜思", author="李白", form="五绝")
    assert make_request(known, CONDITIONED, seed=1).warnings == ()
    (warning,) = make_request(Options(title="静夜鹤"), CONDITIONED, seed=1).warnings
    assert "鹤" in warning
    assert "静" not in warning


def test_make_request_warns_of_an_unsupported_soft_form() -> None:
    assert make_request(Options(form="五绝"), VOCAB, seed=1).warnings == ()
    (warning,) = make_request(Options(form="五绝", soft=True), VOCAB, seed=1).warnings
    assert "not trained with the form" in warning


@pytest.mark.parametrize(
    ("options", "is_warned"),
    [
        ({"temperature": 0, "num": 2}, True),
        ({"temperature": 0}, False),
        ({"num": 2}, False),
    ],
)
def test_make_request_warns_of_equal_poems(options: dict[str, Any], is_warned: bool) -> None:
    warnings = make_request(Options(**options), VOCAB, seed=1).warnings
    expected = ("at temperature 0 all poems of a prompt are the same",)
    assert warnings == (expected if is_warned else ())


def test_make_request_names_unknown_characters_once() -> None:
    (warning,) = make_request(Options(acrostic="床鹤床鹤"), VOCAB, seed=1).warnings
    assert warning.count("鹤 (U+9E64") == 1
    (warning,) = make_request(Options("鹤云", acrostic="鹤床"), VOCAB, seed=1).warnings
    assert warning.count("鹤") == 1


def test_random_stream_depends_on_what_identifies_a_poem() -> None:
    def first(seed: int = 3, index: int = 0, candidate: int = 0, attempt: int = 0) -> float:
        request = Request(Options(), seed, index, candidate=candidate, attempt=attempt)
        return request.random_stream().random()

    assert first() == Request(Options(), 3).random_stream().random()
    streams: list[dict[str, int]] = [
        {},
        {"seed": 4},
        {"index": 1},
        {"candidate": 1},
        {"attempt": 1},
    ]
    streams += [{"candidate": 1, "attempt": 1}, {"attempt": 11}, {"candidate": 11}]
    assert len({first(**numbers) for numbers in streams}) == len(streams)


def test_random_stream_counts_attempts_above_candidates() -> None:
    request = Request(Options(), 3, 8, candidate=MAX_PARALLEL, attempt=31)
    expected = RandomStream(3, 8, MAX_PARALLEL + 31 * 2**16)
    assert request.random_stream().random() == expected.random()
    assert MAX_PARALLEL < 2**16


def test_random_stream_starts_from_its_beginning() -> None:
    request = Request(Options(), 3, 1)
    assert request.random_stream().random() == request.random_stream().random()


def test_random_stream_does_not_depend_on_the_options() -> None:
    cold = Request(Options(temperature=0.1, form="五绝"), 3)
    assert cold.random_stream().random() == Request(Options(), 3).random_stream().random()


def test_new_seed_is_short_and_random() -> None:
    seeds = {new_seed() for _ in range(20)}
    assert len(seeds) > 1
    assert all(0 <= seed < 1_000_000 for seed in seeds)

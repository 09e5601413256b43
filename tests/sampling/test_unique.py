"""Unique poems: which poem takes the place of a duplicate, and when a poem is given up."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from poetgen.data.poem import Poem
from poetgen.errors import UsageError
from poetgen.sampling.generator import Failure, Generator, Sample
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request
from poetgen.sampling.unique import MAX_UNIQUE_ATTEMPTS, UniquePoems, poem_hash
from tests.sampling.models import make_generator, make_request, unigram


def requests(num: int) -> Iterator[Request]:
    return (make_request(index=i, temperature=1) for i in range(num))


@pytest.fixture(scope="module")
def generator() -> Generator:
    """A generator whose poems have one or two of six characters, so that many are equal."""
    logits = {"<eos>": 3.0} | dict.fromkeys("床前明月光云", 0.0)
    return make_generator(unigram(logits), max_tokens=2)


def unique_poems(generator: Generator, num: int, batch_size: int = 64) -> list[Sample | Failure]:
    unique = UniquePoems(generator)
    results = generator.generate(requests(num), batch_size=batch_size)
    return [unique.distinct(result) for result in results]


def test_distinct_poems_are_all_different(generator: Generator) -> None:
    plain = [
        result.poem for result in generator.generate(requests(20)) if isinstance(result, Sample)
    ]
    assert len({poem.text for poem in plain}) < 15
    found = unique_poems(generator, 20)
    poems = [result.poem.text for result in found if isinstance(result, Sample)]
    assert len(set(poems)) == len(poems) == 20
    assert [result.request.index for result in found] == [*range(20)]


def test_distinct_takes_the_first_new_poem_of_the_poem_s_streams(generator: Generator) -> None:
    seen: list[str] = []
    for request, result in zip(requests(20), unique_poems(generator, 20), strict=True):
        attempts = (replace(request, attempt=n) for n in range(MAX_UNIQUE_ATTEMPTS))
        candidates = generator.generate(attempts)
        expected = next(
            one for one in candidates if isinstance(one, Sample) and one.poem.text not in seen
        )
        assert isinstance(result, Sample)
        assert (result.poem, result.request) == (expected.poem, expected.request)
        seen.append(result.poem.text)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 33])
def test_distinct_ignores_the_batch_size(generator: Generator, batch_size: int) -> None:
    def poems(size: int) -> list[tuple[Request, Poem]]:
        found = unique_poems(generator, 30, size)
        return [(one.request, one.poem) for one in found if isinstance(one, Sample)]

    assert poems(batch_size) == poems(64)
    assert len(poems(64)) == 30


def test_distinct_gives_up_a_poem_without_alternatives() -> None:
    generator = make_generator(unigram({"床": 0}), max_tokens=1)
    first, second = unique_poems(generator, 2)
    assert isinstance(first, Sample)
    assert isinstance(second, Failure)
    assert second.request.index == 1
    assert second.error.why == "32 attempts gave only poems that occur before"


def test_distinct_passes_a_failure_on(generator: Generator) -> None:
    failed = Failure(make_request(), ConnectionError())  # type: ignore[arg-type]
    assert UniquePoems(generator).distinct(failed) is failed


def test_add_remembers_poems(generator: Generator) -> None:
    unique = UniquePoems(generator)
    first, second = (poem_hash(Poem(text)) for text in ("云归山。", "云归岭。"))
    assert first.bit_length() <= 64
    assert [unique.add(one) for one in (first, second, first)] == [True, True, False]


def test_unique_needs_a_temperature_above_zero() -> None:
    with pytest.raises(UsageError, match="temperature above 0"):
        Options(unique=True, temperature=0)
    with pytest.raises(UsageError, match="temperature above 0"):
        Options(unique=True).updated({"temperature": 0})

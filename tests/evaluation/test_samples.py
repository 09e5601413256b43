"""Which poems are requested of a generator, and how they are collected."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from poetgen.config import Config
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.engine.scoring import Likelihood
from poetgen.errors import ConstraintError, CorpusError
from poetgen.evaluation.comparison import group_by_form
from poetgen.evaluation.samples import (
    SampleSet,
    sample_by_form,
    sample_for_titles,
    samples_from_file,
    supports_forms,
)
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN, network_arrays
from poetgen.prosody.forms import FORMS
from poetgen.sampling.generator import Failure, Generator, Sample
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request
from tests.evaluation.bundles import conditional_model
from tests.evaluation.verses import verses

COUNTS = dict(zip(FORMS, (3, 2, 0, 1), strict=True))


@pytest.fixture
def unconditional(tiny_model: ModelBundle) -> Generator:
    """A generator whose model has no form conditions."""
    return Generator(tiny_model)


@pytest.fixture
def conditional(tiny_model: ModelBundle, tiny_config: Config) -> Generator:
    """A generator whose model has form conditions."""
    forms = [f"<form:{form}>" for form in FORMS]
    vocab = Vocabulary((*tiny_model.vocab.symbols, *forms))
    torch.manual_seed(1)
    weights = network_arrays(PoemRNN(len(vocab), tiny_config.model))
    return Generator(ModelBundle(weights, vocab, tiny_config, "feed"))


class Recorder:
    """Records what is requested; generates the requested form, or 五绝 and 七绝 in turn."""

    def __init__(self) -> None:
        self.options: list[Options] = []
        self.requests: list[Request] = []

    def generate(
        self, _: Generator, requests: Iterable[Request], *, batch_size: int = 64
    ) -> Iterator[Sample]:
        assert batch_size >= 64
        form = self.options[-1].form
        for request in requests:
            self.requests.append(request)
            (poem,) = verses(form or ("五绝", "七绝")[request.index % 2], 1, request.index)
            yield Sample(request, poem, Likelihood(1, 1, 0, 1, 1.0), ended=True)

    @property
    def indices(self) -> list[int]:
        return [request.index for request in self.requests]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    request = Generator.request

    def record(generator: Generator, options: Options, *, seed: int, index: int = 0) -> Request:
        recorder.options.append(options)
        return request(generator, options, seed=seed, index=index)

    monkeypatch.setattr(Generator, "request", record)
    monkeypatch.setattr(
        Generator, "generate", lambda *args, **keywords: recorder.generate(*args, **keywords)
    )
    return recorder


def test_sample_by_form_conditions_without_constraints(
    conditional: Generator, recorder: Recorder
) -> None:
    samples = sample_by_form(conditional, COUNTS, temperature=0.7, seed=5)
    assert {form: len(poems) for form, poems in samples.poems.items()} == COUNTS
    assert (samples.form_given, samples.num_generated) == (True, 6)
    assert recorder.options == [
        Options(form=form, soft=True, temperature=0.7, allow_copies=True)
        for form, num in COUNTS.items()
        if num
    ]
    assert recorder.indices == list(range(6))  # a random stream for each poem
    assert {request.seed for request in recorder.requests} == {5}


def test_sample_by_form_sorts_without_conditions(
    unconditional: Generator, recorder: Recorder
) -> None:
    counts = {"五绝": 100, "七绝": 40}
    samples = sample_by_form(unconditional, counts, temperature=0.8, seed=1)
    assert {form: len(poems) for form, poems in samples.poems.items()} == counts
    assert not samples.form_given
    # Two batches of 128: half of the first are 64.
    assert (samples.num_generated, samples.forms) == (256, {"五绝": 128, "七绝": 128})
    assert set(recorder.options) == {Options(temperature=0.8, allow_copies=True)}
    assert recorder.indices == list(range(256))


def test_sample_by_form_stops_at_its_limit(unconditional: Generator, recorder: Recorder) -> None:
    counts = {"五绝": 10, "五律": 10}
    samples = sample_by_form(unconditional, counts, temperature=0.8, seed=1)
    assert samples.poems["五律"] == []
    assert len(samples.poems["五绝"]) == 10
    assert samples.num_generated == len(recorder.requests) == 5 * 20


def test_supports_forms_with_and_without_symbols(
    unconditional: Generator, conditional: Generator
) -> None:
    assert supports_forms(conditional)
    assert not supports_forms(unconditional)


def test_sample_by_form_is_reproducible_by_seed(conditional: Generator) -> None:
    first, again, other = (
        sample_by_form(conditional, {"五绝": 2, "七绝": 1}, temperature=1, seed=seed).poems
        for seed in (1, 1, 2)
    )
    assert first == again != other
    poems = [poem for own in first.values() for poem in own]
    assert len({poem.text for poem in poems}) == 3
    assert all(isinstance(poem, Poem) and poem.text for poem in poems)


def test_sample_by_form_imposes_constraints(unconditional: Generator, recorder: Recorder) -> None:
    samples = sample_by_form(
        unconditional, {"七绝": 2}, temperature=0.9, seed=1, mode="constrained"
    )
    assert len(samples.poems["七绝"]) == 2
    assert recorder.options == [Options(form="七绝", rhyme=True, tones=True, temperature=0.9)]


def test_sample_by_form_counts_failed_poems(
    unconditional: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Generator, requests: Iterable[Request], **_options: int) -> Iterator[Failure]:
        return (Failure(request, ConstraintError("no", "none")) for request in requests)

    monkeypatch.setattr(Generator, "generate", fail)
    samples = sample_by_form(unconditional, {"五绝": 3}, temperature=1, seed=1, mode="constrained")
    assert (samples.poems, samples.num_generated, samples.num_failed) == ({"五绝": []}, 0, 3)


def test_sample_by_form_counts_impossible_requests(
    unconditional: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **_options: object) -> Request:
        raise ConstraintError("no", "none")

    monkeypatch.setattr(Generator, "request", refuse)
    samples = sample_by_form(unconditional, {"五绝": 3}, temperature=1, seed=1, mode="constrained")
    assert (samples.num_generated, samples.num_failed) == (0, 3)


def test_samples_from_file_keep_repeated_poems(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    (poem,) = verses("五绝", 1, 1)
    path.write_text(f"{poem}\n{poem}\n山云归去晚，溪月照人来。\n山云。\n", encoding="utf-8")
    assert samples_from_file(path) == SampleSet(
        group_by_form([poem, poem]), False, num_generated=3, forms={"五绝": 2, "other": 1}
    )


def test_samples_from_file_without_a_form_fail(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    path.write_text("山云归去晚，溪月照人来。\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="is in one of the forms"):
        samples_from_file(path)


def test_sample_for_titles_pairs_poems_with_real_ones(tiny_config: Config) -> None:
    generator = Generator(conditional_model(tiny_config))
    real = [
        Poem(poem.text, title) for poem, title in zip(verses("五绝", 2, 1), "山云", strict=True)
    ]
    request: dict[str, Any] = {"temperature": 0.8, "seed": 3, "first_index": 7}
    pairs = sample_for_titles(generator, {"五绝": real, "七绝": []}, **request)
    assert [poem for poem, _ in pairs] == real
    # Each poem is that of its form, title and random stream.
    options = Options(form="五绝", title="云", soft=True, temperature=0.8, allow_copies=True)
    (second,) = generator.generate([generator.request(options, seed=3, index=8)])
    assert isinstance(second, Sample)
    assert pairs[1][1].text == second.poem.text
    assert sample_for_titles(generator, {"五绝": []}, **request) == []


def test_sample_for_titles_needs_a_model_with_titles(conditional: Generator) -> None:
    titled = {"五绝": [Poem("山。", "山")]}
    assert sample_for_titles(conditional, titled, temperature=1.0, seed=1, first_index=0) == []

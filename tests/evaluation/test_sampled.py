"""Which poems are asked of a model, and what becomes of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from poetgen.config import Config
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.errors import ConstraintError, CorpusError
from poetgen.evaluation import sampled
from poetgen.evaluation.real import by_form
from poetgen.evaluation.sampled import Sampled, knows_forms, poems_of_file, sample_by_form
from poetgen.model.likelihood import Likelihood
from poetgen.model.store import StoredModel, new_model
from poetgen.prosody.forms import FORMS
from poetgen.sampling.decode import Failed, Sample
from poetgen.sampling.options import DEFAULT_PARTICLES
from poetgen.sampling.request import Request
from tests.evaluation.verses import verses

COUNTS = dict(zip(FORMS, (3, 2, 0, 1), strict=True))


@pytest.fixture
def told(tiny_model: StoredModel, tiny_config: Config) -> StoredModel:
    """A model that can be told a form."""
    forms = [f"<form:{form}>" for form in FORMS]
    vocab = Vocabulary((*tiny_model.vocab.symbols, *forms))
    torch.manual_seed(1)
    model = new_model(tiny_config, vocab).eval().requires_grad_(False)
    return StoredModel(model, vocab, tiny_config, "feed")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests to the decoder, which answers with the form asked for, or with 五绝 and 七绝 in turn."""
    requests: list[Request] = []

    def generate(
        _model: object, _vocab: object, given: Iterable[Request], **_: Any
    ) -> Iterator[Sample]:
        for request in given:
            requests.append(request)
            form = request.conditions.form or ("五绝", "七绝")[request.index % 2]
            (poem,) = verses(form, 1, request.index)
            yield Sample(request, poem, Likelihood(1, 1, 0, 1, 1.0), ended=True)

    monkeypatch.setattr(sampled, "generate", generate)
    return requests


def test_a_model_is_told_the_form_and_nothing_is_imposed(
    told: StoredModel, asked: list[Request]
) -> None:
    ticks: list[int] = []
    found = sample_by_form(told, COUNTS, temperature=0.7, seed=5, tick=ticks.append)
    assert {form: len(poems) for form, poems in found.poems.items()} == COUNTS
    assert (found.told_form, found.num_written, sum(ticks)) == (True, 6, 6)
    assert [request.conditions.form for request in asked] == ["五绝"] * 3 + ["七绝"] * 2 + ["七律"]
    assert [request.index for request in asked] == list(range(6))  # a random stream for each poem
    for request in asked:
        assert (request.seed, request.settings.temperature) == (5, 0.7)
        assert not request.constraints.form
        assert request.settings.allow_copies


def test_a_model_that_cannot_be_told_writes_until_each_form_has_its_share(
    tiny_model: StoredModel, asked: list[Request]
) -> None:
    counts = {"五绝": 100, "七绝": 40}
    found = sample_by_form(tiny_model, counts, temperature=0.8, seed=1)
    assert {form: len(poems) for form, poems in found.poems.items()} == counts
    assert not found.told_form
    # Two rounds of 128: half of the first are 64.
    assert (found.num_written, found.forms) == (256, {"五绝": 128, "七绝": 128})
    assert all(not request.conditions for request in asked)
    assert [request.index for request in asked] == list(range(256))


def test_it_does_not_write_forever(tiny_model: StoredModel, asked: list[Request]) -> None:
    counts = {"五绝": 10, "五律": 10}
    found = sample_by_form(tiny_model, counts, temperature=0.8, seed=1)
    assert found.poems["五律"] == []
    assert len(found.poems["五绝"]) == 10
    assert found.num_written == len(asked) == 5 * 20


def test_models_with_and_without_form_symbols(tiny_model: StoredModel, told: StoredModel) -> None:
    assert knows_forms(told)
    assert not knows_forms(tiny_model)


def test_the_decoder_itself_writes_them_and_the_seed_decides(told: StoredModel) -> None:
    one, again, other = (
        [
            poem
            for poems in sample_by_form(
                told, {"五绝": 2, "七绝": 1}, temperature=1, seed=seed
            ).poems.values()
            for poem in poems
        ]
        for seed in (1, 1, 2)
    )
    assert one == again != other
    assert len({poem.text for poem in one}) == 3
    assert all(isinstance(poem, Poem) and poem.text for poem in one)


def test_constrained_poems_have_form_rhyme_and_tones_imposed(
    tiny_model: StoredModel, asked: list[Request]
) -> None:
    found = sample_by_form(tiny_model, {"七绝": 2}, temperature=0.9, seed=1, constrained=True)
    assert len(found.poems["七绝"]) == 2
    for request in asked:
        constraints = request.constraints
        assert (constraints.form, constraints.rhyme, constraints.tones) == ("七绝", True, True)
        assert request.settings.particles == DEFAULT_PARTICLES
        assert not request.settings.allow_copies


def test_constrained_poems_that_cannot_be_written_are_counted(
    tiny_model: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generate(
        _model: object, _vocab: object, given: Iterable[Request], **_: Any
    ) -> Iterator[Failed]:
        yield from (Failed(request, ConstraintError("no", "none")) for request in given)

    monkeypatch.setattr(sampled, "generate", generate)
    found = sample_by_form(tiny_model, {"五绝": 3}, temperature=1, seed=1, constrained=True)
    assert (found.poems, found.num_written, found.num_failed) == ({"五绝": []}, 0, 3)


def test_poems_that_something_wrote_keep_their_repetitions(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    (poem,) = verses("五绝", 1, 1)
    path.write_text(f"{poem}\n{poem}\n山云归去晚，溪月照人来。\n山云。\n", encoding="utf-8")
    assert poems_of_file(path) == Sampled(
        by_form([poem, poem]), told_form=False, num_written=3, forms={"五绝": 2, "other": 1}
    )


def test_a_file_without_a_poem_in_form_is_no_column(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    path.write_text("山云归去晚，溪月照人来。\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="no poem in one of the forms"):
        poems_of_file(path)

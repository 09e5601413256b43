"""What a run starts from: a network of chance, another model, or nothing but its own state."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from poetgen.config import Config, build_config
from poetgen.data.lines import LineSet
from poetgen.data.poem import MARKS, Poem
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.errors import ConfigError, ModelFileError
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel, new_model, save_model
from poetgen.training.checkpoint import TrainingState
from poetgen.training.start import starting_point, take_over, with_shape_of

OLD = Vocabulary((*SPECIALS, *MARKS, *"山水云月风花"))
OLD_POEMS = [Poem("山水云月风，花月山水云。")]
# 雪 and 夜 are new; 花 stands in none of them and 山 in both.
POEMS = [
    Poem("山水云月夜，雪月山水风。", "夜", "竹客"),
    Poem("夜雪云山水，风月水夜云。", "", "竹客"),
]
SHAPES: list[dict[str, Any]] = [
    {},
    {"tied": False},
    {"num_layers": 2, "cell": "gru"},
    {"cell": "rnn", "embedding_size": 8},
]


def stored_model(vocab: Vocabulary = OLD, **shape: Any) -> StoredModel:
    """A model of 8 hidden units and weights by chance, its biases too."""
    torch.manual_seed(3)
    given = {"embedding_size": 6, "hidden_size": 8, "num_layers": 1, **shape}
    config = build_config({"model": given})
    model = new_model(config, vocab)
    with torch.no_grad():
        model.output_bias.uniform_(-3, 3)
    return StoredModel(model.eval().requires_grad_(False), vocab, config, "c0ffee")


def config_from(init: str | Path = "", **sections: Any) -> Config:
    train = {"init": str(init), **sections.pop("train", {})}
    return build_config({"data": {"min_count": 1}, "train": train, **sections})


@pytest.fixture
def origin_file(tmp_path: Path) -> Path:
    path = tmp_path / "origin.safetensors"
    save_model(path, stored_model())
    return path


def logits(model: PoemLSTM, vocab: Vocabulary, text: str) -> torch.Tensor:
    return model.forward(torch.tensor([vocab.encode_poem(text)]))[0]


def test_run_without_init_has_its_own_vocabulary_and_weights_by_chance() -> None:
    config = config_from(conditions={"form": 0.5, "author": 0.5, "author_min_poems": 2})
    torch.manual_seed(7)
    start = starting_point(config, POEMS, None)
    assert start.config == config
    assert set(start.vocab.symbols[4:-5]) == {*MARKS, *"山水云月夜雪风"}
    assert start.vocab.symbols[-5:] == (
        *(f"<form:{form}>" for form in ("五绝", "七绝", "五律", "七律")),
        "<author:竹客>",
    )
    torch.manual_seed(7)
    expected = new_model(config, start.vocab).state_dict()
    assert all(torch.equal(w, expected[name]) for name, w in start.model.state_dict().items())
    (lines,) = start.lines
    assert lines.num_lines == 4
    assert "山水云月夜" in lines


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_run_starts_from_the_predictions_of_the_model_it_names(
    tmp_path: Path, shape: dict[str, Any]
) -> None:
    """Bit for bit, where the poems bring nothing new."""
    origin = stored_model(**shape)
    save_model(tmp_path / "origin.safetensors", origin)
    start = starting_point(config_from(tmp_path / "origin.safetensors"), OLD_POEMS, None)
    assert start.vocab == OLD
    text = "山水，花云。"
    assert torch.equal(logits(start.model.eval(), OLD, text), logits(origin.model, OLD, text))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_new_symbols_change_no_prediction_of_an_old_one(
    tmp_path: Path, shape: dict[str, Any]
) -> None:
    origin = stored_model(**shape)
    save_model(tmp_path / "origin.safetensors", origin)
    config = config_from(tmp_path / "origin.safetensors", conditions={"form": 0.5, "title": 0.5})
    start = starting_point(config, POEMS, None)
    # 夜 thrice, 雪 twice; the conditions come after the characters.
    forms = [f"<form:{form}>" for form in ("五绝", "七绝", "五律", "七律")]
    assert start.vocab.symbols == (*OLD.symbols, "夜", "雪", *forms, "<title>")
    text = "山水，花云。"
    found = logits(start.model.eval(), start.vocab, text)
    assert found.shape[-1] == len(start.vocab) == len(OLD) + 7
    expected = logits(origin.model, OLD, text)
    torch.testing.assert_close(found[..., : len(OLD)], expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        for name, weight in start.model.state_dict().items():
            old = origin.model.state_dict()[name]
            assert torch.equal(weight[: len(old)], old), name


def test_new_symbols_have_the_least_bias_and_embeddings_of_their_own(origin_file: Path) -> None:
    torch.manual_seed(11)
    start = starting_point(config_from(origin_file), POEMS, None)
    least = stored_model().model.output_bias.min()
    assert start.model.output_bias[len(OLD) :].tolist() == [least.item()] * 2
    new_ME = start.model.embedding.detach()[len(OLD) :]
    assert 0 < float(new_ME.abs().max()) < 0.11
    assert not torch.equal(new_ME[0], new_ME[1])


def test_weights_that_are_taken_over_are_copies() -> None:
    origin = stored_model()
    before = {name: weight.clone() for name, weight in origin.model.state_dict().items()}
    model = new_model(origin.config, OLD)
    take_over(model, origin)
    assert all(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    for name, weight in origin.model.state_dict().items():
        assert torch.equal(weight, before[name]), name


def test_shape_is_the_models_and_all_else_the_configurations(origin_file: Path) -> None:
    config = config_from(
        origin_file, model={"output_dropout": 0.125}, train={"epochs": 3}, data={"min_count": 1}
    )
    start = starting_point(config, POEMS, None)
    shape = start.config.model
    assert (shape.cell, shape.embedding_size, shape.hidden_size) == ("lstm", 6, 8)
    assert (shape.num_layers, shape.tied) == (1, True)
    assert shape.output_dropout == start.model.output_dropout == 0.125
    assert (start.config.train, start.config.data) == (config.train, config.data)


def test_shape_that_is_named_and_the_same_is_no_conflict() -> None:
    config = config_from(model={"hidden_size": 8, "cell": "lstm"})
    assert with_shape_of(config, stored_model()).model.hidden_size == 8


@pytest.mark.parametrize(
    ("key", "own", "theirs"),
    [
        ("cell", "gru", "lstm"),
        ("embedding_size", 7, 6),
        ("hidden_size", 16, 8),
        ("num_layers", 2, 1),
        ("tied", False, True),
        ("hidden_size", 640, 8),  # the default, but named
    ],
)
def test_another_shape_is_refused_naming_both(
    origin_file: Path, key: str, own: object, theirs: object
) -> None:
    with pytest.raises(ConfigError) as caught:
        starting_point(config_from(origin_file, model={key: own}), POEMS, None)
    assert f"model.{key} = {own}, the model to start from {theirs}" in caught.value.why
    assert "--init" in caught.value.fix
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("content", [None, b"", b"no model", b"\x80\x02."], ids=repr)
def test_model_to_start_from_that_is_missing_or_damaged(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "origin.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        starting_point(config_from(path), POEMS, None)
    assert str(path) in caught.value.why
    assert caught.value.fix


def test_named_model_is_taken_and_not_that_of_the_environment(
    tmp_path: Path, origin_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path / "other.safetensors", stored_model(hidden_size=5))
    monkeypatch.setenv("POETGEN_CHECKPOINT", str(tmp_path / "other.safetensors"))
    assert starting_point(config_from(origin_file), POEMS, None).model.hidden_size == 8


def test_training_lines_of_both_are_known(tmp_path: Path) -> None:
    own = LineSet.of(OLD_POEMS, rate=1e-9)  # so that it takes no other line for one of its own
    path = tmp_path / "origin.safetensors"
    save_model(path, replace(stored_model(), lines=(own,)))
    old, new = starting_point(config_from(path), [*POEMS, *OLD_POEMS], None).lines
    assert "花月山水云" in old
    assert new.num_lines == 4, "the lines of POEMS; those of the model's own text are known"
    assert len(starting_point(config_from(path), OLD_POEMS, None).lines) == 1


def test_run_that_goes_on_needs_no_model_to_start_from(tmp_path: Path) -> None:
    vocab = Vocabulary((*OLD.symbols, "夜", "<title>"))
    state = TrainingState(tmp_path, {}, vocab, ())
    config = config_from(tmp_path / "gone", model={"hidden_size": 8, "embedding_size": 6})
    start = starting_point(config, POEMS, state)
    assert (start.config, start.vocab, start.lines) == (config, vocab, ())
    assert start.model.embedding.shape == (len(vocab), 6)

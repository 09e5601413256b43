"""Initial states: random weights, a pretrained model, or a resumed run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from poetgen.config import Config, build_config
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.errors import ConfigError, ModelFileError
from poetgen.model.file import ModelBundle, save_model
from poetgen.model.network import PoemRNN, network_arrays
from poetgen.prosody.marks import MARKS
from poetgen.training.checkpoint import TrainingState
from poetgen.training.init import inherit_architecture, initial_state, load_pretrained
from poetgen.training.state import Progress
from poetgen.training.state_format import StateParts

OLD = Vocabulary((*SPECIALS, *MARKS, *"山水云月风花"))
OLD_POEMS = [Poem("山水云月风，花月山水云。")]
# 雪 and 夜 are new; 花 is in neither poem and 山 in both.
POEMS = [
    Poem("山水云月夜，雪月山水风。", "夜", "竹客"),
    Poem("夜雪云山水，风月水夜云。", "", "竹客"),
]
ARCHITECTURES: list[dict[str, Any]] = [
    {},
    {"tie_embeddings": False},
    {"num_layers": 2, "cell": "gru"},
    {"cell": "rnn", "embedding_size": 8},
]


def pretrained_bundle(vocab: Vocabulary = OLD, **shape: Any) -> ModelBundle:
    """A model of 8 hidden units with random weights and biases."""
    torch.manual_seed(3)
    given = {"embedding_size": 6, "hidden_size": 8, "num_layers": 1, **shape}
    config = build_config({"model": given})
    network = PoemRNN(len(vocab), config.model)
    with torch.no_grad():
        network.output_bias.uniform_(-3, 3)
    return ModelBundle(network_arrays(network), vocab, config, "c0ffee")


def config_from(init_from: str | Path = "", **sections: Any) -> Config:
    train = {"init_from": str(init_from), **sections.pop("train", {})}
    return build_config({"data": {"min_count": 1}, "train": train, **sections})


@pytest.fixture
def origin_file(tmp_path: Path) -> Path:
    path = tmp_path / "origin.safetensors"
    save_model(path, pretrained_bundle())
    return path


def logits(network: PoemRNN, vocab: Vocabulary, text: str) -> torch.Tensor:
    return network.forward(torch.tensor([vocab.encode_poem(text)]))[0]


def test_initial_state_without_init_is_random() -> None:
    config = config_from(conditions={"form_rate": 0.5, "author_rate": 0.5, "author_min_poems": 2})
    torch.manual_seed(7)
    initial = initial_state(config, POEMS, None)
    assert initial.config == config
    assert set(initial.vocab.symbols[4:-5]) == {*MARKS, *"山水云月夜雪风"}
    assert initial.vocab.symbols[-5:] == (
        *(f"<form:{form}>" for form in ("五绝", "七绝", "五律", "七律")),
        "<author:竹客>",
    )
    torch.manual_seed(7)
    expected = PoemRNN(len(initial.vocab), config.model).state_dict()
    assert all(torch.equal(w, expected[name]) for name, w in initial.network.state_dict().items())
    (lines,) = initial.training_lines
    assert lines.num_lines == 4
    assert "山水云月夜" in lines


@pytest.mark.parametrize("shape", ARCHITECTURES, ids=str)
def test_initial_state_predicts_as_pretrained(tmp_path: Path, shape: dict[str, Any]) -> None:
    """Bit for bit if the poems have no new symbols."""
    origin = pretrained_bundle(**shape)
    save_model(tmp_path / "origin.safetensors", origin)
    initial = initial_state(config_from(tmp_path / "origin.safetensors"), OLD_POEMS, None)
    assert initial.vocab == OLD
    text = "山水，花云。"
    assert torch.equal(logits(initial.network.eval(), OLD, text), logits(origin.network, OLD, text))


@pytest.mark.parametrize("shape", ARCHITECTURES, ids=str)
def test_new_symbols_keep_the_old_predictions(tmp_path: Path, shape: dict[str, Any]) -> None:
    origin = pretrained_bundle(**shape)
    save_model(tmp_path / "origin.safetensors", origin)
    config = config_from(
        tmp_path / "origin.safetensors", conditions={"form_rate": 0.5, "title_rate": 0.5}
    )
    initial = initial_state(config, POEMS, None)
    # 夜 thrice, 雪 twice; the conditions come after the characters.
    forms = [f"<form:{form}>" for form in ("五绝", "七绝", "五律", "七律")]
    assert initial.vocab.symbols == (*OLD.symbols, "夜", "雪", *forms, "<title>")
    text = "山水，花云。"
    found = logits(initial.network.eval(), initial.vocab, text)
    assert found.shape[-1] == len(initial.vocab) == len(OLD) + 7
    expected = logits(origin.network, OLD, text)
    torch.testing.assert_close(found[..., : len(OLD)], expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        for name, weight in initial.network.state_dict().items():
            old = origin.network.state_dict()[name]
            assert torch.equal(weight[: len(old)], old), name


def test_new_symbols_have_the_lowest_bias(origin_file: Path) -> None:
    torch.manual_seed(11)
    initial = initial_state(config_from(origin_file), POEMS, None)
    lowest = pretrained_bundle().network.output_bias.min()
    assert initial.network.output_bias[len(OLD) :].tolist() == [lowest.item()] * 2
    new_ME = initial.network.embedding.detach()[len(OLD) :]
    assert 0 < float(new_ME.abs().max()) < 0.11
    assert not torch.equal(new_ME[0], new_ME[1])


def test_load_pretrained_copies_the_weights() -> None:
    origin = pretrained_bundle()
    before = {name: weight.clone() for name, weight in origin.network.state_dict().items()}
    network = PoemRNN(len(OLD), origin.config.model)
    load_pretrained(network, origin)
    assert all(parameter.requires_grad for parameter in network.parameters())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    for name, weight in origin.network.state_dict().items():
        assert torch.equal(weight, before[name]), name


def test_initial_state_inherits_only_the_architecture(origin_file: Path) -> None:
    config = config_from(
        origin_file, model={"output_dropout": 0.125}, train={"epochs": 3}, data={"min_count": 1}
    )
    initial = initial_state(config, POEMS, None)
    model = initial.config.model
    assert (model.cell, model.embedding_size, model.hidden_size) == ("lstm", 6, 8)
    assert (model.num_layers, model.tie_embeddings) == (1, True)
    assert model.output_dropout == initial.network.config.output_dropout == 0.125
    assert (initial.config.train, initial.config.data) == (config.train, config.data)


def test_inherit_architecture_accepts_equal_values() -> None:
    config = config_from(model={"hidden_size": 8, "cell": "lstm"})
    assert inherit_architecture(config, pretrained_bundle()).model.hidden_size == 8


@pytest.mark.parametrize(
    ("key", "own", "theirs"),
    [
        ("cell", "gru", "lstm"),
        ("embedding_size", 7, 6),
        ("hidden_size", 16, 8),
        ("num_layers", 2, 1),
        ("tie_embeddings", False, True),
        ("hidden_size", 640, 8),  # the default, but set explicitly
    ],
)
def test_initial_state_refuses_another_architecture(
    origin_file: Path, key: str, own: object, theirs: object
) -> None:
    with pytest.raises(ConfigError) as caught:
        initial_state(config_from(origin_file, model={key: own}), POEMS, None)
    assert f"model.{key} = {own}, the model to start from {theirs}" in caught.value.why
    assert "--init" in caught.value.fix
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("content", [None, b"", b"no model", b"\x80\x02."], ids=repr)
def test_initial_state_refuses_a_bad_model_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "origin.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        initial_state(config_from(path), POEMS, None)
    assert str(path) in caught.value.why
    assert caught.value.fix


def test_init_from_beats_the_environment(
    tmp_path: Path, origin_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path / "other.safetensors", pretrained_bundle(hidden_size=5))
    monkeypatch.setenv("POETGEN_CHECKPOINT", str(tmp_path / "other.safetensors"))
    assert initial_state(config_from(origin_file), POEMS, None).network.hidden_size == 8


def test_training_lines_are_those_of_both_runs(tmp_path: Path) -> None:
    own = LineBloomFilter.from_poems(OLD_POEMS, rate=1e-9)  # so that there are no false positives
    path = tmp_path / "origin.safetensors"
    save_model(path, replace(pretrained_bundle(), training_lines=(own,)))
    old, new = initial_state(config_from(path), [*POEMS, *OLD_POEMS], None).training_lines
    assert "花月山水云" in old
    assert new.num_lines == 4, "only the lines of POEMS; the others are in the first filter"
    assert len(initial_state(config_from(path), OLD_POEMS, None).training_lines) == 1


def test_resumed_state_ignores_init_from(tmp_path: Path) -> None:
    vocab = Vocabulary((*OLD.symbols, "夜", "<title>"))
    parts = StateParts({}, {}, {}, Progress(), vocab, (), "", {})
    state = TrainingState(tmp_path, parts)
    config = config_from(tmp_path / "gone", model={"hidden_size": 8, "embedding_size": 6})
    initial = initial_state(config, POEMS, state)
    assert (initial.config, initial.vocab, initial.training_lines) == (config, vocab, ())
    assert initial.network.embedding.shape == (len(vocab), 6)

"""What a run starts from: a network of chance, or another model with its vocabulary extended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from poetgen.config import Config
from poetgen.data.conditions import condition_symbols
from poetgen.data.lines import LineSet
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.errors import ConfigError
from poetgen.model.locate import find_model
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel, load_model, new_model
from poetgen.training.checkpoint import TrainingState
from poetgen.training.relations import relation_embedding

_SHAPE = ("cell", "embedding_size", "hidden_size", "num_layers", "tied")


@dataclass(frozen=True)
class Start:
    """What the first step, or the next one, finds in place."""

    config: Config
    model: PoemLSTM
    vocab: Vocabulary
    lines: tuple[LineSet, ...]
    """Of all the text that the model will have been trained on."""
    lines_before: tuple[LineSet, ...] = ()
    """Of the text that it has been trained on already, by another run."""


def starting_point(config: Config, poems: Sequence[Poem], resumed: TrainingState | None) -> Start:
    """The configuration, network and vocabulary that a run on `poems` begins with.

    With `config.train.init` they are that model's, its vocabulary extended by what `poems` have and
    it lacks.  `resumed` is the state of a run that goes on: its weights are yet to be put in place.

    Raises:
        ModelFileError: the model to start from is missing or damaged.
        ConfigError: `config` asks for another shape than that model has.
    """
    if resumed is not None:
        vocab = resumed.vocab
        return Start(config, new_model(config, vocab), vocab, resumed.lines)
    vocab = Vocabulary.build(
        poems,
        min_count=config.data.min_count,
        conditions=condition_symbols(poems, config.conditions),
    )
    if not config.train.init:
        model = new_model(config, vocab)
        if config.model.embedding_init == "relations":
            embed_by_relations(model, poems, vocab)
        return Start(config, model, vocab, (LineSet.of(poems),))
    origin = load_model(find_model(config.train.init).path)
    config = with_shape_of(config, origin)
    vocab = origin.vocab.extended(vocab)
    model = new_model(config, vocab)
    take_over(model, origin)
    new = LineSet.of(poems, known=origin.lines)
    lines = (*origin.lines, new) if new.num_lines else origin.lines
    return Start(config, model, vocab, lines, origin.lines)


@torch.no_grad()
def embed_by_relations(model: PoemLSTM, poems: Sequence[Poem], vocab: Vocabulary) -> None:
    """Put `relation_embedding` in the place of the embeddings of chance, as spread out as they are."""
    model.embedding.copy_(relation_embedding(poems, vocab, model.embedding))


def with_shape_of(config: Config, origin: StoredModel) -> Config:
    """`config` with the shape of `origin`'s network.

    Raises:
        ConfigError: `config` sets another shape itself.
    """
    theirs: dict[str, Any] = {key: getattr(origin.config.model, key) for key in _SHAPE}
    for key, value in theirs.items():
        own = getattr(config.model, key)
        if key in config.model.model_fields_set and own != value:
            raise ConfigError(
                f"the configuration has model.{key} = {own}, the model to start from {value}",
                "Leave model.* of its shape out: a run with --init has the shape of that model.",
            )
    return config.model_copy(update={"model": config.model.model_copy(update=theirs)})


@torch.no_grad()
def take_over(model: PoemLSTM, origin: StoredModel) -> None:
    """Put `origin`'s weights into `model`; rows of symbols that it lacks stay as they are.

    Their output biases become the least of `origin`'s, for it has never seen them.
    """
    old = origin.model.state_dict()
    for name, weight in model.state_dict().items():
        known = old[name]
        if name == "output_bias":
            weight.fill_(float(known.min()))
        weight[: len(known)] = known

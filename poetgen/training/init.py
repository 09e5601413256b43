"""The initial state of a run: random weights, or a pretrained model with its vocabulary extended."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from poetgen.config import Config
from poetgen.data.bloom import LineBloomFilter, is_mostly_known
from poetgen.data.conditions import condition_symbols
from poetgen.data.encode import TrainingDataset
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.errors import ConfigError
from poetgen.language import tr, tr_plural
from poetgen.model.file import ModelBundle, load_model
from poetgen.model.network import PoemRNN
from poetgen.runs import find_model
from poetgen.training.checkpoint import TrainingState, read_training_state, restore
from poetgen.training.cooccurrence_init import cooccurrence_embedding
from poetgen.training.prepare import RunPlan
from poetgen.training.state import Trainer

logger = logging.getLogger(__name__)

_ARCHITECTURE_KEYS = ("cell", "embedding_size", "hidden_size", "num_layers", "tie_embeddings")
_ADDITIONS = {"verse_inputs": False, "reuse_term": "none"}
"""Parts of a network that a pretrained one may lack, and the values that say so.

Their initial weights are zeros, so adding one does not change what the network computes.
"""


@dataclass(frozen=True)
class InitialState:
    """The network that a run starts with, and its configuration and vocabulary."""

    config: Config
    network: PoemRNN
    vocab: Vocabulary
    training_lines: tuple[LineBloomFilter, ...]
    """The lines of all text that the network will have been trained on."""
    pretraining_lines: tuple[LineBloomFilter, ...] = ()
    """The lines of the text that another run has already trained it on."""


def new_trainer(plan: RunPlan, device: torch.device) -> Trainer:
    """Return the trainer of a new run, or of a resumed one with its training state restored.

    Raises:
        ModelFileError: The training state or the model to start from cannot be used.
        ConfigError: The configuration contradicts the architecture of the model to start from.
    """
    poems, valid_poems = plan.corpus.training_poems, plan.corpus.splits["valid"]
    state = read_training_state(plan.run.last) if plan.resume else None
    logger.info(
        tr_plural(len(poems), "preparing {num:,} training poem", "preparing {num:,} training poems")
    )
    torch.manual_seed(plan.config.train.seed)
    initial = initial_state(plan.config, poems, state)
    num_known = sum(is_mostly_known(poem.lines, initial.pretraining_lines) for poem in valid_poems)
    if num_known:
        logger.warning(
            tr(
                "the model to start from was trained on {known:,} of the {num:,} validation poems, "
                "so the validation loss will be too low",
                known=num_known,
                num=len(valid_poems),
            )
        )
    trainer = Trainer(
        initial.network.to(device),
        initial.config,
        initial.vocab,
        TrainingDataset(poems, initial.vocab, initial.config),
        valid_poems,
        plan.corpus.fingerprint,
        initial.training_lines,
    )
    if state is not None:
        restore(state, trainer)
    return trainer


def initial_state(
    config: Config, poems: Sequence[Poem], resumed: TrainingState | None
) -> InitialState:
    """Return the configuration, network and vocabulary that a run on `poems` starts with.

    With `config.train.init_from`, they are those of that model, its vocabulary extended by the symbols
    that only `poems` have.  With `resumed`, the vocabulary is that of the state, whose weights remain to
    be restored.

    Raises:
        ModelFileError: The model to start from is missing or damaged.
        ConfigError: `config` sets another architecture than that model has.
    """
    if resumed is not None:
        vocab = resumed.parts.vocabulary
        network = PoemRNN(len(vocab), config.model)
        return InitialState(config, network, vocab, resumed.parts.training_lines)
    vocab = Vocabulary.build(
        poems,
        min_count=config.data.min_count,
        conditions=condition_symbols(poems, config.conditions),
    )
    if not config.train.init_from:
        network = PoemRNN(len(vocab), config.model)
        if config.model.embedding_init == "cooccurrence":
            logger.info(tr("computing the initial embedding from co-occurrence counts"))
            with torch.no_grad():
                network.embedding.copy_(cooccurrence_embedding(poems, vocab, network.embedding))
        return InitialState(config, network, vocab, (LineBloomFilter.from_poems(poems),))
    pretrained = load_model(find_model(config.train.init_from).path)
    config = inherit_architecture(config, pretrained)
    vocab = pretrained.vocab.extended(vocab)
    network = PoemRNN(len(vocab), config.model)
    load_pretrained(network, pretrained)
    training_lines = pretrained.training_lines
    new_lines = LineBloomFilter.from_poems(poems, known=training_lines)
    if new_lines.num_lines:
        training_lines = (*training_lines, new_lines)
    return InitialState(config, network, vocab, training_lines, pretrained.training_lines)


def inherit_architecture(config: Config, pretrained: ModelBundle) -> Config:
    """Return `config` with the architecture of `pretrained`, and the additions that `config` asks for.

    Raises:
        ConfigError: `config` explicitly sets another value for one of its keys.
    """
    architecture: dict[str, Any] = {
        key: getattr(pretrained.config.model, key) for key in (*_ARCHITECTURE_KEYS, *_ADDITIONS)
    }
    added = {key for key, nothing in _ADDITIONS.items() if architecture[key] == nothing}
    added &= config.model.model_fields_set
    inherited = {key: value for key, value in architecture.items() if key not in added}
    for key, value in inherited.items():
        own = getattr(config.model, key)
        if key in config.model.model_fields_set and own != value:
            raise ConfigError(
                tr(
                    "the configuration has model.{key} = {own}, the model to start from {value}",
                    key=key,
                    own=own,
                    value=value,
                ),
                tr("Remove the key: with --init, the pretrained model sets the architecture."),
            )
    return config.model_copy(update={"model": config.model.model_copy(update=inherited)})


@torch.no_grad()
def load_pretrained(network: PoemRNN, pretrained: ModelBundle) -> None:
    """Copy the weights of `pretrained` into `network`, whose vocabulary may be longer.

    Rows of new symbols keep their initial weights, as do parts that `pretrained` lacks.  The output
    biases of new symbols become the lowest of the pretrained ones, because the model has never seen them.
    """
    old = pretrained.network.state_dict()
    for name, weight in network.state_dict().items():
        source = old.get(name)
        if source is None:
            continue
        if name == "output_bias":
            weight.fill_(float(source.min()))
        weight[: len(source)] = source

"""Models and evaluation sets for tests."""

import math
from pathlib import Path
from typing import Any

import torch

from poetgen.config import Config, build_config
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.samples import SampleSet
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN, network_arrays
from poetgen.prosody.forms import FORMS
from tests.evaluation.verses import verses

VOCAB = Vocabulary(("<pad>", "<bos>", "<eos>", "<unk>", *"，。？！", *"山云"))
PROBABILITIES = {"<eos>": 1 / 8, "<unk>": 1 / 8, "。": 1 / 4, "山": 1 / 4, "云": 1 / 4}
POEMS = [Poem("山云。"), Poem("山鹤云山。云。")]


def constant_model(
    probabilities: dict[str, float] = PROBABILITIES, name: str = "a.safetensors"
) -> ModelBundle:
    """Return a model with the same probabilities at every step."""
    config = build_config({"model": {"embedding_size": 4, "hidden_size": 4, "num_layers": 1}})
    network = PoemRNN(len(VOCAB), config.model)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        network.output_bias.fill_(-60)
        for symbol, probability in probabilities.items():
            network.output_bias[VOCAB.ids[symbol]] = math.log(probability)
    return ModelBundle(network_arrays(network), VOCAB, config, "feed", {}, path=Path(name))


def conditional_model(config: Config) -> ModelBundle:
    """Return a random model with forms and titles as conditions."""
    text = sorted({c for form in FORMS for poem in verses(form, 20, 1) for c in poem.characters})
    forms = [f"<form:{form}>" for form in FORMS]
    vocab = Vocabulary((*VOCAB.symbols[:8], *text, *forms, "<title>"))
    torch.manual_seed(1)
    weights = network_arrays(PoemRNN(len(vocab), config.model))
    return ModelBundle(weights, vocab, config, "feed", path=Path("conditional.safetensors"))


def eval_set_of(poems: list[Poem] = POEMS, **fields: Any) -> EvaluationSet:
    return EvaluationSet(poems, "here", **fields)


def file_samples(poems: dict[str, list[Poem]]) -> SampleSet:
    """Return poems as if they came from a file."""
    counts = {form: len(own) for form, own in poems.items()}
    return SampleSet(poems, False, num_generated=sum(counts.values()), forms=counts)

"""Shared fixtures: a tiny model, the starter verses, and the real corpus where it is available."""

import os
from pathlib import Path

import pytest
import torch

from poetgen.config import Config, build_config
from poetgen.data.corpus import Corpus, corpus_paths, load_corpus
from poetgen.data.vocab import Vocabulary
from poetgen.model.file import ModelBundle, save_model
from poetgen.model.network import PoemRNN, network_arrays

REAL_CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus" / "tang"


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POETGEN_CORPUS", "POETGEN_CORPUS_URL", "POETGEN_CHECKPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POETGEN_LANGUAGE", "en")


@pytest.fixture(scope="session")
def real_corpus() -> Path:
    """Return the folder of the real Tang corpus; skip the test without one."""
    path = Path(_CORPUS_BEFORE_TESTS or REAL_CORPUS)
    if not path.exists():
        pytest.skip("the real corpus is not available: set POETGEN_CORPUS")
    return path


_CORPUS_BEFORE_TESTS = os.environ.get("POETGEN_CORPUS")


@pytest.fixture(scope="session")
def starter() -> Corpus:
    """Return the starter verses, cleaned and split."""
    return load_corpus(corpus_paths([Path("starter")]))


@pytest.fixture
def tiny_config() -> Config:
    """Return the configuration of a small network, trained for two epochs on the starter verses."""
    return build_config(
        {
            "data": {"corpus": ["starter"], "min_count": 1, "max_tokens": 64},
            "model": {
                "embedding_size": 12,
                "hidden_size": 16,
                "num_layers": 2,
                "weight_dropout": 0.2,
            },
            "train": {
                "epochs": 2,
                "batch_tokens": 1024,
                "warmup_steps": 4,
                "ema_decay": 0.9,
                "precision": "fp32",
            },
        }
    )


@pytest.fixture
def tiny_model(tiny_config: Config, starter: Corpus) -> ModelBundle:
    """Return an untrained model of `tiny_config`; its weights are always the same."""
    vocab = Vocabulary.build(starter.splits["train"], min_count=1)
    torch.manual_seed(0)
    weights = network_arrays(PoemRNN(len(vocab), tiny_config.model))
    return ModelBundle(weights, vocab, tiny_config, starter.fingerprint, {"epoch": 0.0})


@pytest.fixture
def model_file(tiny_model: ModelBundle, tmp_path: Path) -> Path:
    """Return the path of a file that holds `tiny_model`."""
    path = tmp_path / "tiny.safetensors"
    save_model(path, tiny_model)
    return path

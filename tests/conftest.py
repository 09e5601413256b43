"""What several test files share: a tiny model on tiny verses, and the real corpus where it is."""

import os
from pathlib import Path

import pytest
import torch

from poetgen.config import Config, build_config
from poetgen.data.corpus import Corpus, corpus_paths, load_corpus
from poetgen.data.vocab import Vocabulary
from poetgen.model.store import StoredModel, new_model, save_model

REAL_CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus" / "tang"


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POETGEN_CORPUS", "POETGEN_CORPUS_URL", "POETGEN_CHECKPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def real_corpus() -> Path:
    """The folder of the real Tang corpus; the test is skipped where there is none."""
    path = Path(_CORPUS_BEFORE_TESTS or REAL_CORPUS)
    if not path.exists():
        pytest.skip("the real corpus is not here: set POETGEN_CORPUS")
    return path


_CORPUS_BEFORE_TESTS = os.environ.get("POETGEN_CORPUS")


@pytest.fixture(scope="session")
def starter() -> Corpus:
    """The verses that come with the program, cleaned and split."""
    return load_corpus(corpus_paths([Path("starter")]))


@pytest.fixture
def tiny_config() -> Config:
    """A network of a few thousand weights, trained for two epochs on the starter verses."""
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
                "average_decay": 0.9,
                "precision": "fp32",
            },
        }
    )


@pytest.fixture
def tiny_model(tiny_config: Config, starter: Corpus) -> StoredModel:
    """An untrained model of `tiny_config`, the same each time."""
    vocab = Vocabulary.build(starter.splits["train"], min_count=1)
    torch.manual_seed(0)
    model = new_model(tiny_config, vocab).eval().requires_grad_(False)
    return StoredModel(model, vocab, tiny_config, starter.fingerprint, {"epoch": 0.0})


@pytest.fixture
def model_file(tiny_model: StoredModel, tmp_path: Path) -> Path:
    """`tiny_model` in a file."""
    path = tmp_path / "tiny.safetensors"
    save_model(path, tiny_model)
    return path

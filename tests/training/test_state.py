"""Progress over epochs, and the length of a run."""

import numpy as np

from poetgen.config import ConditionsConfig, build_config
from poetgen.data.batches import num_batches
from poetgen.data.encode import TrainingDataset
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.model.network import PoemRNN, network_arrays
from poetgen.training.state import Progress, Trainer
from tests.training.trainers import TINY, VOCAB, new_trainer


def test_progress_keeps_the_best_epoch() -> None:
    progress = Progress(step=10, batch=5, epoch_nats=30.0, epoch_tokens=10)
    assert progress.train_nats_per_token == 3.0
    assert progress.finish_epoch(4.0)
    assert (progress.epoch, progress.batch, progress.epoch_tokens) == (1, 0, 0)
    assert progress.train_nats_per_token == 0.0
    assert not progress.finish_epoch(4.0)
    assert not progress.finish_epoch(5.0)
    assert (progress.best_epoch, progress.best_nats_per_token) == (1, 4.0)
    assert progress.epochs_since_best == 2
    assert progress.finish_epoch(3.5)
    assert (progress.best_epoch, progress.epochs_since_best, progress.step) == (4, 0, 10)


def test_progress_accepts_a_validation_of_zero() -> None:
    progress = Progress()
    assert progress.finish_epoch(0.0)
    assert not progress.finish_epoch(0.1)
    assert progress.best_nats_per_token == 0.0


def test_progress_ignores_a_validation_of_nan() -> None:
    progress = Progress()
    assert not progress.finish_epoch(float("nan"))
    assert progress.finish_epoch(4.0)
    assert not progress.finish_epoch(float("nan"))
    assert progress.best_nats_per_token == 4.0


def test_trainer_bundle_has_its_parts() -> None:
    trainer = new_trainer([])
    bundle = trainer.bundle({"epoch": 1.0})
    weights = network_arrays(trainer.network)
    assert list(bundle.weights) == list(weights)
    for name, weight in weights.items():
        assert np.array_equal(bundle.weights[name], weight), name
    assert (bundle.vocab, bundle.config) == (trainer.vocab, trainer.config)
    assert (bundle.corpus_fingerprint, bundle.metrics) == ("c0ffee", {"epoch": 1.0})


def test_total_steps_counts_epochs_of_unequal_length() -> None:
    """Random conditions move poems between buckets."""
    vocab = Vocabulary((*VOCAB.symbols, "<form:五绝>", "<author:云>"))
    config = build_config({"model": TINY, "train": {"batch_tokens": 128, "epochs": 6}}).model_copy(
        update={"conditions": ConditionsConfig(form_rate=0.5, author_rate=0.5)}
    )
    poems = [
        Poem(
            "".join(
                "，。"[i // 5 % 2] if i % 6 == 5 else vocab.symbols[8 + (row + i) % 8]
                for i in range(24)
            ),
            author="云",
        )
        for row in range(10)
    ] * 4
    dataset = TrainingDataset(poems, vocab, config)
    lengths = [num_batches(dataset.epoch(epoch), batch_tokens=128) for epoch in range(6)]
    assert len(set(lengths)) > 1, "the epochs should differ in their number of steps"
    trainer = Trainer(PoemRNN(len(vocab), config.model), config, vocab, dataset, [])
    assert trainer.total_steps == sum(lengths)

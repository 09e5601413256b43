"""Small trainers for the tests."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch

from poetgen.config import build_config
from poetgen.data.bloom import LineBloomFilter
from poetgen.data.encode import TrainingDataset
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.model.network import PoemRNN
from poetgen.prosody.marks import MARKS
from poetgen.training.loop import train_steps
from poetgen.training.state import StepReport, Trainer

VOCAB = Vocabulary((*SPECIALS, *MARKS, *"山水云月风花雪夜"))
TINY = {"embedding_size": 8, "hidden_size": 16, "num_layers": 1}
NO_DROPOUT = {"input_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0}


def fixed_dataset(
    sequences: Sequence[Sequence[int]], fingerprint: str = "c0ffee"
) -> TrainingDataset:
    """A dataset with the same `sequences` of ids in every epoch."""
    fake = SimpleNamespace(epoch=lambda _: sequences, fingerprint=fingerprint)
    return cast(TrainingDataset, fake)


def new_trainer(
    sequences: Sequence[Sequence[int]],
    *,
    seed: int = 1,
    fingerprint: str = "c0ffee",
    training_lines: tuple[LineBloomFilter, ...] = (),
    model: dict[str, Any] | None = None,
    **train: Any,
) -> Trainer:
    """A trainer of a tiny network in fp32, for three epochs of batches of 128 tokens."""
    torch.manual_seed(seed)
    config = build_config(
        {
            "model": TINY | NO_DROPOUT | (model or {}),
            "train": {
                "warmup_steps": 2,
                "precision": "fp32",
                "batch_tokens": 128,
                "epochs": 3,
                **train,
            },
        }
    )
    dataset = fixed_dataset(sequences, fingerprint)
    network = PoemRNN(len(VOCAB), config.model)
    return Trainer(network, config, VOCAB, dataset, [], "c0ffee", training_lines)


def take(trainer: Trainer, count: int) -> list[StepReport]:
    """Take `count` steps, crossing the ends of epochs."""
    reports: list[StepReport] = []
    while len(reports) < count:
        for report in train_steps(trainer):
            reports.append(report)
            if len(reports) == count:
                return reports
        trainer.progress.finish_epoch(5.0 - trainer.progress.epoch)
    return reports


def write_version_3(path: Path) -> None:
    """Rewrite a state in the layout of format version 3."""
    content = torch.load(path, weights_only=True)
    content.pop("checksums", None)
    torch.save(content | {"format_version": 3}, path)


def write_version_2(path: Path) -> None:
    """Rewrite a state in the layout of format version 2."""
    content = torch.load(path, weights_only=True)
    content.pop("checksums", None)
    old = {
        "format_version": 2,
        "model": content["network"],
        "averages": content["ema"],
        "optimiser": content["optimizer"],
        "progress": content["progress"],
        "vocabulary": content["vocabulary"],
        "lines": content["training_lines"],
        "data_fingerprint": content["dataset_fingerprint"],
        "random_states": content["random_states"],
    }
    assert len(old) == len(content)
    torch.save(old, path)

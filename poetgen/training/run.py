"""A run from its beginning, or from where it stopped, to its end."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from poetgen.config import Config
from poetgen.data.batches import encode_for_training
from poetgen.data.corpus import Corpus
from poetgen.data.vocab import Vocabulary
from poetgen.errors import CorpusError
from poetgen.model.store import new_model
from poetgen.training.checkpoint import Progress, load_training_state
from poetgen.training.loop import Trainer, fit, new_optimiser, uses_bf16
from poetgen.training.run_folder import RunFolder, begin


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    folder: RunFolder
    progress: Progress


def train(
    config: Config,
    corpus: Corpus,
    folder: RunFolder,
    *,
    resume: bool,
    device: torch.device,
    tell: Callable[[str], None],
) -> RunResult:
    """Train on `corpus` in `folder`; with `resume` go on from the training state there.

    Raises:
        CorpusError: a split is empty.
        ModelFileError: the training state cannot be resumed from.
        Interrupted: on SIGINT or SIGTERM, after saving.
    """
    for split in ("train", "valid"):
        if not corpus.splits[split]:
            raise CorpusError(
                f"the corpus has {len(corpus.poems)} poems, none of them in its {split} split",
                "Give more poems: a twentieth of them is held out for validation.",
            )
    vocab = Vocabulary.build(corpus.splits["train"], min_count=config.data.min_count)
    sequences = encode_for_training(corpus.splits["train"], vocab, config.data.max_tokens)
    torch.manual_seed(config.train.seed)
    model = new_model(config, vocab).to(device)
    trainer = Trainer(model, new_optimiser(model, config.train), config.train, Progress())
    if resume:
        trainer.progress = load_training_state(
            folder.last, model, trainer.optimiser, corpus.fingerprint
        )
    begin(folder, config, resume=resume)
    size = sum(p.numel() for p in model.parameters())
    precision = "bf16" if uses_bf16(device, config.train.precision) else "fp32"
    tell(
        f"run {folder.path}: {size / 1e6:.1f} M weights, {len(vocab):,} symbols, "
        f"{sum(map(len, sequences)) - len(sequences):,} tokens an epoch, {device}, {precision}"
        + (f", from step {trainer.progress.step:,}" if resume else "")
    )
    progress = fit(
        trainer,
        sequences=sequences,
        valid=corpus.splits["valid"],
        vocab=vocab,
        config=config,
        corpus=corpus.fingerprint,
        folder=folder,
    )
    return RunResult(folder, progress)

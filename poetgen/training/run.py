"""A run from its beginning, or from where it stopped, to its end."""

import hashlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from poetgen.config import Config
from poetgen.data.batches import encode_for_training
from poetgen.data.corpus import Corpus
from poetgen.data.vocab import Vocabulary
from poetgen.errors import CorpusError, PoetgenError
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
    fresh: bool = False,
    device: torch.device,
    tell: Callable[[str], None],
) -> RunResult:
    """Train on `corpus` in `folder`: go on from the state there (`resume`), or empty it (`fresh`).

    Raises:
        CorpusError: a split is empty.
        ModelFileError: the training state cannot be resumed from.
        Interrupted: on SIGINT or SIGTERM, after saving.
        PoetgenError: out of memory, or the training diverged.
    """
    for split in ("train", "valid"):
        if not corpus.splits[split]:
            raise CorpusError(
                f"the corpus has {len(corpus.poems)} poems, none of them in its {split} split",
                "Give more poems: a twentieth of them is held out for validation.",
            )
    poems = corpus.training_poems
    vocab = Vocabulary.build(poems, min_count=config.data.min_count)
    sequences = encode_for_training(poems, vocab, config.data.max_tokens)
    data_fingerprint = _fingerprint(sequences)
    torch.manual_seed(config.train.seed)
    model = new_model(config, vocab).to(device)
    trainer = Trainer(model, new_optimiser(model, config.train), config.train, Progress())
    if resume:
        trainer.progress = load_training_state(
            folder.last, model, trainer.optimiser, data_fingerprint, trainer.average.weights
        )
    begin(folder, config, resume=resume, fresh=fresh)
    size = sum(p.numel() for p in model.parameters())
    precision = "bf16" if uses_bf16(device, config.train.precision) else "fp32"
    tell(
        f"run {folder.path}: {size / 1e6:.1f} M weights, {len(vocab):,} symbols, "
        f"{sum(map(len, sequences)) - len(sequences):,} tokens an epoch, {device}, {precision}"
        + (f", from step {trainer.progress.step:,}" if resume else "")
    )
    try:
        progress = fit(
            trainer,
            sequences=sequences,
            valid=corpus.splits["valid"],
            vocab=vocab,
            config=config,
            corpus=corpus.fingerprint,
            data_fingerprint=data_fingerprint,
            folder=folder,
        )
    except RuntimeError as error:
        if "memory" not in str(error).lower():  # torch's one word for it on every device
            raise
        raise PoetgenError(
            f"there is not enough memory on {device} for this model and batch size",
            "Use a smaller train.batch_tokens, such as "
            f"--set train.batch_tokens={max(16, config.train.batch_tokens // 2)}, or a smaller model.",
        ) from error
    return RunResult(folder, progress)


def _fingerprint(sequences: Sequence[Sequence[int]]) -> str:
    """Names the training ids in their order: what a position in an epoch hangs on."""
    digest = hashlib.blake2b(digest_size=8)
    for sequence in sequences:
        digest.update(array("i", [*sequence, -1]).tobytes())
    return digest.hexdigest()

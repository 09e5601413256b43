"""A run from its beginning, or from where it stopped, to its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from poetgen.config import Config
from poetgen.data.corpus import Corpus
from poetgen.data.lines import mostly_in
from poetgen.data.training_text import TrainingText
from poetgen.errors import CorpusError, PoetgenError
from poetgen.training.checkpoint import Progress, read_training_state, restore
from poetgen.training.loop import Trainer, fit, new_optimiser, uses_bf16
from poetgen.training.run_folder import RunFolder, begin, held
from poetgen.training.start import starting_point


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
    with _memory_told(device, config.train.batch_tokens):
        poems, valid = corpus.training_poems, corpus.splits["valid"]
        state = read_training_state(folder.last) if resume else None
        torch.manual_seed(config.train.seed)
        start = starting_point(config, poems, state)
        num_known = sum(mostly_in(poem.lines, start.lines_before) for poem in valid)
        if num_known:
            tell(
                f"warning: the model that this run starts from was trained on {num_known:,} of the "
                f"{len(valid):,} validation poems, so validation will flatter"
            )
        config, model, vocab = start.config, start.model.to(device), start.vocab
        text = TrainingText(poems, vocab, config)
        trainer = Trainer(model, new_optimiser(model, config.train), config.train, Progress())
        if state is not None:
            trainer.progress = restore(
                state, model, trainer.optimiser, text.fingerprint, trainer.average.weights
            )
        begin(folder, config, resume=resume, fresh=fresh)
        size = sum(p.numel() for p in model.parameters())
        precision = "bf16" if uses_bf16(device, config.train.precision) else "fp32"
        tell(
            f"run {folder.path}: {size / 1e6:.1f} M weights, {len(vocab):,} symbols, "
            f"{text.num_tokens:,} tokens an epoch, {device}, {precision}"
            + (f", from step {trainer.progress.step:,}" if resume else "")
        )
        with held(folder):
            progress = fit(
                trainer,
                text=text,
                valid=valid,
                vocab=vocab,
                config=config,
                corpus=corpus.fingerprint,
                lines=start.lines,
                folder=folder,
            )
        return RunResult(folder, progress)


@contextmanager
def _memory_told(device: torch.device, batch_tokens: int) -> Iterator[None]:
    """Turn torch's complaint of too little memory into one that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if "memory" not in str(error).lower():  # torch's one word for it on every device
            raise
        raise PoetgenError(
            f"there is not enough memory on {device} for this model and batch size",
            "Use a smaller train.batch_tokens, such as "
            f"--set train.batch_tokens={max(16, batch_tokens // 2)}, or a smaller model.",
        ) from error

"""Prepare a run before anything is trained.  Does not import torch.

1. Decide the run and its configuration, from the options and, to resume, from the run folder.
2. Decide the corpus, and check that every file to read exists.
3. Fetch the default corpus if it is missing; read, clean and split the poems.

Nothing is written apart from a fetched corpus: `poetgen.training.loop.train` creates the run folder.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from poetgen.config import Config, changes, load_config, load_saved_config
from poetgen.data.corpus import (
    DEFAULT_FOLDER,
    STARTER,
    STARTER_FILE,
    Corpus,
    corpus_paths,
    load_corpus,
)
from poetgen.data.fetch import DEFAULT_COLLECTION, fetch, load_manifest, missing_files
from poetgen.data.read import SUFFIXES, corpus_files
from poetgen.errors import PoetgenError, UsageError
from poetgen.language import tr, tr_plural
from poetgen.runs import Run, default_run_name, find_model

logger = logging.getLogger(__name__)

# The order of the batches and the EMA depend on these.
_FIXED_KEYS = ("batch_tokens", "seed", "ema_decay", "init_from")


@dataclass(frozen=True)
class TrainOptions:
    """The options of `poetgen train`."""

    config: str | None = None
    """A bundled configuration or a file.  Default: base, or finetune with `init`."""
    overrides: Sequence[str] = ()
    """Strings of the form section.key=value."""
    corpus: Sequence[Path] = ()
    """Default: the configuration's corpus, $POETGEN_CORPUS, data/tang."""
    run: str | None = None
    """Name of the run.  Default: <config>-<UTC time>, or the newest run with `resume`."""
    resume: bool = False
    """Continue an existing run."""
    overwrite: bool = False
    """Replace an existing run."""
    init: str | None = None
    """The model to start from: a file, a run folder, or the name of a run."""


@dataclass(frozen=True)
class RunPlan:
    """A run that is ready to be trained."""

    config: Config
    corpus: Corpus
    run: Run
    resume: bool = False
    overwrite: bool = False


def prepare(options: TrainOptions) -> RunPlan:
    """Return the plan of a new run, or of the run to resume.

    Raises:
        UsageError: Options contradict each other, the run exists, or there is no run to resume.
        ConfigError: A configuration is not valid.
        ModelFileError: The model to start from does not exist.
        CorpusError: The corpus is missing, cannot be fetched, is unreadable or is empty.
        PoetgenError: The configuration requests a TensorBoard log and tensorboard is not installed.
    """
    _check(options)
    run, config = _run_to_resume(options) if options.resume else _new_run(options)
    _check_tensorboard(config)
    paths = corpus_paths(list(options.corpus) or [Path(path) for path in config.data.corpus])
    extra = [corpus_paths([Path(path)])[0] for path in config.data.extra_train]
    saved = {"corpus": [_saved(p) for p in paths], "extra_train": [_saved(p) for p in extra]}
    if options.resume and saved["corpus"] != config.data.corpus:
        logger.info(_changed("data.corpus", config.data.corpus, saved["corpus"]))
    config = config.model_copy(update={"data": config.data.model_copy(update=saved)})
    for path in extra:
        corpus_files(path)  # raises for a missing one before anything is fetched and read
    if paths == [DEFAULT_FOLDER] and _needs_fetch(DEFAULT_FOLDER):
        logger.info(
            tr(
                "{folder} has no complete corpus: fetching the Tang poems, 25 MB",
                folder=DEFAULT_FOLDER,
            )
        )
        fetch(DEFAULT_COLLECTION, DEFAULT_FOLDER)
    logger.info(tr("reading {sources}", sources=", ".join(map(_short, [*paths, *extra]))))
    corpus = load_corpus(paths, extra)
    _log_corpus(corpus, paths)
    return RunPlan(config, corpus, run, options.resume, options.overwrite)


def resumed_config(saved: Config, wanted: Config) -> tuple[Config, list[str]]:
    """Return the configuration of a resumed run, and a remark for each key that differs.

    `wanted` wins for what can change between two steps, such as the number of epochs; `saved` wins for
    the rest, such as the architecture.
    """
    train = saved.train.model_dump()
    remarks = []
    for path, before, after in changes(saved, wanted):
        section, key = path.split(".")
        if section == "train" and key not in _FIXED_KEYS:
            train[key] = after
            remarks.append(_changed(path, before, after))
        else:
            remarks.append(
                tr(
                    "{key}: {before} is kept, {after} is ignored (fixed since the start of the run)",
                    key=path,
                    before=before,
                    after=after,
                )
            )
    resumed = saved.model_copy(update={"train": type(saved.train).model_validate(train)})
    return resumed, remarks


def _check(options: TrainOptions) -> None:
    if options.resume and options.overwrite:
        raise UsageError(
            tr("--resume and --overwrite exclude each other"), tr("Leave one of them out.")
        )
    if options.resume and options.init:
        raise UsageError(
            tr("--resume and --init exclude each other"),
            tr("A run resumes from its own state; start a new one with --run NAME --init MODEL."),
        )


def _new_run(options: TrainOptions) -> tuple[Run, Config]:
    source = options.config or ("finetune" if options.init else "base")
    config = load_config(source, options.overrides)
    if options.init:
        train = config.train.model_copy(update={"init_from": options.init})
        config = config.model_copy(update={"train": train})
    if config.train.init_from:
        logger.info(tr("starting from {model}", model=find_model(config.train.init_from).path))
    name = default_run_name(source) if options.run is None else options.run
    return Run.reserve(name, overwrite=options.overwrite), config


def _run_to_resume(options: TrainOptions) -> tuple[Run, Config]:
    run = Run.open(options.run)
    saved = load_saved_config(run.config)
    if options.config:
        wanted = load_config(options.config, options.overrides)
    else:
        wanted = load_saved_config(run.config, options.overrides)
    config, remarks = resumed_config(saved, wanted)
    for remark in remarks:
        logger.info(remark)
    return run, config


def _saved(path: Path) -> str:
    """Return how a corpus path is saved, so that a later command finds it from any folder."""
    return STARTER if path == STARTER_FILE else str(path.absolute())


def _needs_fetch(folder: Path) -> bool:
    """Return whether `folder` is missing, empty, or contains only the files of an incomplete fetch.

    The user's own poems and corrected files of the collection are used as they are.
    """
    manifest = load_manifest(DEFAULT_COLLECTION)
    missing = missing_files(manifest, folder)
    complete = {file.name for file in manifest.files} - {file.name for file in missing}
    found = {file.name for file in folder.glob("*") if file.suffix.lower() in SUFFIXES}
    return bool(missing) and found <= complete


def _check_tensorboard(config: Config) -> None:
    if config.train.tensorboard and find_spec("tensorboard") is None:
        raise PoetgenError(
            tr("train.tensorboard is true, but the package tensorboard is not installed"),
            tr("Install it (pip install 'poetgen[tensorboard]') or set train.tensorboard=false."),
        )


def _changed(key: str, before: object, after: object) -> str:
    return tr(
        "{key}: {before} → {after} (from the command line)", key=key, before=before, after=after
    )


def _short(path: Path) -> str:
    return STARTER if path == STARTER_FILE else str(path)


def _log_corpus(corpus: Corpus, paths: Sequence[Path]) -> None:
    splits = corpus.splits
    logger.info(
        tr_plural(
            corpus.cleaning.kept,
            "corpus {sources}: {num:,} poem ({train:,} train, {valid:,} valid, {test:,} test)",
            "corpus {sources}: {num:,} poems ({train:,} train, {valid:,} valid, {test:,} test)",
            sources=", ".join(map(_short, paths)),
            train=len(splits["train"]),
            valid=len(splits["valid"]),
            test=len(splits["test"]),
        )
    )
    if num_dropped := corpus.cleaning.dropped.total():
        logger.info(
            tr_plural(
                num_dropped,
                "{num:,} record was dropped; `poetgen corpus report` lists the reasons",
                "{num:,} records were dropped; `poetgen corpus report` lists the reasons",
            )
        )
    if corpus.extra:
        logger.info(
            tr_plural(
                len(corpus.extra),
                "{num:,} additional training poem ({near:,} near held-out poems left out)",
                "{num:,} additional training poems ({near:,} near held-out poems left out)",
                near=corpus.extra_cleaning.dropped["near_held_out"],
            )
        )
    for fault in corpus.cleaning.faults() + corpus.extra_cleaning.faults():
        logger.warning(fault)

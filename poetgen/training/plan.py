"""What a run is to be, decided and checked before anything is trained.  Does not import torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from poetgen.config import Config, changes, load_config
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
from poetgen.errors import UsageError
from poetgen.model.locate import find_model
from poetgen.training.run_folder import RunFolder, default_name, new_run, old_run

# The order of the batches and the averages so far hang on these.
_FIXED = ("batch_tokens", "seed", "average_decay", "init")


@dataclass(frozen=True)
class RunPlan:
    """All that `train` needs."""

    config: Config
    corpus: Corpus
    folder: RunFolder


def plan_run(
    source: str | None,
    overrides: Sequence[str],
    corpus: Sequence[Path],
    *,
    run: str | None,
    resume: bool,
    fresh: bool,
    init: str | None,
    tell: Callable[[str], None],
) -> RunPlan:
    """The configuration, corpus and folder of a new run, or of the one to `resume`.

    A new run starts from the model `init`, if one is named.

    Raises:
        UsageError: options that contradict each other, a bad configuration, a run that (not) exists.
        CorpusError: the corpus is missing and cannot be fetched, unreadable or empty.
    """
    if resume and fresh:
        raise UsageError("--resume and --fresh contradict each other", "Give one of them.")
    if resume and init:
        raise UsageError(
            "--resume and --init contradict each other",
            "A run goes on from its own state; begin another one with --run NAME --init MODEL.",
        )
    if resume:
        folder = old_run(run)
        config = _resumed_config(folder, source, overrides, tell)
    else:
        source = source or ("finetune" if init else "base")
        config = load_config(source, overrides)
        if init:
            train = config.train.model_copy(update={"init": init})
            config = config.model_copy(update={"train": train})
        if config.train.init:  # before anything is fetched and read
            tell(f"starting from {find_model(config.train.init).path}")
        folder = new_run(default_name(source) if run is None else run, fresh=fresh)
    paths = corpus_paths(list(corpus) or [Path(place) for place in config.data.corpus])
    extra = [corpus_paths([Path(place)])[0] for place in config.data.extra]
    config = _with_corpus(config, paths, extra, tell if resume else lambda _: None)
    for path in extra:
        corpus_files(path)  # so that a missing one is told before anything is fetched and read
    if paths == [DEFAULT_FOLDER] and _fetch_is_due(DEFAULT_FOLDER):
        tell(f"The corpus is not (wholly) in {DEFAULT_FOLDER} yet: fetching the Tang poems, 25 MB.")
        fetch(DEFAULT_COLLECTION, DEFAULT_FOLDER)
    loaded = load_corpus(paths, extra)
    sizes = ", ".join(f"{len(side):,} {split}" for split, side in loaded.splits.items())
    tell(f"corpus {', '.join(map(str, paths))}: {loaded.cleaning.kept:,} poems ({sizes})")
    if num_dropped := loaded.cleaning.dropped.total():
        tell(f"{num_dropped:,} records were dropped; `poetgen corpus report` counts why")
    if loaded.extra:
        near = loaded.extra_cleaning.dropped["near_held_out"]
        tell(f"and {len(loaded.extra):,} more to train on ({near:,} near held-out ones left out)")
    for fault in loaded.cleaning.faults() + loaded.extra_cleaning.faults():
        tell(f"warning: {fault}")
    return RunPlan(config, loaded, folder)


def _with_corpus(
    config: Config, paths: Sequence[Path], extra: Sequence[Path], tell: Callable[[str], None]
) -> Config:
    """`config` with the places of its corpus as a later command finds them from any folder."""
    places, more = (
        [STARTER if path == STARTER_FILE else str(path.absolute()) for path in some]
        for some in (paths, extra)
    )
    if places != config.data.corpus:
        tell(f"data.corpus: {config.data.corpus} → {places} (the command line wins)")
    data = config.data.model_copy(update={"corpus": places, "extra": more})
    return config.model_copy(update={"data": data})


def _fetch_is_due(folder: Path) -> bool:
    """Whether `folder` is missing, empty, or holds a fetch that broke off and nothing else.

    Poems of one's own there, or upstream's files corrected by hand, are used as they are.
    """
    manifest = load_manifest(DEFAULT_COLLECTION)
    missing = missing_files(manifest, folder)
    whole = {file.name for file in manifest.files} - {file.name for file in missing}
    there = {file.name for file in folder.glob("*") if file.suffix.lower() in SUFFIXES}
    return bool(missing) and there <= whole


def _resumed_config(
    folder: RunFolder, source: str | None, overrides: Sequence[str], tell: Callable[[str], None]
) -> Config:
    """The run's own configuration, with what the command line may still change."""
    old = load_config(str(folder.config))
    new = load_config(source or str(folder.config), overrides)
    train = old.train.model_dump()
    for path, before, after in changes(old, new):
        section, key = path.split(".")
        if section == "train" and key not in _FIXED:
            train[key] = after
            tell(f"{path}: {before} → {after} (the command line wins)")
        else:
            tell(f"{path}: {before} stays, not {after} (the run wins: it was trained so)")
    return old.model_copy(update={"train": type(old.train).model_validate(train)})

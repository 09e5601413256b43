"""What a run is to be, decided and checked before anything is trained.  Does not import torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from poetgen.config import Config, changes, load_config
from poetgen.data.corpus import DEFAULT_FOLDER, Corpus, corpus_paths, load_corpus
from poetgen.data.fetch import DEFAULT_COLLECTION, fetch, load_manifest, missing_files
from poetgen.errors import UsageError
from poetgen.training.run_folder import RunFolder, default_name, new_run, old_run

_FIXED = ("batch_tokens", "seed")  # the order of the batches hangs on these
_BROKEN_TOLD = 5


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
    tell: Callable[[str], None],
) -> RunPlan:
    """The configuration, corpus and folder of a new run, or of the one to `resume`.

    Raises:
        UsageError: options that contradict each other, a bad configuration, a run that (not) exists.
        CorpusError: the corpus is missing and cannot be fetched, unreadable or empty.
    """
    if resume and fresh:
        raise UsageError("--resume and --fresh contradict each other", "Give one of them.")
    if resume:
        folder = old_run(run)
        config = _resumed_config(folder, source, overrides, tell)
    else:
        config = load_config(source or "base", overrides)
        folder = new_run(default_name(source or "base") if run is None else run, fresh=fresh)
    if corpus:
        # Absolute, so that the saved configuration finds it from another folder too.
        places = [str(path.absolute() if path.exists() else path) for path in corpus]
        if resume and places != config.data.corpus:
            tell(f"data.corpus: {config.data.corpus} → {places} (the command line wins)")
        data = config.data.model_copy(update={"corpus": places})
        config = config.model_copy(update={"data": data})
    paths = corpus_paths([Path(place) for place in config.data.corpus])
    if paths == [DEFAULT_FOLDER] and _fetch_is_due():
        tell(f"The corpus is not (wholly) in {DEFAULT_FOLDER} yet: fetching the Tang poems, 25 MB.")
        fetch(DEFAULT_COLLECTION, DEFAULT_FOLDER)
    loaded = load_corpus(paths)
    sizes = ", ".join(f"{len(side):,} {split}" for split, side in loaded.splits.items())
    tell(f"corpus {', '.join(map(str, paths))}: {loaded.cleaning.kept:,} poems ({sizes})")
    for place in loaded.cleaning.broken[:_BROKEN_TOLD]:
        tell(f"warning: left out {place}")
    if len(loaded.cleaning.broken) > _BROKEN_TOLD:
        tell(f"warning: … {len(loaded.cleaning.broken)} broken records in all")
    return RunPlan(config, loaded, folder)


def _fetch_is_due() -> bool:
    """Whether data/tang is missing or a fetch into it broke off; poems of one's own there are left."""
    manifest = load_manifest(DEFAULT_COLLECTION)
    missing = missing_files(manifest, DEFAULT_FOLDER)
    is_own = len(missing) == len(manifest.files) and DEFAULT_FOLDER.exists()
    return bool(missing) and not is_own


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

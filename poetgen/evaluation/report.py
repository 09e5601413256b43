"""The evaluation report: settings that head it, and a run per model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poetgen.data.clean import CleaningReport, clean
from poetgen.data.corpus import Corpus
from poetgen.data.poem import Poem, fingerprint
from poetgen.data.read import read
from poetgen.data.split import Split
from poetgen.errors import CorpusError
from poetgen.model.likelihood import Likelihood, score, total
from poetgen.model.store import StoredModel


@dataclass(frozen=True)
class EvaluationSet:
    """The poems that models are measured on, and where they come from."""

    poems: list[Poem]
    source: str
    split: str | None
    corpus: str | None
    """Fingerprint of the whole corpus that the split was taken from."""


def split_set(corpus: Corpus, source: str, split: Split) -> EvaluationSet:
    """One split of a corpus.

    Raises:
        CorpusError: it is empty.
    """
    return _checked(EvaluationSet(corpus.splits[split], source, split, corpus.fingerprint))


def file_set(path: Path) -> tuple[EvaluationSet, CleaningReport]:
    """The poems of any file or folder that `read` takes, and what became of its records.

    Raises:
        CorpusError: unreadable, or no poem is left.
    """
    poems, report = clean(read(path))
    return _checked(EvaluationSet(poems, str(path), None, None)), report


def evaluate_models(models: Sequence[StoredModel], on: EvaluationSet) -> dict[str, Any]:
    """The report as JSON values: {"settings": …, "runs": [{"model", "likelihood"}, …]}."""
    return {
        "settings": {
            "source": on.source,
            "split": on.split,
            "corpus": on.corpus,
            "poems": len(on.poems),
            "poems_fingerprint": fingerprint(on.poems),
            "precision": "fp32",
        },
        "runs": [
            {
                "model": str(stored.path),
                "trained_on": stored.corpus,
                "likelihood": _as_json(total(score(stored.model, on.poems, stored.vocab))),
            }
            for stored in models
        ],
    }


def _checked(poems: EvaluationSet) -> EvaluationSet:
    if not poems.poems:
        raise CorpusError(
            f"there is no poem to evaluate on in {poems.source}",
            "Name another --split, --corpus or file of --poems.",
        )
    return poems


def _as_json(likelihood: Likelihood) -> dict[str, float | None]:
    perplexity = likelihood.perplexity
    return {
        "poems": likelihood.poems,
        "tokens": likelihood.tokens,
        "unknown_tokens": likelihood.unknown_tokens,
        "nats_per_token": round(likelihood.nats_per_token, 6),
        # JSON knows no infinity.
        "perplexity": round(perplexity, 4) if math.isfinite(perplexity) else None,
        "bits_per_hanzi": round(likelihood.bits_per_hanzi, 5),
    }

"""Poems written by a model, or by whatever wrote a file, for measuring: so many of each form.

Free: the form is told to the model and nothing imposed, so the poems show what the model has learned.
Constrained: form, rhyme and tones are imposed as `sample --form F --rhyme --tones` does, so they show
what a user gets.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from poetgen.data.clean import clean_text, why_not
from poetgen.data.conditions import Conditions, unmet
from poetgen.data.poem import Poem
from poetgen.data.read import BrokenRecord, read
from poetgen.errors import CorpusError
from poetgen.evaluation.real import ByForm, by_form
from poetgen.model.store import StoredModel
from poetgen.prosody.forms import FORMS, form_of
from poetgen.sampling.decode import Sample, generate
from poetgen.sampling.options import Options

MOST_PER_ASKED = 5
"""A model that cannot be told a form writes at most so many poems for each one asked for."""

_BATCH = 128

Tick = Callable[[int], object]
"""Called with a number of poems that were just finished."""


@dataclass(frozen=True)
class Sampled:
    """Poems by form, and what it took to get them."""

    poems: ByForm
    told_form: bool
    """Whether the form was told to the model."""
    num_written: int
    num_failed: int = 0
    """Poems that could not be written under their constraints."""
    forms: dict[str, int] = field(default_factory=dict)
    """Where it was neither told nor imposed, and poems were sorted: how many were written in which."""


def knows_forms(stored: StoredModel) -> bool:
    """Whether the model was trained to be told any of the four forms."""
    return all(not unmet(Conditions(form=form), stored.vocab) for form in FORMS)


def sample_by_form(
    stored: StoredModel,
    counts: Mapping[str, int],
    *,
    temperature: float,
    seed: int,
    constrained: bool = False,
    tick: Tick = lambda _: None,
) -> Sampled:
    """`counts[form]` poems of each form.

    A model that cannot be told a form writes freely until each form has its share, or it has written
    `MOST_PER_ASKED` times as many poems as are asked for: some forms may then have fewer.  Within a
    form these are what the model writes given that it writes in that form.
    """
    if not (constrained or knows_forms(stored)):
        return _sorted(stored, counts, temperature=temperature, seed=seed, tick=tick)
    poems: ByForm = {form: [] for form in counts}
    first = 0
    for form, count in counts.items():
        for poem in sample_poems(
            stored,
            form,
            count,
            temperature=temperature,
            seed=seed,
            constrained=constrained,
            first=first,
        ):
            poems[form].append(poem)
            tick(1)
        first += count  # each poem has a random stream of its own
    asked, written = sum(counts.values()), sum(map(len, poems.values()))
    return Sampled(poems, knows_forms(stored), written, asked - written)


def sample_poems(
    stored: StoredModel,
    form: str,
    count: int,
    *,
    temperature: float,
    seed: int,
    constrained: bool = False,
    first: int = 0,
) -> Iterator[Poem]:
    """`count` poems of `form` ("": of any), from the random streams of `seed` from number `first` on.

    Constrained ones that cannot be written are left out.
    """
    request = _options(form, temperature, constrained).request(stored.vocab, seed=seed)
    results = generate(
        stored.model,
        stored.vocab,
        (replace(request, index=first + number) for number in range(count)),
        max_tokens=stored.config.data.max_tokens,
        batch_size=_BATCH,
        lines=stored.lines,
    )
    return (result.poem for result in results if isinstance(result, Sample))


def _options(form: str, temperature: float, constrained: bool) -> Options:
    if constrained:
        return Options(form=form, rhyme=True, tones=True, temperature=temperature)
    # Copies are to be counted here, not to be prevented.
    return Options(form=form, soft=bool(form), temperature=temperature, allow_copies=True)


def _sorted(
    stored: StoredModel, counts: Mapping[str, int], *, temperature: float, seed: int, tick: Tick
) -> Sampled:
    written: list[Poem] = []
    found = by_form([])
    most = MOST_PER_ASKED * sum(counts.values())
    while len(written) < most and any(len(found[form]) < num for form, num in counts.items()):
        num = min(_BATCH, most - len(written))
        written += sample_poems(
            stored, "", num, temperature=temperature, seed=seed, first=len(written)
        )
        found = by_form(written)
        tick(num)
    poems = {form: found[form][:num] for form, num in counts.items()}
    return Sampled(poems, told_form=False, num_written=len(written), forms=_count_forms(written))


def poems_of_file(path: Path) -> Sampled:
    """The poems of a file, as something may have written them: cleaned, but those that repeat kept.

    Raises:
        CorpusError: unreadable, or no poem in one of the four forms is in it.
    """
    records = (record for record in read(path) if not isinstance(record, BrokenRecord))
    texts = (clean_text(record.text)[0] for record in records)
    written = [Poem(text) for text in texts if why_not(text) is None]
    poems = by_form(written)
    if not any(poems.values()):
        raise CorpusError(
            f"there is no poem in one of the forms {' '.join(FORMS)} in {path}",
            "Give a poem per line, or what `poetgen sample --format jsonl` writes.",
        )
    return Sampled(poems, told_form=False, num_written=len(written), forms=_count_forms(written))


def _count_forms(poems: Iterable[Poem]) -> dict[str, int]:
    return dict(Counter(form_of(poem.lines) for poem in poems))

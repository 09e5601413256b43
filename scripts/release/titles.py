"""Measure the effect of the title condition: python scripts/release/titles.py --model NAME --corpus PATH.

Title retrieval: scores a quatrain under each of 100 titles, of which one is its own, and ranks the
titles by the likelihood of the poem.  Once for held-out quatrains under their real titles, once for
quatrains that the model generates conditioned on these titles.  The model is conditioned on the form as
well, always the right one.  If titles had no effect, the right one would be first for 1% of the poems,
and among the first ten for 10%.  Takes about five minutes on one core.

With the bundled model and the default options, for 50 poems of each source, the right title is first for
18% [8%, 28%] of the held-out poems and 16% [6%, 26%] of the generated ones, among the first ten for 50%
[36%, 64%] and 64% [50%, 76%].
"""

import random
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from tqdm import tqdm

from poetgen.data.conditions import TITLE, Conditions, conditions_of, title_characters
from poetgen.data.corpus import corpus_paths, load_corpus
from poetgen.data.poem import Poem
from poetgen.engine.scoring import score
from poetgen.evaluation.intervals import bootstrap_mean
from poetgen.model.file import ModelBundle, load_model
from poetgen.runs import find_model
from poetgen.sampling.generator import Generator, Sample
from poetgen.sampling.options import Options

NUM_TITLES = 100


def main() -> None:
    """Choose titles, generate, score and print the ranks."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", help="a model file, a run folder or a run's name")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="files or folders")
    parser.add_argument("--poems", type=int, default=50, help="number of poems of each source")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    bundle = load_model(find_model(arguments.model).path)
    if TITLE not in bundle.vocab.ids:
        parser.error("the model was not trained with titles")
    candidates = titled_quatrains(load_corpus(corpus_paths(arguments.corpus)).splits["test"])
    random.Random(arguments.seed).shuffle(candidates)
    titles = [poem.title for poem in candidates[:NUM_TITLES]]
    real = candidates[: min(arguments.poems, NUM_TITLES)]
    generated = generate(bundle, real, seed=arguments.seed)
    for source, poems in (("held-out", real), ("generated", generated)):
        ranks = [
            title_rank(bundle, poem, titles) for poem in tqdm(poems, leave=False, disable=None)
        ]
        print(f"{source}: {len(ranks)} poems, median rank {median(ranks):g} of {len(titles)}")
        for limit in (1, 10):
            share = bootstrap_mean([float(rank <= limit) for rank in ranks], seed=0)
            interval = f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"
            print(f"  right title among the first {limit}: {interval}")


def titled_quatrains(poems: Sequence[Poem]) -> list[Poem]:
    """Return one quatrain for each title that has Han characters."""
    by_title = {
        title_characters(poem.title): poem
        for poem in poems
        if conditions_of(poem).form in ("五绝", "七绝")
    }
    return [poem for title, poem in sorted(by_title.items()) if title]


def generate(bundle: ModelBundle, poems: Sequence[Poem], *, seed: int) -> list[Poem]:
    """Return a poem conditioned on the form and the title of each of `poems`; nothing is enforced."""
    generator = Generator(bundle)
    conditions = [conditions_of(poem) for poem in poems]
    options = [Options(form=one.form, title=one.title, soft=True) for one in conditions]
    requests = [generator.request(one, seed=seed, index=i) for i, one in enumerate(options)]
    results = generator.generate(requests)
    return [
        replace(result.poem, title=poem.title)
        for result, poem in zip(results, poems, strict=True)
        if isinstance(result, Sample)
    ]


def title_rank(bundle: ModelBundle, poem: Poem, titles: Sequence[str]) -> int:
    """Return the rank, from 1, of the poem's own title among `titles` by the poem's likelihood."""
    form = conditions_of(poem).form
    conditions = [Conditions(form, title=title) for title in titles]
    scores = score(bundle.engine, [poem] * len(titles), bundle.vocab, conditions=conditions)
    nats = dict(zip(titles, (one.nats for one in scores), strict=True))
    return 1 + sum(other < nats[poem.title] for other in nats.values())


if __name__ == "__main__":
    main()

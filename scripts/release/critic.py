"""Measure whether a critic chooses better candidates: scripts/release/critic.py --model NAME --corpus PATH.

A critic is a small network that learns by noise-contrastive estimation to distinguish the model's own
samples from poems of the training split (a residual energy, Deng et al. 2020).  Its logit estimates
ln p(model)/p(poets), so drawing one of N candidates with weights exp(−logit) moves the samples towards the
poets'.  The reader's test, whose judges share nothing with the critic, then judges samples with N = 1 and
with N = 8; distinct-2 and self-BLEU show the effect on diversity.  Takes about half an hour on two cores.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from poetgen.data.corpus import corpus_paths, load_corpus
from poetgen.data.poem import Poem, content_hash
from poetgen.evaluation.comparison import PoemsByForm, group_by_form
from poetgen.evaluation.dataset import EvaluationSet
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.metrics.diversity import distinct, self_bleu
from poetgen.evaluation.reader.features import PoemFeatures
from poetgen.evaluation.reader.judges import Labeled, SequenceJudge
from poetgen.evaluation.reader.sources import Opponent, RealSource, deal, totals
from poetgen.evaluation.reader.trial import ReaderConfig, judge_source
from poetgen.evaluation.samples import sample_by_form
from poetgen.model.file import ModelBundle, load_model
from poetgen.progress import Stage
from poetgen.prosody.forms import FORMS
from poetgen.runs import find_model
from poetgen.sampling.generator import Generator

CRITIC_SEED = 77
NUM_CRITIC_POEMS = 3000
"""Poems of each source and form that a critic learns from, at most; a tenth of them selects its epoch."""


def main() -> None:
    """Train the critics, choose, and judge."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", help="a model file, a run folder or a run's name")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="files or folders")
    parser.add_argument("--split", choices=["valid", "test"], default="valid")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=700, help="poems that a judge learns from")
    parser.add_argument("--candidates", type=int, default=8)
    arguments = parser.parse_args()
    bundle = load_model(find_model(arguments.model).path)
    splits = load_corpus(corpus_paths(arguments.corpus)).splits
    other = {"valid": "test", "test": "valid"}[arguments.split]
    eval_set = EvaluationSet(
        splits[arguments.split],
        "corpus",
        arguments.split,
        other_held_out=splits[other],  # type: ignore[index]
        train=splits["train"],
    )
    config = ReaderConfig(arguments.size, (arguments.temperature,))
    real = RealSource.of(eval_set)
    counts = real.counts(config.size)
    critics = train_critics(bundle, splits["train"], arguments.temperature)
    num = arguments.candidates
    candidates = sample_by_form(
        Generator(bundle),
        {form: num * one for form, one in totals(counts).items()},
        temperature=arguments.temperature,
        seed=2,
    ).poems
    random = np.random.default_rng(3)
    sets = {
        "N = 1": {form: own[::num] for form, own in candidates.items()},
        f"N = {num}": {
            form: choose(critics[form], own, num, random) for form, own in candidates.items()
        },
    }
    features = PoemFeatures(real.background)
    with Stage("judging", len(sets) * len(FORMS)) as stage:
        for name, poems in sets.items():
            opponent = Opponent(name, deal(poems, counts), arguments.temperature)
            row = judge_source(real, opponent, features, config, stage)
            report(name, poems, row.pooled)


def train_critics(
    bundle: ModelBundle, train: Sequence[Poem], temperature: float
) -> dict[str, SequenceJudge]:
    """Return a critic per form, trained on own samples and poems of the training split."""
    real = group_by_form(sorted(train, key=lambda poem: content_hash(poem.characters)))
    counts = {form: min(NUM_CRITIC_POEMS, len(own)) for form, own in real.items()}
    own = sample_by_form(Generator(bundle), counts, temperature=temperature, seed=CRITIC_SEED).poems
    critics = {}
    for form, num in counts.items():
        critics[form] = SequenceJudge(CRITIC_SEED)
        held = num // 10
        critics[form].fit(
            Labeled(real[form][held:num], own[form][held:num]),
            Labeled(real[form][:held], own[form][:held]),
        )
    return critics


def choose(
    critic: SequenceJudge, poems: Sequence[Poem], num: int, random: np.random.Generator
) -> list[Poem]:
    """Draw one of each `num` candidates with the critic's weights."""
    logits = critic.scores(poems).reshape(-1, num)
    weights = np.exp(-(logits - logits.min(axis=1, keepdims=True)))
    weights /= weights.sum(axis=1, keepdims=True)
    chosen = [int(random.choice(num, p=row)) for row in weights]
    return [poems[start * num + one] for start, one in enumerate(chosen)]


def report(name: str, poems: PoemsByForm, accuracy: Estimate | None) -> None:
    """Print a line: the reader's accuracy, and diversity as a mean of the forms."""
    assert accuracy is not None, "no form has enough poems"
    samples = [own[:200] for own in poems.values()]
    mean_distinct = float(np.mean([distinct(own, 2) for own in samples]))
    mean_bleu = float(np.mean([self_bleu(own) for own in samples]))
    print(
        f"{name}: reader {accuracy.value:.1%} [{accuracy.low:.1%}, {accuracy.high:.1%}], "
        f"distinct-2 {mean_distinct:.3f}, self-BLEU-2 {mean_bleu:.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()

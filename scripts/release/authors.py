"""Measure the effect of the author condition: python scripts/release/authors.py --model NAME.

Generates poems conditioned on an author only and scores each under every author.  Counts the poems that
are most probable under their own author; random choice would give one in the number of authors.
"""

from argparse import ArgumentParser
from dataclasses import replace

from tqdm import tqdm

from poetgen.data.conditions import Conditions, known_authors
from poetgen.model.file import load_model
from poetgen.model.scoring import score
from poetgen.runs import find_model
from poetgen.sampling.generator import Generator, Sample
from poetgen.sampling.options import Options

AUTHORS = "白居易 杜甫 李白 刘禹锡 齐己 贯休 王维 李商隐 韩愈 孟郊".split()  # noqa: SIM905
"""Ten well-known authors with enough poems for a symbol of their own."""


def main() -> None:
    """Generate, score and count."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", help="a model file, a run folder or a run's name")
    parser.add_argument("--poems", type=int, default=10, help="number of poems per author")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    bundle = load_model(find_model(arguments.model).path)
    generator = Generator(bundle)
    known = known_authors(bundle.vocab)
    authors = [author for author in AUTHORS if author in known]
    own = num = 0
    for author in tqdm(authors, leave=False, disable=None):
        first = generator.request(Options(author=author), seed=arguments.seed)
        results = generator.generate(replace(first, index=i) for i in range(arguments.poems))
        poems = [result.poem for result in results if isinstance(result, Sample)]
        nats = {
            other: score(
                bundle.network,
                poems,
                bundle.vocab,
                conditions=[Conditions(author=other)] * len(poems),
            )
            for other in authors
        }
        likeliest = [min(authors, key=lambda other: nats[other][i].nats) for i in range(len(poems))]
        own, num = own + likeliest.count(author), num + len(poems)
        print(f"{author} {likeliest.count(author)} of {len(poems)}")
    if num:
        expected = num / len(authors)
        print(f"most probable under their own author: {own} of {num}; at random {expected:.0f}")


if __name__ == "__main__":
    main()

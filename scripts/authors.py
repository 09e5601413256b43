"""Does a model write differently when told an author?  Run: python scripts/authors.py --checkpoint NAME.

Poems are written with the author told and nothing else, and each is scored under every author: how
many are likeliest under their own?  By chance it would be one in as many as there are authors.
"""

from argparse import ArgumentParser
from dataclasses import replace

from tqdm import tqdm

from poetgen.api import load
from poetgen.data.conditions import Conditions, known_authors
from poetgen.model.likelihood import score
from poetgen.sampling.decode import Sample
from poetgen.sampling.options import Options

AUTHORS = "白居易 杜甫 李白 刘禹锡 齐己 贯休 王维 李商隐 韩愈 孟郊".split()  # noqa: SIM905
"""Ten well-known ones, with enough poems for a symbol of their own."""


def main() -> None:
    """Write, score and count."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", help="a model file, a run folder or a run's name")
    parser.add_argument("--poems", type=int, default=10, help="of each author")
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    model = load(given.checkpoint)
    known = known_authors(model.stored.vocab)
    authors = [author for author in AUTHORS if author in known]
    own = num = 0
    for author in tqdm(authors, leave=False, disable=None):
        first = model.request(Options(author=author), seed=given.seed)
        results = model.generate(replace(first, index=index) for index in range(given.poems))
        poems = [result.poem for result in results if isinstance(result, Sample)]
        nats = {
            other: score(
                model.stored.model,
                poems,
                model.stored.vocab,
                given=[Conditions(author=other)] * len(poems),
            )
            for other in authors
        }
        likeliest = [min(authors, key=lambda other: nats[other][i].nats) for i in range(len(poems))]
        own, num = own + likeliest.count(author), num + len(poems)
        print(f"{author} {likeliest.count(author)} of {len(poems)}")
    if num:
        print(
            f"likeliest under their own author: {own} of {num}; by chance {num / len(authors):.0f}"
        )


if __name__ == "__main__":
    main()

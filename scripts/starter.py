"""Write the starter corpus: verses sampled from the model that ships, for configs/tiny.yaml and the tests.

python scripts/starter.py

A hundred poems of each form, told the form and bound to nothing; one that came out in another shape,
holds a line of the training text, or shares a line with one already taken is left out.
"""

from dataclasses import replace
from pathlib import Path

from poetgen.api import load
from poetgen.data.corpus import STARTER_FILE
from poetgen.data.poem import Poem
from poetgen.model.locate import SHIPPED
from poetgen.prosody.forms import FORMS, form_of
from poetgen.sampling.decode import Sample
from poetgen.sampling.options import Options

PER_FORM = 100
SEED = 7
HEADER = """\
# Verses sampled from the model that ships with poetgen (scripts/starter.py).  Not Tang poems: written by
# a machine, so that a tiny model can be trained offline.  One poem per line.  MIT licence, like the rest.
"""


def main() -> None:
    """Sample, choose and write."""
    model = load(SHIPPED)
    poems: list[Poem] = []
    seen: set[str] = set()
    for form in FORMS:
        options = Options(form=form, soft=True)
        taken: list[Poem] = []
        first = model.request(options, seed=SEED)
        requests = (replace(first, index=index) for index in range(2 * PER_FORM))
        for sample in model.generate(requests):
            if not isinstance(sample, Sample) or form_of(sample.poem.lines) != form:
                continue
            if len(taken) < PER_FORM and seen.isdisjoint(sample.poem.lines):
                taken.append(sample.poem)
                seen.update(sample.poem.lines)
        poems += taken
    text = HEADER + "".join(f"{poem.text}\n" for poem in poems)
    Path(STARTER_FILE).write_text(text, encoding="utf-8")
    print(f"{STARTER_FILE}: {len(poems)} poems")


if __name__ == "__main__":
    main()

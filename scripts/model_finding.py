"""What a model's gates do at the marks, which units count, and what happens without them.

    python scripts/model_finding.py --checkpoint NAME

Looks at poems of the model's own (seeded), so it needs no corpus.  Three tables: the mean forget gate
at ，, at a stop and within a line; the cells that follow the place in the line, beside the same test
with places shuffled; and, as proof, what the model writes with the best counters silent (their input
gate shut, so that their cells stay empty), beside as many units that do not count but hold as much: in
other poems, of the next seed, than those by which the counters were found.
"""

import random
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

import torch
from showing import print_table, read_arguments
from torch import Tensor
from tqdm import tqdm

from poetgen.data.poem import MARKS, STOPS, Poem
from poetgen.data.vocab import BOS
from poetgen.inspection.gates import hold, no_gates, record
from poetgen.model.locate import find_model
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel, load_model
from poetgen.prosody.forms import scan
from poetgen.sampling.decode import Sample, generate
from poetgen.sampling.request import Request


def write(stored: StoredModel, model: PoemLSTM, num: int, seed: int) -> list[Poem]:
    """Poems without a prompt, at temperature 0.8."""
    requests = [Request(seed, index) for index in range(num)]
    results = generate(model, stored.vocab, requests, max_tokens=100)
    return [result.poem for result in results if isinstance(result, Sample)]


def places(text: str) -> list[int]:
    """Each character's place in its line from 1 on; 0 for a mark."""
    found = [0]
    for character in text:
        found.append(0 if character in MARKS else found[-1] + 1)
    return found[1:]


def form_row(name: str, poems: Sequence[Poem]) -> tuple[str, ...]:
    """How many lines are as long as their poem's first, how many poems of a form, how many rhyme."""
    is_even = [len(line) == len(poem.lines[0]) for poem in poems for line in poem.lines[1:]]
    scans = [found for poem in poems if (found := scan(poem.lines))]
    rhymed = sum(bool(found.rhyme) for found in scans)
    even = f"{sum(is_even) / max(1, len(is_even)):.0%}"
    return name, even, f"{len(scans)} of {len(poems)}", f"{rhymed} of {len(scans)}"


def correlations(values_NH: Tensor, place_N: Tensor) -> Tensor:
    """Pearson's r of each unit with the place, (H,)."""
    x_N1 = (place_N - place_N.mean())[:, None]
    y_NH = values_NH - values_NH.mean(dim=0)
    norms_H = y_NH.norm(dim=0).clamp(min=1e-9)
    r_H: Tensor = (x_N1 * y_NH).sum(dim=0) / (x_N1.norm() * norms_H)
    return r_H


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--checkpoint", help="a model file, a run folder or a run's name")
    parser.add_argument("--poems", type=int, default=100)


def forget_rows(gates: Sequence[Tensor], text: str) -> list[tuple[str, ...]]:
    """The mean forget gate by kind of character, a row per layer."""
    kinds = [[c == "，" for c in text], [c in STOPS for c in text], [c not in MARKS for c in text]]
    rows = []
    for number, forget_NH in enumerate(gates, start=1):
        means = [f"{forget_NH[here].mean():.3f}" if any(here) else "–" for here in kinds]
        rows.append((f"layer {number}", *means))
    return rows


def follow_places(cells: Sequence[Tensor], line_places: Sequence[int]) -> list[Tensor]:
    """Each layer's correlations with the place in the line, (H,), marks aside."""
    inside = [i for i, place in enumerate(line_places) if place]
    place_N = torch.tensor([float(place) for place in line_places if place])
    return [correlations(cell_NH[inside], place_N) for cell_NH in cells]


def counting_row(name: str, r_H: Tensor, by_chance_H: Tensor) -> tuple[str, ...]:
    """The units of a layer that follow the place in the line best."""
    best = r_H.abs().topk(3).indices.tolist()
    named = ", ".join(f"unit {unit} ({r_H[unit].item():+.2f})" for unit in best)
    return name, named, str(int((r_H.abs() > 0.7).sum())), f"{by_chance_H.abs().max().item():.2f}"


def matched(counters: Sequence[int], r_H: Tensor, size_H: Tensor) -> list[int]:
    """For each counter another unit, of those that count least, whose cell holds about as much."""
    free = r_H.abs().argsort()[: len(r_H) // 2].tolist()

    def nearest(unit: int) -> int:
        return int((size_H[free] - size_H[unit]).abs().argmin())

    return [free.pop(nearest(unit)) for unit in counters[: len(free)]]


def main() -> None:
    arguments = read_arguments(__doc__ or "", add_options, has_plot=False)
    num = 8 if arguments.quick else arguments.poems
    stored = load_model(find_model(arguments.checkpoint).path)
    model, vocab = stored.model, stored.vocab
    if model.cell != "lstm":
        sys.exit(f"{no_gates(model.cell)[0]}\n  → Name an LSTM: --checkpoint NAME")
    poems = write(stored, model, num, arguments.seed)
    text = "".join(poem.text for poem in poems)
    reading = tqdm(poems, desc="reading", leave=False, disable=None)
    recordings = [record(model, [BOS, *vocab.encode(poem.text)]) for poem in reading]

    def joined(name: str) -> list[Tensor]:
        layers = range(len(model.layers))
        return [torch.cat([one.layers[layer][name][1:] for one in recordings]) for layer in layers]

    title = f"{num} poems of the model's own, {len(text):,} characters; mean forget gate"
    headings = ("", "at ，", "at 。？！", "within a line")
    print_table(title, headings, forget_rows(joined("forget"), text))
    print()
    headings = ("", "place in the line, best units (r)", "|r| > .7", "best |r| by chance")
    line_places = [place for poem in poems for place in places(poem.text)]
    shuffled = random.Random(arguments.seed).sample(line_places, len(line_places))
    cells = joined("cell")
    found, by_chance = (follow_places(cells, some) for some in (line_places, shuffled))
    names = [f"layer {layer + 1}" for layer in range(len(found))]
    print_table("Cells that count", headings, list(map(counting_row, names, found, by_chance)))
    print()
    rows = [form_row("as it is", write(stored, model, num, arguments.seed + 1))]
    # The layer with the best counters, by how well each of its units counts.
    layer = max(range(len(found)), key=lambda number: float(found[number].abs().max()))
    order = found[layer].abs().argsort(descending=True).tolist()
    numbers = (1, 4) if arguments.quick else (1, 4, 16, 64)
    others = matched(order[: numbers[-1]], found[layer], cells[layer].abs().mean(dim=0))
    for count in tqdm(numbers, desc="silencing", leave=False, disable=None):
        for who, units in (("best counters", order[:count]), ("others as full", others[:count])):
            silenced = hold(model, layer, "input", is_open=False, units=units)
            written = write(stored, silenced, num, arguments.seed + 1)
            rows.append(form_row(f"{count} {who} silent", written))
    headings = (f"layer {layer + 1}", "lines as long as the first", "in a form", "of these, rhymed")
    print_table("Without the counters", headings, rows)


if __name__ == "__main__":
    main()

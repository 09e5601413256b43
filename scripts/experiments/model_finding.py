"""The gates of a model at punctuation, its units that count, and its poems without them.

    python scripts/experiments/model_finding.py --model NAME

Needs no corpus: it reads poems that the model generates from a seed.  Three tables: the mean forget gate
at ，, at a stop and within a line; the cells correlated with the position in the line, compared with
shuffled positions; and poems of the next seed, generated with the best counters silenced (their input
gates clamped shut, so that their cells stay empty), or with matched units that hold about as much.
"""

import random
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace

import torch
from showing import exit_on_error, print_table, read_arguments
from torch import Tensor
from tqdm import tqdm

from poetgen.data.poem import Poem
from poetgen.inspection.ablation import clamp_gate
from poetgen.inspection.result import explain
from poetgen.inspection.trace import trace
from poetgen.model.file import ModelBundle, load_model
from poetgen.prosody.marks import MARKS, STOPS
from poetgen.prosody.scan import scan
from poetgen.runs import find_model
from poetgen.sampling.generator import Generator, Sample
from poetgen.sampling.options import Options


def generate_poems(bundle: ModelBundle, num: int, seed: int) -> list[Poem]:
    """Return poems of at most 100 characters without a prompt, at temperature 0.8."""
    generator = Generator(bundle, max_tokens=100)
    first = generator.request(Options(temperature=0.8, allow_copies=True), seed=seed)
    results = generator.generate(replace(first, index=index) for index in range(num))
    return [result.poem for result in results if isinstance(result, Sample)]


def line_positions(text: str) -> list[int]:
    """Return each character's position in its line, starting at 1; 0 for a mark."""
    positions = [0]
    for character in text:
        positions.append(0 if character in MARKS else positions[-1] + 1)
    return positions[1:]


def form_row(name: str, poems: Sequence[Poem]) -> tuple[str, ...]:
    """Return the shares of lines as long as their poem's first, of poems in a form, of rhymed poems."""
    is_even = [len(line) == len(poem.lines[0]) for poem in poems for line in poem.lines[1:]]
    scans = [found for poem in poems if (found := scan(poem.lines))]
    rhymed = sum(bool(found.rhyme) for found in scans)
    even = f"{sum(is_even) / max(1, len(is_even)):.0%}"
    return name, even, f"{len(scans)} of {len(poems)}", f"{rhymed} of {len(scans)}"


def correlations(values_NH: Tensor, position_N: Tensor) -> Tensor:
    """Return Pearson's r of each unit with the position, (H,)."""
    x_N1 = (position_N - position_N.mean())[:, None]
    y_NH = values_NH - values_NH.mean(dim=0)
    norms_H = y_NH.norm(dim=0).clamp(min=1e-9)
    r_H: Tensor = (x_N1 * y_NH).sum(dim=0) / (x_N1.norm() * norms_H)
    return r_H


def forget_rows(gates: Sequence[Tensor], text: str) -> list[tuple[str, ...]]:
    """Return the mean forget gate by class of character, one row per layer."""
    is_class = [
        [c == "，" for c in text],
        [c in STOPS for c in text],
        [c not in MARKS for c in text],
    ]
    rows = []
    for number, forget_NH in enumerate(gates, start=1):
        means = [f"{forget_NH[here].mean():.3f}" if any(here) else "–" for here in is_class]
        rows.append((f"layer {number}", *means))
    return rows


def position_correlations(cells: Sequence[Tensor], positions: Sequence[int]) -> list[Tensor]:
    """Return each layer's correlations with the position in the line, (H,), marks excluded."""
    inside = [i for i, position in enumerate(positions) if position]
    position_N = torch.tensor([float(position) for position in positions if position])
    return [correlations(cell_NH[inside], position_N) for cell_NH in cells]


def counting_row(name: str, r_H: Tensor, shuffled_r_H: Tensor) -> tuple[str, ...]:
    """Return the units of a layer that are best correlated with the position in the line."""
    best = r_H.abs().topk(3).indices.tolist()
    named = ", ".join(f"unit {unit} ({r_H[unit].item():+.2f})" for unit in best)
    return name, named, str(int((r_H.abs() > 0.7).sum())), f"{shuffled_r_H.abs().max().item():.2f}"


def matched_units(counters: Sequence[int], r_H: Tensor, size_H: Tensor) -> list[int]:
    """Return for each counter a unit of the least correlated half whose cell holds about as much."""
    free = r_H.abs().argsort()[: len(r_H) // 2].tolist()
    return [
        free.pop(int((size_H[free] - size_H[unit]).abs().argmin()))
        for unit in counters[: len(free)]
    ]


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("-m", "--model", help="a model file, a run folder or a run's name")
    parser.add_argument("--poems", type=int, default=100, help="number of poems")


def main() -> None:
    arguments = read_arguments(__doc__ or "", add_options, has_plot=False)
    num = 8 if arguments.quick else arguments.poems
    with exit_on_error():
        bundle = load_model(find_model(arguments.model).path)
    shape = bundle.config.model
    if shape.cell != "lstm":
        sys.exit(f"{explain(shape.cell)[0]}\n  → Name an LSTM: --model NAME")
    poems = generate_poems(bundle, num, arguments.seed)
    text = "".join(poem.text for poem in poems)
    traces = [trace(bundle, poem.text) for poem in poems]

    def series(name: str) -> list[Tensor]:
        layers = range(shape.num_layers)
        return [
            torch.cat([torch.from_numpy(one.layers[layer][name][1:]) for one in traces])
            for layer in layers
        ]

    title = f"{num} generated poems, {len(text):,} characters; mean forget gate"
    headings = ("", "at ，", "at 。？！", "within a line")
    print_table(title, headings, forget_rows(series("forget"), text))
    print()
    headings = ("", "position in the line, best units (r)", "|r| > .7", "best |r|, shuffled")
    positions = [position for poem in poems for position in line_positions(poem.text)]
    shuffled = random.Random(arguments.seed).sample(positions, len(positions))
    cells = series("cell")
    found, at_random = (position_correlations(cells, some) for some in (positions, shuffled))
    names = [f"layer {layer + 1}" for layer in range(len(found))]
    print_table("Cells that count", headings, list(map(counting_row, names, found, at_random)))
    print()
    rows = [form_row("none", generate_poems(bundle, num, arguments.seed + 1))]
    # The layer with the best counter, its units ordered by correlation.
    layer = max(range(len(found)), key=lambda number: float(found[number].abs().max()))
    order = found[layer].abs().argsort(descending=True).tolist()
    counts = (1, 4) if arguments.quick else (1, 4, 16, 64)
    others = matched_units(order[: counts[-1]], found[layer], cells[layer].abs().mean(dim=0))
    for count in tqdm(counts, desc="silencing", leave=False, disable=None):
        for who, units in (("best counters", order[:count]), ("matched units", others[:count])):
            silenced = clamp_gate(bundle.engine, layer, "input", is_open=False, units=units)
            altered = bundle.with_engine(silenced)
            generated = generate_poems(altered, num, arguments.seed + 1)
            rows.append(form_row(f"{who}: {count}", generated))
    name = f"silenced in layer {layer + 1}"
    forms = ("lines as long as the first", "in one of the four forms", "of these, rhymed")
    print_table("Without the counters", (name, *forms), rows)


if __name__ == "__main__":
    main()

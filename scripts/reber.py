"""The embedded Reber grammar: python scripts/reber.py.

A string opens with B and T or P, goes through an inner grammar, and closes with the same T or P and E.
The network reads it symbol by symbol and foresees the next; a string is right if at every place each
legal symbol is held likelier than each illegal one, so the second symbol must be remembered to the
last but one.  As in the 1997 paper (section 5.1): 256 strings to learn from, 256 to test, learnt when all
512 are right; here all 512 differ, so that no string of the test can have been learnt by heart.

16 units, embeddings of 7, Adam at .01, batches of 8, gradients clipped at 1; the plain RNN has as many
units, and so a quarter of the recurrent weights.
"""

import random
import time
from typing import NamedTuple

import torch
from learning import Memory, Outcome
from showing import plot_curves, print_table, read_arguments
from torch import Tensor, nn
from tqdm import tqdm

SYMBOLS = "BTPSXVE"
# Node → its arcs (symbol, next node); the inner grammar's last node has none.
INNER: tuple[tuple[tuple[str, int], ...], ...] = (
    (("B", 1),),
    (("T", 2), ("P", 3)),
    (("S", 2), ("X", 4)),
    (("T", 3), ("V", 5)),
    (("X", 3), ("S", 6)),
    (("P", 4), ("V", 6)),
    (("E", 7),),
    (),
)
PAPER, STRINGS, BATCH, LIMIT = "8,440–39,740", 256, 8, 40_000


class Strings(NamedTuple):
    """Ids (N, T), E behind the end; and which symbols may follow at each place, none at padding."""

    ids_NT: Tensor
    legal_NTS: Tensor


def one_string(chance: random.Random) -> tuple[str, list[str]]:
    """A string, and for each symbol but the last those that may follow it."""
    outer = chance.choice("TP")
    string, legal, node = "B" + outer, ["TP", "B"], 0
    while INNER[node]:
        symbol, node = chance.choice(INNER[node])
        string += symbol
        legal.append("".join(arc for arc, _ in INNER[node]) or outer)
    return string + outer + "E", [*legal, "E"]


def strings(num: int, seed: int) -> Strings:
    """`num` strings of which no two are alike."""
    chance = random.Random(seed)
    different: dict[str, list[str]] = {}
    while len(different) < num:
        string, legal = one_string(chance)
        different[string] = legal
    # In the order of their first drawing the common short ones would all come first.
    drawn = chance.sample(sorted(different.items()), num)
    longest = max(len(string) for string, _ in drawn)
    ids_NT = torch.tensor(
        [[SYMBOLS.index(s) for s in string.ljust(longest, "E")] for string, _ in drawn]
    )
    legal_NTS = torch.zeros(num, longest - 1, len(SYMBOLS), dtype=torch.bool)
    for row, (_, legal) in enumerate(drawn):
        for place, symbols in enumerate(legal):
            legal_NTS[row, place, [SYMBOLS.index(s) for s in symbols]] = True
    return Strings(ids_NT, legal_NTS)


def halves(some: Strings) -> tuple[Strings, Strings]:
    """What to learn from, and what to test."""
    ids, legal = (part.chunk(2) for part in some)
    return Strings(ids[0], legal[0]), Strings(ids[1], legal[1])


def scores(memory: Memory, ids_NT: Tensor) -> Tensor:
    """Logits (N, T − 1, S) of the symbol after each place."""
    logits: Tensor = memory.readout(memory(ids_NT[:, :-1]))
    return logits


def loss(memory: Memory, some: Strings) -> Tensor:
    """Cross-entropy of the symbol that came, over real places alone."""
    real = some.legal_NTS.any(dim=-1)
    return nn.functional.cross_entropy(scores(memory, some.ids_NT)[real], some.ids_NT[:, 1:][real])


@torch.inference_mode()
def num_wrong(memory: Memory, some: Strings) -> int:
    logits_NTS = scores(memory, some.ids_NT)
    least_legal = logits_NTS.masked_fill(~some.legal_NTS, torch.inf).amin(dim=-1)
    most_illegal = logits_NTS.masked_fill(some.legal_NTS, -torch.inf).amax(dim=-1)
    return int((least_legal <= most_illegal).any(dim=-1).sum())


def run(cell: str, seed: int, limit: int = LIMIT) -> Outcome:
    """Train until all strings are right, judged after each 256."""
    torch.manual_seed(seed)
    chance = torch.Generator().manual_seed(seed)
    learnt, test = halves(strings(2 * STRINGS, seed))
    memory = Memory(cell, 7, 16, len(SYMBOLS), num_symbols=len(SYMBOLS))
    optimiser = torch.optim.Adam(memory.parameters(), 1e-2)
    start, seen, wrong, curve = time.perf_counter(), 0, 2 * STRINGS, []
    with tqdm(total=limit, desc=f"reber {cell} seed {seed}", leave=False, disable=None) as bar:
        while seen < limit and wrong:
            chosen = torch.randint(STRINGS, (BATCH,), generator=chance)
            optimiser.zero_grad()
            some = Strings(learnt.ids_NT[chosen], learnt.legal_NTS[chosen])
            torch.autograd.backward(loss(memory, some))
            nn.utils.clip_grad_norm_(memory.parameters(), 1.0)
            optimiser.step()
            seen += BATCH
            bar.update(BATCH)
            if seen % STRINGS == 0:
                wrong = num_wrong(memory, learnt) + num_wrong(memory, test)
                curve.append((seen, wrong / (2 * STRINGS)))
    solved = None if wrong else seen
    return Outcome(solved, wrong, 2 * STRINGS, time.perf_counter() - start, curve)


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    limit = 512 if arguments.quick else LIMIT
    rows: list[tuple[str, ...]] = [("paper: LSTM of 1997", "", PAPER, "0 of 512", "")]
    curves: dict[str, Outcome] = {}
    for name, cell in (("here: LSTM", "lstm"), ("control: plain RNN", "rnn")):
        for seed in arguments.seeds:
            one = run(cell, seed, limit)
            solved = f"{one.solved:,}" if one.solved else "not solved"
            rows.append(
                (name, str(seed), solved, f"{one.wrong} of {one.tested}", f"{one.seconds:.0f}")
            )
            curves.setdefault(name.split(": ")[1], one)
    heading = ("", "seed", "strings seen", "wrong", "seconds")
    print_table(f"Embedded Reber grammar, at most {limit:,} strings", heading, rows)
    plot_curves(arguments.plot, curves, "Embedded Reber grammar")


if __name__ == "__main__":
    main()

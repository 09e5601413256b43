"""The embedded Reber grammar: python scripts/experiments/reber.py.

A string starts with B and T or P, passes through an inner grammar, and ends with the same T or P and E.
The network reads it symbol by symbol and predicts the next one.  A string counts as correct if at every
position each legal symbol is more probable than each illegal one, so the second symbol must be remembered
up to the last but one.  As in the 1997 paper (section 5.1) there are 256 strings for training and 256 for
testing, and the task is solved when all 512 are correct.  Here all 512 differ, so no test string can have
been memorized.

16 units, embeddings of size 7, Adam with learning rate .01, batches of 8, gradients clipped at 1.  The
plain RNN has the same number of units, and so a quarter of the recurrent weights.
"""

import random
import time
from typing import NamedTuple

import torch
from learning import Memory, Outcome
from showing import plot_outcomes, print_table, read_arguments
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
    """Ids (N, T), padded with E, and the legal next symbols at each position, none at padding."""

    ids_NT: Tensor
    legal_NTS: Tensor


def one_string(rng: random.Random) -> tuple[str, list[str]]:
    """Return a string and, for each symbol except the last, the symbols that may follow it."""
    outer = rng.choice("TP")
    string, legal, node = "B" + outer, ["TP", "B"], 0
    while INNER[node]:
        symbol, node = rng.choice(INNER[node])
        string += symbol
        legal.append("".join(arc for arc, _ in INNER[node]) or outer)
    return string + outer + "E", [*legal, "E"]


def strings(num: int, seed: int) -> Strings:
    """Return `num` distinct strings."""
    rng = random.Random(seed)
    different: dict[str, list[str]] = {}
    while len(different) < num:
        string, legal = one_string(rng)
        different[string] = legal
    # In the order in which they were drawn, the common short ones would all come first.
    drawn = rng.sample(sorted(different.items()), num)
    longest = max(len(string) for string, _ in drawn)
    ids_NT = torch.tensor(
        [[SYMBOLS.index(s) for s in string.ljust(longest, "E")] for string, _ in drawn]
    )
    legal_NTS = torch.zeros(num, longest - 1, len(SYMBOLS), dtype=torch.bool)
    for row, (_, legal) in enumerate(drawn):
        for position, symbols in enumerate(legal):
            legal_NTS[row, position, [SYMBOLS.index(s) for s in symbols]] = True
    return Strings(ids_NT, legal_NTS)


def halves(some: Strings) -> tuple[Strings, Strings]:
    """Return the strings for training and those for testing."""
    ids, legal = (part.chunk(2) for part in some)
    return Strings(ids[0], legal[0]), Strings(ids[1], legal[1])


def scores(memory: Memory, ids_NT: Tensor) -> Tensor:
    """Return logits (N, T − 1, S) of the symbol after each position."""
    logits: Tensor = memory.readout(memory(ids_NT[:, :-1]))
    return logits


def loss(memory: Memory, some: Strings) -> Tensor:
    """Return the cross-entropy of the next symbol, padding excluded."""
    real = some.legal_NTS.any(dim=-1)
    return nn.functional.cross_entropy(scores(memory, some.ids_NT)[real], some.ids_NT[:, 1:][real])


@torch.inference_mode()
def num_wrong(memory: Memory, some: Strings) -> int:
    logits_NTS = scores(memory, some.ids_NT)
    least_legal = logits_NTS.masked_fill(~some.legal_NTS, torch.inf).amin(dim=-1)
    most_illegal = logits_NTS.masked_fill(some.legal_NTS, -torch.inf).amax(dim=-1)
    return int((least_legal <= most_illegal).any(dim=-1).sum())


def run(cell: str, seed: int, limit: int = LIMIT) -> Outcome:
    """Train until all strings are correct, checked after every 256 strings."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, test = halves(strings(2 * STRINGS, seed))
    memory = Memory(cell, 7, 16, len(SYMBOLS), num_symbols=len(SYMBOLS))
    optimizer = torch.optim.Adam(memory.parameters(), 1e-2)
    start, seen, wrong, curve = time.perf_counter(), 0, 2 * STRINGS, []
    with tqdm(total=limit, desc=f"reber {cell} seed {seed}", leave=False, disable=None) as bar:
        while seen < limit and wrong:
            chosen = torch.randint(STRINGS, (BATCH,), generator=generator)
            optimizer.zero_grad()
            some = Strings(train.ids_NT[chosen], train.legal_NTS[chosen])
            torch.autograd.backward(loss(memory, some))
            nn.utils.clip_grad_norm_(memory.parameters(), 1.0)
            optimizer.step()
            seen += BATCH
            bar.update(BATCH)
            if seen % STRINGS == 0:
                wrong = num_wrong(memory, train) + num_wrong(memory, test)
                curve.append((seen, wrong / (2 * STRINGS)))
    solved = None if wrong else seen
    return Outcome(solved, wrong, 2 * STRINGS, time.perf_counter() - start, curve)


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    limit = 512 if arguments.quick else LIMIT
    rows: list[tuple[str, ...]] = [("paper: LSTM of 1997", "", PAPER, "0 of 512", "")]
    outcomes: dict[str, Outcome] = {}
    for name, cell in (("here: LSTM", "lstm"), ("control: plain RNN", "rnn")):
        for seed in arguments.seeds:
            one = run(cell, seed, limit)
            solved = f"{one.solved:,}" if one.solved else "not solved"
            rows.append(
                (name, str(seed), solved, f"{one.wrong} of {one.tested}", f"{one.seconds:.0f}")
            )
            outcomes.setdefault(name.split(": ")[1], one)
    heading = ("", "seed", "strings seen", "wrong", "seconds")
    print_table(f"Embedded Reber grammar, at most {limit:,} strings", heading, rows)
    plot_outcomes(arguments.plot, outcomes, "Embedded Reber grammar")


if __name__ == "__main__":
    main()

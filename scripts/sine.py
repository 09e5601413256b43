"""An LSTM that draws a sine wave by itself: python scripts/sine.py.

It learns from sliding windows of a normalised wave to foresee the next sample, LSTM(32) → linear(1).
Then its own answer becomes the newest sample of the window, and so on: an error would feed on itself.
Judged by the root mean square error 1 to 100 steps ahead, beside persistence (the last sample, for
ever) and a plain RNN.
"""

import math
from typing import Any

import torch
from learning import Memory
from showing import COLOURS, plot, print_table, read_arguments
from torch import Tensor, nn
from tqdm import tqdm

PERIOD, WINDOW, AHEAD, STARTS = 40, 50, 100, 64
BATCH, RATE = 64, 1e-2


def wave(num: int) -> Tensor:
    """`num` samples of a sine, normalised to mean 0 and deviation 1."""
    samples = torch.sin(2 * math.pi * torch.arange(num) / PERIOD)
    return (samples - samples.mean()) / samples.std()


def windows(samples: Tensor, length: int) -> Tensor:
    """Every stretch of `length` samples, (N, length)."""
    return samples.unfold(0, length, 1)


def train(cell: str, samples: Tensor, num_steps: int, seed: int) -> Memory:
    """A network that foresees the sample after a window."""
    torch.manual_seed(seed)
    chance = torch.Generator().manual_seed(seed)
    memory = Memory(cell, 1, 32, 1)
    optimiser = torch.optim.Adam(memory.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, num_steps)
    known = windows(samples, WINDOW + 1)
    for _ in tqdm(range(num_steps), desc=cell, leave=False, disable=None):
        chosen = known[torch.randint(len(known), (BATCH,), generator=chance)]
        loss = nn.functional.mse_loss(foresee(memory, chosen[:, :-1]), chosen[:, -1])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(memory.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return memory


def foresee(memory: Memory, window_BT: Tensor) -> Tensor:
    last_B = torch.full((len(window_BT),), window_BT.shape[1] - 1)
    return memory.at(window_BT.unsqueeze(-1), last_B).squeeze(-1)


@torch.inference_mode()
def roll(memory: Memory, window_BT: Tensor) -> Tensor:
    """(B, AHEAD): each answer pushed into the window that the next one is made from."""
    answers = []
    for _ in range(AHEAD):
        answers.append(foresee(memory, window_BT))
        window_BT = torch.cat([window_BT[:, 1:], answers[-1].unsqueeze(1)], dim=1)
    return torch.stack(answers, dim=1)


def error(found: Tensor, truth: Tensor) -> float:
    return float((found - truth).square().mean().sqrt())


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    num_steps, seeds = (
        (60, [arguments.seed])
        if arguments.quick
        else (1500, [arguments.seed + i for i in range(3)])
    )
    samples = wave(1000 + WINDOW + AHEAD + STARTS)
    known, held_out = samples[:1000], windows(samples[1000:], WINDOW + AHEAD)[:STARTS]
    given, truth = held_out[:, :WINDOW], held_out[:, WINDOW:]
    persistence = error(given[:, -1:].expand_as(truth), truth)
    rows = [("persistence", "", f"{persistence:.4f}", "1")]
    drawn = {}
    for cell in ("lstm", "rnn"):
        rolled = [roll(train(cell, known, num_steps, seed), given) for seed in seeds]
        drawn[cell] = rolled[0]
        for seed, one in zip(seeds, rolled, strict=True):
            found = error(one, truth)
            rows.append(
                (
                    f"{cell}, seed {seed}",
                    "≤ 1/10" if cell == "lstm" else "control",
                    f"{found:.4f}",
                    f"1/{persistence / found:.0f}",
                )
            )
    print_table(
        f"A sine of period {PERIOD}, {AHEAD} steps ahead on its own answers, {STARTS} starts",
        ("who", "wanted", "error", "of persistence"),
        rows,
    )

    def draw(axis: Any) -> None:
        axis.plot(range(-WINDOW, 0), given[0], color="#756f63", label="given")
        axis.plot(range(AHEAD), truth[0], color="#d8d0c0", linewidth=5, label="truth")
        for colour, (cell, rolled_) in zip(COLOURS, drawn.items(), strict=False):
            axis.plot(range(AHEAD), rolled_[0], color=colour, label=cell)
        axis.set(title="On its own answers", xlabel="samples ahead")
        axis.legend(loc="upper right")

    if arguments.plot is not None:
        plot(arguments.plot, draw)


if __name__ == "__main__":
    main()

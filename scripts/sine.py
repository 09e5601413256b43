"""An LSTM that draws a sine wave by itself: python scripts/sine.py.

It learns from sliding windows of a normalised wave to foresee the next sample, LSTM(32) → linear(1).
Then its own answer becomes the newest sample of the window, and so on: an error would feed on itself.
Judged by the root mean square error 1 to 100 steps ahead, beside persistence (the last sample, for
ever) and a plain RNN.  The period is no ratio of whole numbers: no window comes twice, so that none it is
judged by is one it learnt from.

Adam at .01, sinking to 0, 1,500 batches of 64, gradients clipped at 1; the plain RNN has as many units.
"""

import math
from typing import Any

import torch
from learning import Memory
from showing import COLOURS, plot, print_table, read_arguments
from torch import Tensor, nn
from tqdm import tqdm

PERIOD = 25 * (1 + math.sqrt(5)) / 2
WINDOW, AHEAD, STARTS, KNOWN = 50, 100, 64, 1000
BATCH, RATE = 64, 1e-2
HUES = {"persistence": COLOURS[5], "LSTM": COLOURS[0], "plain RNN": COLOURS[1]}


def wave(num: int) -> Tensor:
    """`num` samples of a sine, normalised to mean 0 and deviation 1."""
    samples = torch.sin(2 * math.pi * torch.arange(num, dtype=torch.float64) / PERIOD)
    return ((samples - samples.mean()) / samples.std()).float()


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


def parts() -> tuple[Tensor, Tensor, Tensor]:
    """The samples to learn from; then, of later ones, windows (STARTS, WINDOW) and what follows each."""
    samples = wave(KNOWN + WINDOW + AHEAD + STARTS)
    held_out = windows(samples[KNOWN:], WINDOW + AHEAD)[:STARTS]
    return samples[:KNOWN], held_out[:, :WINDOW], held_out[:, WINDOW:]


def errors(found: Tensor, truth: Tensor) -> Tensor:
    """Root mean square over the starts, for each step ahead."""
    return (found - truth).square().mean(dim=0).sqrt()


def total(errors_T: Tensor) -> float:
    """The root mean square over all steps."""
    return float(errors_T.square().mean().sqrt())


def run(cell: str, seed: int, num_steps: int = 1500) -> tuple[Tensor, Tensor]:
    """What a trained network draws from each start, (STARTS, AHEAD), and its errors (AHEAD,)."""
    known, given, truth = parts()
    found = roll(train(cell, known, num_steps, seed), given)
    return found, errors(found, truth)


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    num_steps = 60 if arguments.quick else 1500
    _, given, truth = parts()
    curves = {"persistence": errors(given[:, -1:].expand_as(truth), truth)}
    drawn: dict[str, Tensor] = {}
    persistence = total(curves["persistence"])
    rows = [("control: persistence", "", f"{persistence:.4f}", "1")]
    for name, cell in (("here: LSTM", "lstm"), ("control: plain RNN", "rnn")):
        for seed in arguments.seeds:
            found, errors_T = run(cell, seed, num_steps)
            error = total(errors_T)
            rows.append((name, str(seed), f"{error:.4f}", f"1/{persistence / error:.0f}"))
            curves.setdefault(name.split(": ")[1], errors_T)
            drawn.setdefault(name.split(": ")[1], found[0])
    print_table(
        f"A sine, {AHEAD} steps ahead on its own answers, {STARTS} starts; wanted: 1/10 or less",
        ("", "seed", "error", "of persistence"),
        rows,
    )

    def draw(left: Any, right: Any) -> None:
        left.plot(range(-WINDOW, 0), given[0], color="#756f63", label="given")
        left.plot(range(AHEAD), truth[0], color="#d8d0c0", linewidth=5, label="truth")
        for style, (name, found) in zip(("-", "--"), drawn.items(), strict=True):
            left.plot(range(AHEAD), found, style, color=HUES[name], label=name)
        left.set(title="One start", xlabel="samples ahead")
        left.legend(loc="upper right", fontsize=7)
        for name, errors_T in curves.items():
            right.plot(range(1, AHEAD + 1), errors_T, color=HUES[name], label=name)
        right.set(title="Error, all starts", xlabel="samples ahead", yscale="log")
        right.legend(fontsize=7)

    plot(arguments.plot, draw, num_panels=2)


if __name__ == "__main__":
    main()

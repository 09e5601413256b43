"""An LSTM that continues a sine wave: python scripts/experiments/sine.py.

LSTM(32) → linear(1) learns to predict the next sample from sliding windows of a normalized wave.  For the
test each prediction is appended to the window from which the next one is made, so errors accumulate.  The
measure is the root mean square error 1 to 100 steps ahead, compared with persistence (repeating the last
sample) and with a plain RNN.  The period is irrational, so no window occurs twice and no test window was
seen in training.

Adam with learning rate .01, decayed to 0, 1,500 batches of 64, gradients clipped at 1.  The plain RNN has
the same number of units.
"""

import math

import torch
from learning import Memory
from showing import print_table, read_arguments, write_plot
from torch import Tensor, nn
from tqdm import tqdm

from poetgen.views.charts import Curve, line_chart, side_by_side
from poetgen.views.svg import color

PERIOD = 25 * (1 + math.sqrt(5)) / 2
WINDOW, AHEAD, STARTS, TRAIN = 50, 100, 64, 1000
BATCH, RATE = 64, 1e-2
COLORS = {
    "given": "#666666",
    "truth": "#d8d0c0",
    "LSTM": color(0),
    "plain RNN": color(1),
    "persistence": color(2),
}


def wave(num: int) -> Tensor:
    """Return `num` samples of a sine, normalized to mean 0 and standard deviation 1."""
    samples = torch.sin(2 * math.pi * torch.arange(num, dtype=torch.float64) / PERIOD)
    return ((samples - samples.mean()) / samples.std()).float()


def windows(samples: Tensor, length: int) -> Tensor:
    """Return all windows of `length` samples, (N, length)."""
    return samples.unfold(0, length, 1)


def train(cell: str, samples: Tensor, num_steps: int, seed: int) -> Memory:
    """Return a network trained to predict the sample after a window."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    memory = Memory(cell, 1, 32, 1)
    optimizer = torch.optim.Adam(memory.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    known_NT = windows(samples, WINDOW + 1)
    for _ in tqdm(range(num_steps), desc=cell, leave=False, disable=None):
        chosen = known_NT[torch.randint(len(known_NT), (BATCH,), generator=generator)]
        loss = nn.functional.mse_loss(predict(memory, chosen[:, :-1]), chosen[:, -1])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(memory.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return memory


def predict(memory: Memory, window_BT: Tensor) -> Tensor:
    """Return the predicted next samples, (B,)."""
    last_B = torch.full((len(window_BT),), window_BT.shape[1] - 1)
    return memory.at(window_BT.unsqueeze(-1), last_B).squeeze(-1)


@torch.inference_mode()
def roll(memory: Memory, window_BT: Tensor) -> Tensor:
    """Return (B, AHEAD): each prediction is appended to the window of the next one."""
    predictions = []
    for _ in range(AHEAD):
        predictions.append(predict(memory, window_BT))
        window_BT = torch.cat([window_BT[:, 1:], predictions[-1].unsqueeze(1)], dim=1)
    return torch.stack(predictions, dim=1)


def split_samples() -> tuple[Tensor, Tensor, Tensor]:
    """Return the training samples, test windows (STARTS, WINDOW), and what follows, (STARTS, AHEAD)."""
    samples = wave(TRAIN + WINDOW + AHEAD + STARTS)
    held_out = windows(samples[TRAIN:], WINDOW + AHEAD)[:STARTS]
    return samples[:TRAIN], held_out[:, :WINDOW], held_out[:, WINDOW:]


def errors(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the root mean square error over the starts for each step ahead, (AHEAD,)."""
    return (predicted - truth).square().mean(dim=0).sqrt()


def total(errors_T: Tensor) -> float:
    """Return the root mean square over all steps."""
    return float(errors_T.square().mean().sqrt())


def run(cell: str, seed: int, num_steps: int = 1500) -> tuple[Tensor, Tensor]:
    """Train a network; return its continuation of each start, (STARTS, AHEAD), and its errors (AHEAD,)."""
    samples, given, truth = split_samples()
    predicted = roll(train(cell, samples, num_steps, seed), given)
    return predicted, errors(predicted, truth)


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    num_steps = 60 if arguments.quick else 1500
    _, given, truth = split_samples()
    errors_of = {"persistence": errors(given[:, -1:].expand_as(truth), truth)}
    continued = {"truth": truth[0]}
    persistence = total(errors_of["persistence"])
    rows = [("control: persistence", "", f"{persistence:.4f}", "1")]
    for name, cell in (("here: LSTM", "lstm"), ("control: plain RNN", "rnn")):
        for seed in arguments.seeds:
            predicted, errors_T = run(cell, seed, num_steps)
            error = total(errors_T)
            rows.append((name, str(seed), f"{error:.4f}", f"1/{persistence / error:.0f}"))
            errors_of.setdefault(name.split(": ")[1], errors_T)
            continued.setdefault(name.split(": ")[1], predicted[0])
    print_table(
        f"A sine, {AHEAD} steps ahead on its own predictions, {STARTS} starts; goal: 1/10 or less",
        ("", "seed", "error", "of persistence"),
        rows,
    )

    def draw() -> str:
        start = [curve("given", given[0], first=-WINDOW)]
        start += [curve(name, values_T, first=0) for name, values_T in continued.items()]
        all_starts = [curve(name, errors_T, first=1) for name, errors_T in errors_of.items()]
        charts = [
            line_chart("One start", start, "samples ahead", "value"),
            line_chart("Error, all starts", all_starts, "samples ahead", "error", log_y=True),
        ]
        return side_by_side("A continued sine wave", charts)

    write_plot(arguments.plot, draw)


def curve(name: str, values_T: Tensor, *, first: int) -> Curve:
    """Return the values over steps `first`, `first` + 1 …; each name has its own style."""
    is_dashed, width = name == "plain RNN", 5 if name == "truth" else 2
    points = list(enumerate(values_T.tolist(), start=first))
    return Curve(name, points, COLORS[name], is_dashed=is_dashed, width=width)


if __name__ == "__main__":
    main()

"""Train pilot runs and print their table: python scripts/release/pilots.py --corpus data/tang.

A pilot is a short run on a fifth of the Tang poems (every fifth file of the collection, two passes), with
one change to a common recipe and several seeds.  Runs that are finished are not repeated, and one that was
interrupted resumes, so the command can be run again at any time.  A pilot takes about ten minutes on two
cores; `--only` names some of them.
"""

import json
import math
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from poetgen.runs import RUNS, Run

RECIPE = ["data.extra_train=[]", "train.epochs=2", "train.min_lr_ratio=0"]
"""Changes to the configuration `pretrain` that all pilots have."""
BOTH = ["model.verse_inputs=true", "model.reuse_term=gated"]

PILOTS = {
    "recipe": [],
    "reuse-fixed": ["model.reuse_term=fixed"],
    "reuse-gated": ["model.reuse_term=gated"],
    "verse-inputs": ["model.verse_inputs=true"],
    "both": BOTH,
    "decay-0.1": [*BOTH, "train.weight_decay=0.1"],
    "decay-0.3": [*BOTH, "train.weight_decay=0.3"],
    "decay-1": [*BOTH, "train.weight_decay=1"],
    "decay-3": [*BOTH, "train.weight_decay=3"],
    "class-weight": [*BOTH, "train.token_class_loss_weight=10"],
    "small-batches": [*BOTH, "train.batch_tokens=1024"],
    "fast": [*BOTH, "train.learning_rate=4e-3"],
    "slow": [*BOTH, "train.learning_rate=1e-3"],
}
"""The settings of each pilot, by name."""


def main() -> None:
    """Train what is missing, then print the table in Markdown."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="the folder of the Tang poems")
    parser.add_argument("--only", nargs="*", choices=PILOTS, default=list(PILOTS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument(
        "--table", action="store_true", help="print the table of finished runs only"
    )
    arguments = parser.parse_args()
    if not arguments.table:
        for seed in arguments.seeds:
            for name in arguments.only:
                train(name, seed, fifth_of(arguments.corpus))
    print("| pilot | settings | validation perplexity by seed | mean |")
    print("|---|---|---|---:|")
    for name in arguments.only:
        found = [best_perplexity(name, seed) for seed in arguments.seeds]
        known = [one for one in found if one is not None]
        if known:
            settings = ", ".join(f"`{one}`" for one in PILOTS[name])
            texts = ", ".join(f"{one:.1f}" for one in known)
            print(f"| {name} | {settings} | {texts} | {sum(known) / len(known):.1f} |")


def fifth_of(folder: Path) -> list[Path]:
    """Return every fifth file of the collection, in the order of their numbers."""
    files = sorted(folder.glob("poet.*.json"), key=lambda file: int(file.name.split(".")[2]))
    return files[::5]


def run_of(name: str, seed: int) -> str:
    """Return the name of a pilot's run."""
    return f"pilot-{name}-{seed}"


def train(name: str, seed: int, corpus: Sequence[Path]) -> None:
    """Train a pilot, unless it is finished; resume it if it was interrupted."""
    run = Run(RUNS / run_of(name, seed))
    if best_perplexity(name, seed) is not None:
        return
    command = [sys.executable, "-m", "poetgen", "train", "--run", run.name]
    if run.last.exists():
        command += ["--resume"]
    else:
        settings = [*RECIPE, *PILOTS[name], f"train.seed={seed}"]
        command += ["--config", "pretrain", "--overwrite"]
        command += [part for path in corpus for part in ("--corpus", str(path))]
        command += [part for setting in settings for part in ("--set", setting)]
    subprocess.run(command, check=True)


def best_perplexity(name: str, seed: int) -> float | None:
    """Return the validation perplexity of a finished pilot."""
    metrics = Run(RUNS / run_of(name, seed)).metrics
    if not metrics.exists():
        return None
    records = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    epochs = [record for record in records if record["kind"] == "validation"]
    if len(epochs) < 2:
        return None
    return math.exp(min(record["valid_nats_per_token"] for record in epochs))


if __name__ == "__main__":
    main()

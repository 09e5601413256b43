"""A process that generates poems with the poetgen of PYTHONPATH and measures itself.

    python worker.py MODEL '{"torch": true, "device": "cpu"}'

Reads one task per line from standard input, as JSON, and answers with {"amount": …, "seconds": …}.  It uses
only what poetgen has offered since its first version, so that it also runs with an earlier checkout.  The
task `products` is for the current version only.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

Task = dict[str, Any]


def main() -> None:
    model, settings = sys.argv[1], json.loads(sys.argv[2])
    if settings["torch"]:
        import torch  # noqa: F401 (the engine uses it if it has been imported)
    else:
        sys.modules["torch"] = None  # type: ignore[assignment]  # an import fails
    poet = _load(model, settings)
    works = {"stream": _stream, "generate": _generate, "products": _products}
    prepared: dict[str, Callable[[], float]] = {}
    for line in sys.stdin:
        task: Task = json.loads(line)
        if line not in prepared:
            prepared[line] = works[task["name"]](poet, task)
        print(json.dumps(_timed(prepared[line], task["at_least"])), flush=True)


def _timed(work: Callable[[], float], at_least: float) -> dict[str, float]:
    """Repeat `work`, which returns an amount, for `at_least` seconds; return the total and the seconds."""
    amount, start = 0.0, time.perf_counter()
    while True:
        amount += work()
        seconds = time.perf_counter() - start
        if seconds >= at_least:
            return {"amount": amount, "seconds": seconds}


def _load(model: str, settings: dict[str, Any]) -> Any:
    import poetgen

    if settings["device"] != "cpu":
        return poetgen.load(model, device=settings["device"])
    return poetgen.load(model)


def _stream(poet: Any, task: Task) -> Callable[[], float]:
    """Return a function that streams one poem, each time another; it counts characters and the end."""
    seeds = count(task["seed"])
    return lambda: len("".join(poet.stream(seed=next(seeds), **task["options"]))) + 1


def _generate(poet: Any, task: Task) -> Callable[[], float]:
    """Return a function that generates `num` poems, each time others; it counts characters and ends."""
    from poetgen.sampling.options import Options

    seeds = count(task["seed"])

    def work() -> float:
        first = poet.request(Options(**task["options"]), seed=next(seeds))
        requests = (replace(first, index=index) for index in range(task["num"]))
        results = list(poet.generate(requests, batch_size=task["batch_size"]))
        return sum(len(one.poem.text) + 1 for one in results if hasattr(one, "poem"))

    return work


def _products(poet: Any, task: Task) -> Callable[[], float]:
    """Return a function that computes the products of one step of `num` rows; it counts the rows."""
    import numpy as np

    arrays = poet.bundle.fp32_weights()
    layers = range(poet.bundle.config.model.num_layers)
    gates = (
        np.hstack([arrays[f"layers.{one}.weight_{side}_l0"] for side in ("ih", "hh")])
        for one in layers
    )
    matrices = [*gates, arrays["projection.weight"], arrays["embedding"]]
    if task["provider"] == "torch":
        return _int8_products(matrices, task["num"], task["device"])
    random = np.random.default_rng(1)
    fp32 = [np.ascontiguousarray(matrix, np.float32) for matrix in matrices]
    vectors = [random.standard_normal((matrix.shape[1],)).astype(np.float32) for matrix in fp32]
    assert task["num"] == 1

    def work() -> float:
        for matrix, vector in zip(fp32, vectors, strict=True):
            matrix @ vector
        return 1

    return work


def _int8_products(matrices: list[Any], num_rows: int, device: str) -> Callable[[], float]:
    import numpy as np
    import torch

    num_computed = num_rows if device == "cpu" else max(32, num_rows)  # CUDA takes no fewer
    int8 = [
        torch.from_numpy(np.asarray(matrix / abs(matrix).max() * 127, np.int8)).to(device).t()
        for matrix in matrices
    ]
    rows = [torch.ones(num_computed, len(matrix), dtype=torch.int8).to(device) for matrix in int8]

    @torch.inference_mode()
    def work() -> float:
        for matrix, x in zip(int8, rows, strict=True):
            torch._int_mm(x, matrix)
        if device == "cuda":
            torch.cuda.synchronize()
        return num_rows

    return work


if __name__ == "__main__":
    main()

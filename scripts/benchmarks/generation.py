"""The speed of generation with the bundled model, in processes with torch, without it, and of a commit.

A character and an end of a poem count as one each: each is one step of the network.  "Raw" lines compute
only the matrix products of such steps.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lines import ROOT, Bar, Comparison, Group, Line, Settings

_UNIT = "chars/s"
_EARLIER = "earlier: "
_SIZES = (1, 8, 64, 256, 1024)
_FREE_QUATRAINS = {"form": "七绝", "soft": True}
_QUATRAINS = {"form": "七绝", "rhyme": True, "tones": True}


@dataclass(frozen=True)
class Worker:
    """A process of `worker.py`."""

    process: subprocess.Popen[str]
    at_least: float
    """The least duration of a measurement in seconds."""

    def measure(self, name: str, **task: Any) -> float:
        """Let it do a task; return the amount per second."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        values = {"seed": 1, "options": {}, "at_least": self.at_least}
        self.process.stdin.write(json.dumps({"name": name, **values, **task}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or "null")
        if answer is None:
            raise RuntimeError(f"the worker of {name} ended; its error is above")
        rate: float = answer["amount"] / answer["seconds"]
        return rate


@contextmanager
def worker(checkout: Path, settings: Settings, *, has_torch: bool) -> Iterator[Worker]:
    """Start a worker that imports the poetgen of `checkout`, from an empty folder."""
    model = checkout / "poetgen" / "resources" / "tang.safetensors"
    options = json.dumps({"torch": has_torch, "device": settings.device if has_torch else "cpu"})
    command = [sys.executable, "-P", str(Path(__file__).with_name("worker.py"))]
    process = subprocess.Popen(
        [*command, str(model), options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        text=True,
        encoding="utf-8",
    )
    try:
        yield Worker(process, settings.seconds)
    finally:
        process.communicate()  # closes its standard input, which ends it


def generation(settings: Settings) -> Group:
    """Return streams, batches of free and constrained poems, and raw products as their limits."""
    enter = settings.resources.enter_context
    bare = enter(worker(ROOT, settings, has_torch=False))
    full = enter(worker(ROOT, settings, has_torch=True))
    lines = [*_stream_lines(bare, full, settings), *_batch_lines(full, settings)]
    lines += _constrained_lines(full, settings)
    if settings.against is not None:
        earlier = enter(worker(settings.against.resolve(), settings, has_torch=True))
        lines += _earlier_lines(earlier, settings)
    return Group("generation", "Generation with the bundled model", tuple(lines))


def _stream_lines(bare: Worker, full: Worker, settings: Settings) -> Iterator[Line]:
    products, int8 = "raw fp32, 1 row", _products_name(1)
    against = _against(settings, "stream", 7)
    yield Line(
        "stream, without torch",
        _UNIT,
        lambda: bare.measure("stream"),
        (Comparison(products, Bar(0.6)),),
    )
    yield Line(
        "stream, with torch",
        _UNIT,
        lambda: full.measure("stream"),
        (Comparison(products), Comparison(int8), *against),
    )
    yield Line(products, _UNIT, lambda: bare.measure("products", num=1, provider="numpy"))


def _batch_lines(full: Worker, settings: Settings) -> Iterator[Line]:
    for size in _SIZES[:2] if settings.quick else _SIZES:
        name, products = f"free, batch of {size:,}", _products_name(size)
        yield Line(
            name, _UNIT, _generating(full, num=size, batch_size=size), (Comparison(products),)
        )
        task = {"num": size, "provider": "torch", "device": settings.device}
        yield Line(products, _UNIT, _measured(full, "products", task))
    size = 4 if settings.quick else 256
    yield Line(
        _free_name(settings),
        _UNIT,
        _generating(full, num=2 * size, batch_size=size),
        _against(settings, _free_name(settings), 3),
    )
    num = 1 if settings.quick else 32
    best = _generating(full, num=num, batch_size=size, options={"best_of": 8})
    yield Line(f"best of 8, {num} poems", "kept/s", best)


def _constrained_lines(full: Worker, settings: Settings) -> Iterator[Line]:
    free = "quatrains, free"
    size = _num_quatrains(settings)
    yield Line(free, _UNIT, _generating(full, num=size, batch_size=size, options=_FREE_QUATRAINS))
    for particles in (1, 4):
        name = f"quatrains, {particles} particle{'s' * (particles > 1)}"
        options = _QUATRAINS | {"particles": particles}
        bar = Bar(0.85) if particles == 1 else None
        yield Line(
            name,
            _UNIT,
            _generating(full, num=size, batch_size=size, options=options),
            (
                Comparison(free, bar),
                *(_against(settings, name, 4) if particles == 4 else ()),
            ),
        )


def _earlier_lines(earlier: Worker, settings: Settings) -> Iterator[Line]:
    yield Line(f"{_EARLIER}stream", _UNIT, lambda: earlier.measure("stream"))
    size = 4 if settings.quick else 256
    free = _generating(earlier, num=2 * size, batch_size=size)
    yield Line(_EARLIER + _free_name(settings), _UNIT, free)
    size = _num_quatrains(settings)
    options = _QUATRAINS | {"particles": 4}
    quatrains = _generating(earlier, num=size, batch_size=size, options=options)
    yield Line(f"{_EARLIER}quatrains, 4 particles", _UNIT, quatrains)


def _generating(
    one: Worker, *, num: int, batch_size: int, options: dict[str, Any] | None = None
) -> Callable[[], float]:
    task = {"num": num, "batch_size": batch_size, "options": options or {}}
    return _measured(one, "generate", task)


def _measured(one: Worker, name: str, task: dict[str, Any]) -> Callable[[], float]:
    return lambda: one.measure(name, **task)


def _against(settings: Settings, name: str, limit: float) -> tuple[Comparison, ...]:
    if settings.against is None:
        return ()
    return (Comparison(_EARLIER + name, Bar(limit)),)


def _products_name(num_rows: int) -> str:
    return f"raw int8, {num_rows:,} row{'s' * (num_rows > 1)}"


def _free_name(settings: Settings) -> str:
    return "8 free, batches of 4" if settings.quick else "512 free, batches of 256"


def _num_quatrains(settings: Settings) -> int:
    return 2 if settings.quick else 256

"""Write tests/golden/hashes.json again: the hashes of poems that are the same everywhere.

    python scripts/make_golden.py                  write them, and print which groups have changed
    python scripts/make_golden.py --check          only compare: exit with 1 if a poem differs

The 256 poems of each model, tests/golden/small.safetensors and the bundled one, cover all options, in
groups.  Run this after a deliberate change of results.  With --check it verifies an environment: it needs
poetgen and what poetgen generates with, neither torch nor pytest.
"""

import argparse
import hashlib
import json
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from poetgen.files import file_digest, write_text
from poetgen.model.file import load_model
from poetgen.runs import BUNDLED
from poetgen.sampling.generator import Failure, Generator, Sample
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
HASHES = GOLDEN / "hashes.json"
MODELS = {"small": GOLDEN / "small.safetensors", "tang": BUNDLED}

BOUND: dict[str, Any] = {"form": "五绝", "rhyme": True, "tones": True}

GROUPS: dict[str, tuple[int, Sequence[Mapping[str, Any]]]] = {
    "plain": (16, [{}]),
    "greedy": (
        1,
        [
            {"temperature": 0, **one}
            for one in (
                {},
                {"prompt": "床前"},
                {"form": "五绝"},
                {"form": "七绝", "rhyme": True},
                {"acrostic": "山水"},
                {"title": "春夜"},
                {"top_k": 3, "top_p": 0.5, "min_p": 0.1},
                {"particles": 4, "best_of": 3, "rhyme": True},
            )
        ],
    ),
    "temperature": (5, [{"temperature": one} for one in (0.05, 0.5, 1, 1.7)]),
    "top_k": (4, [{"top_k": 1}, {"top_k": 8}, {"top_k": 50, "temperature": 1.7}]),
    "top_p": (4, [{"top_p": 0.3}, {"top_p": 0.9}, {"top_p": 0.95, "temperature": 1.7}]),
    "min_p": (4, [{"min_p": 0.02}, {"min_p": 0.3}, {"min_p": 0.1, "temperature": 1.7}]),
    "filters": (
        4,
        [
            {"top_k": 40, "top_p": 0.9},
            {"top_k": 40, "top_p": 0.95, "min_p": 0.02, "temperature": 1.7},
            {"top_k": 60, "top_p": 0.98, "temperature": 1, **BOUND},
        ],
    ),
    "seeds": (3, [{"seed": one} for one in (0, 2, 999_999, 2**32 + 1, -7)]),
    "form 五绝": (4, [{"form": "五绝"}, BOUND]),
    "form 七绝": (4, [{"form": "七绝"}, {**BOUND, "form": "七绝"}]),
    "form 五律": (4, [{"form": "五律"}, {**BOUND, "form": "五律"}]),
    "form 七律": (4, [{"form": "七律"}, {**BOUND, "form": "七律"}]),
    "soft": (3, [{"form": one, "soft": True} for one in ("五绝", "七绝", "五律", "七律")]),
    "rhyme": (4, [{"rhyme": True}, {"form": "七绝", "rhyme": True}]),
    "rhyme group": (
        4,
        [
            {"rhyme_group": "阳", "form": "五绝"},
            {"rhyme_group": "庚", "form": "七绝", "temperature": 1},
            {"rhyme_group": "漾"},
        ],
    ),
    "tones": (
        4,
        [
            {"form": "五绝", "tones": True},
            {"form": "七绝", "tones": True, "any_reading": True},
        ],
    ),
    "acrostic": (
        4,
        [{"acrostic": "春夏秋冬"}, {"acrostic": "春夏秋冬", "form": "七绝", "rhyme": True}],
    ),
    "acrostic at the end": (
        4,
        [{"acrostic": one, "acrostic_at": "end", "form": "五绝"} for one in ("春山", "明月")],
    ),
    "unknown in acrostic": (
        4,
        [{"acrostic": "春𪚥"}, {"acrostic": "𪚥山", "acrostic_at": "end", "form": "五绝"}],
    ),
    "title and author": (
        3,
        [
            {"title": "春夜"},
            {"author": "竹客"},
            {"author": "杜甫", "title": "月下，其二𪚥", "form": "五绝"},
        ],
    ),
    "particles": (
        3,
        [
            {"particles": 4, **BOUND},
            {"particles": 4, "acrostic": "春夏", "temperature": 1.7},
            {"particles": 16, "form": "七绝", "rhyme": True, "top_k": 50},
        ],
    ),
    "best_of": (
        3,
        [
            {"best_of": 3},
            {"best_of": 3, "form": "五绝", "rhyme": True, "prompt": "床前"},
            {"best_of": 2, "particles": 4, "rhyme_group": "阳", "form": "五绝"},
        ],
    ),
    "copies allowed": (4, [{"allow_copies": True}, {"allow_copies": True, **BOUND}]),
    "prompts": (
        3,
        [
            {"prompt": "床前"},
            {"prompt": "床前明月光，"},
            {"prompt": "𪚥前☃"},
            {"prompt": "牀前明月", "form": "五绝", "rhyme": True},
            {"prompt": "明月光前地，床", "form": "五绝", "particles": 4},
        ],
    ),
    "attempts": (1, [{"temperature": 1.7}, BOUND, {"particles": 4, **BOUND}]),
}
"""By name: poems of each combination of options, and the combinations."""


class Result(NamedTuple):
    """A poem and its hash."""

    text: str
    hash: str


def requests(generator: Generator) -> Iterator[tuple[str, Request]]:
    """Yield the name of the group and the request of each poem."""
    for name, (num, combinations) in GROUPS.items():
        for row, options in enumerate(combinations):
            first = generator.request(Options(**options), seed=1)
            for column in range(num):
                index = 2**32 + column if name == "seeds" else num * row + column
                attempt = 3 if name == "attempts" else 0
                yield name, replace(first, index=index, attempt=attempt)


def compute(
    generator: Generator, *, batch_size: int = 64, per_group: int | None = None
) -> dict[str, list[Result]]:
    """Return the poems of each group, or only the first ones, generated together."""
    wanted: list[tuple[str, Request]] = []
    results: dict[str, list[Result]] = {name: [] for name in GROUPS}
    counts = dict.fromkeys(GROUPS, 0)
    for name, request in requests(generator):
        counts[name] += 1
        if per_group is None or counts[name] <= per_group:
            wanted.append((name, request))
    poems = generator.generate([request for _, request in wanted], batch_size=batch_size)
    for (name, _), poem in zip(wanted, poems, strict=True):
        results[name].append(_result(poem))
    return results


def _result(poem: Sample | Failure) -> Result:
    text, nats = "", "failure"
    if isinstance(poem, Sample):
        text, nats = poem.poem.text, poem.likelihood.nats.hex()
    content = json.dumps([text, nats], ensure_ascii=False).encode()
    return Result(text, hashlib.sha256(content).hexdigest())


def to_json(results: Mapping[str, Sequence[Result]]) -> dict[str, Any]:
    """Return the record of each group: its hash, its first poem, the beginnings of its poems' hashes."""
    return {
        name: {
            "sha256": hashlib.sha256("".join(one.hash for one in group).encode()).hexdigest(),
            "first": group[0].text,
            "poems": [one.hash[:8] for one in group],
        }
        for name, group in results.items()
    }


def differences(
    results: Mapping[str, Sequence[Result]], recorded: Mapping[str, Any]
) -> Iterator[str]:
    """Yield a line for each group that differs from its record; the last poems may be missing."""
    if not recorded:
        yield "no poems of this model file are recorded: run scripts/make_golden.py"
        return
    found = to_json(results)
    for name, group in results.items():
        record = recorded.get(name, {"poems": [], "first": "", "sha256": ""})
        new, old = found[name]["poems"], record["poems"]
        num_differing = sum(map(str.__ne__, new, old))
        if num_differing:
            number = next(i for i, one in enumerate(new) if one != old[i])
            was = "" if number else f"; was: {record['first']}"
            yield (
                f"{name}: {num_differing} of {len(new)} differ, "
                f"the first is poem {number}: {group[number].text}{was}"
            )
        elif len(new) > len(old):
            yield f"{name}: {len(new)} poems, recorded are {len(old)}"
        elif len(new) == len(old) and found[name]["sha256"] != record["sha256"]:
            yield f"{name}: the hash of the group differs"


def read_hashes() -> dict[str, Any]:
    """Return the record: by the digest of a model's file, its name and groups."""
    values: dict[str, Any] = json.loads(HASHES.read_text("utf-8")) if HASHES.is_file() else {}
    return values


def recorded_groups(name: str) -> dict[str, Any]:
    """Return the record of a model's groups; empty if its file is another one."""
    record = read_hashes().get(file_digest(MODELS[name]), {})
    groups: dict[str, Any] = record.get("groups", {})
    return groups


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Formatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--model", choices=MODELS, action="append", help="only this model")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="cpu", help="cpu, or with torch: cuda, mps")
    options = parser.parse_args(arguments)
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    hashes, num_changed = {}, 0
    for name, path in MODELS.items():
        digest = file_digest(path)
        if options.model and name not in options.model:
            hashes.update({key: one for key, one in read_hashes().items() if one["model"] == name})
            continue
        generator = Generator(load_model(path, options.device))
        results = compute(generator, batch_size=options.batch_size)
        changed = list(differences(results, recorded_groups(name)))
        num_changed += len(changed)
        num_poems = sum(map(len, results.values()))
        print(f"{name}: {num_poems} poems in {len(results)} groups, {len(changed)} differences")
        for line in changed:
            print(f"  {line}")
        hashes[digest] = {"model": name, "groups": to_json(results)}
    if options.check:
        return 1 if num_changed else 0
    write_text(HASHES, json.dumps(hashes, ensure_ascii=False, indent=1) + "\n")
    print(f"wrote {HASHES.name}")
    return 0


_Formatter = argparse.RawDescriptionHelpFormatter


if __name__ == "__main__":
    sys.exit(main())

"""The poems of recorded seeds: the same with every provider, batch size and number of threads."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
import torch

from poetgen.engine.products import NumpyProducts, Products
from poetgen.engine.torch_products import TorchProducts
from poetgen.model.file import load_model
from poetgen.sampling.generator import Generator
from poetgen.sampling.options import declared_options

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "make_golden.py"
PROVIDERS: dict[str, Products] = {
    "numpy": NumpyProducts(),
    "int8": TorchProducts(),
    "fp32": TorchProducts(use_int8=False),
}
WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None
sys.argv = [sys.argv[1], "--check", "--model", "small", "--batch-size", "16"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def golden(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module(SCRIPT.stem)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Let torch compute with two threads."""
    num = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(num)


def differences(
    golden: ModuleType,
    model: str,
    provider: Products,
    batch_size: int,
    per_group: int | None = None,
) -> Sequence[str]:
    generator = Generator(load_model(golden.MODELS[model]))
    generator.bundle.engine.use(provider)
    results = golden.compute(generator, batch_size=batch_size, per_group=per_group)
    return list(golden.differences(results, golden.recorded_groups(model)))


@pytest.mark.parametrize(
    ("provider", "batch_size"), [("numpy", 64), ("numpy", 7), ("int8", 256), ("fp32", 64)]
)
def test_small_model(golden: ModuleType, provider: str, batch_size: int) -> None:
    assert differences(golden, "small", PROVIDERS[provider], batch_size) == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_small_model_alone(golden: ModuleType, provider: str) -> None:
    assert differences(golden, "small", PROVIDERS[provider], 1, per_group=2) == []


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("use_int8", [True, False])
def test_small_model_with_two_threads(golden: ModuleType, use_int8: bool) -> None:
    products = TorchProducts(use_int8=use_int8)
    assert differences(golden, "small", products, 64, per_group=4) == []


@pytest.mark.parametrize(("provider", "batch_size"), [("numpy", 64), ("int8", 7)])
def test_bundled_model(golden: ModuleType, provider: str, batch_size: int) -> None:
    assert differences(golden, "tang", PROVIDERS[provider], batch_size, per_group=1) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("model", "provider", "batch_size"),
    [("small", "int8", 1), ("small", "fp32", 7), ("tang", "int8", 256)],
)
def test_all_poems(golden: ModuleType, model: str, provider: str, batch_size: int) -> None:
    assert differences(golden, model, PROVIDERS[provider], batch_size) == []


@pytest.mark.gpu
@pytest.mark.parametrize("use_int8", [True, False])
@pytest.mark.parametrize("model", ["small", "tang"])
def test_all_poems_on_gpu(golden: ModuleType, model: str, use_int8: bool) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    assert differences(golden, model, TorchProducts("cuda", use_int8=use_int8), 64) == []


def test_check_without_torch_with_two_threads() -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(SCRIPT)],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "2",
            "OPENBLAS_NUM_THREADS": "2",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr or result.stdout
    assert "small: 256 poems" in result.stdout


def test_groups_cover_all_options(golden: ModuleType) -> None:
    used = {
        key for _, combinations in golden.GROUPS.values() for one in combinations for key in one
    }
    assert used == {name for name, option in declared_options().items() if not option.per_call}
    for model in golden.MODELS:
        groups = golden.recorded_groups(model)
        assert list(groups) == list(golden.GROUPS)
        hashes = [one for group in groups.values() for one in group["poems"]]
        assert len(hashes) == 256
        assert len(set(hashes)) > 220  # greedy choice repeats poems


def test_difference_names_group_and_poem(golden: ModuleType) -> None:
    results = {
        name: [golden.Result(f"poem {number} of {name}", f"{number:064x}") for number in range(3)]
        for name in ("first", "second", "third")
    }
    recorded = golden.to_json(results)
    assert list(golden.differences(results, recorded)) == []
    fewer = {name: group[:2] for name, group in results.items()}
    assert list(golden.differences(fewer, recorded)) == []
    results["second"][1] = golden.Result("another", "f" * 64)
    results["third"][0] = golden.Result("different", "e" * 64)
    assert list(golden.differences(results, recorded)) == [
        "second: 1 of 3 differ, the first is poem 1: another",
        "third: 1 of 3 differ, the first is poem 0: different; was: poem 0 of third",
    ]
    (fault,) = golden.differences(results, {})
    assert "run scripts/make_golden.py" in fault


def test_folder_is_small(golden: ModuleType) -> None:
    assert sum(file.stat().st_size for file in golden.GOLDEN.iterdir() if file.is_file()) < 300_000

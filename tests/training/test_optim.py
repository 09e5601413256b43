"""The optimizer, the learning rate schedule and the precision."""

import math
from typing import Any

import pytest
import torch

from poetgen.config import TrainConfig, build_config
from poetgen.training.optim import autocast, learning_rate_at, uses_bf16
from tests.training.trainers import new_trainer

CPU = torch.device("cpu")


def train_config(**train: Any) -> TrainConfig:
    return build_config({"train": train}).train


def test_schedule_is_linear_warmup_then_cosine() -> None:
    config = train_config(learning_rate=1.0, warmup_steps=4, min_lr_ratio=0.1)
    rates = {step: learning_rate_at(step, 14, config) for step in (0, 1, 2, 3, 4, 9, 14, 99)}
    # Half-way down, at step 9 of 4…14, is the mean of 1 and .1.
    assert rates == pytest.approx(
        {0: 0.25, 1: 0.5, 2: 0.75, 3: 1.0, 4: 1.0, 9: 0.55, 14: 0.1, 99: 0.1}
    )
    sixth = 0.1 + 0.9 * (1 + math.cos(math.pi / 5)) / 2
    assert learning_rate_at(6, 14, config) == pytest.approx(sixth)


def test_schedule_without_warmup_and_with_only_warmup() -> None:
    config = train_config(learning_rate=2.0, warmup_steps=0)
    assert learning_rate_at(0, 10, config) == 2.0
    assert learning_rate_at(5, 10, config) == pytest.approx(1.0)
    assert learning_rate_at(10, 10, config) == pytest.approx(0.0)
    long = train_config(learning_rate=2.0, warmup_steps=100)
    assert learning_rate_at(9, 10, long) == pytest.approx(0.2)
    assert learning_rate_at(99, 10, long) == pytest.approx(2.0)


def test_optimizer_decays_only_matrices() -> None:
    trainer = new_trainer([], weight_decay=0.25, betas=[0.8, 0.95])
    matrices, vectors = trainer.optimizer.param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.25, 0.0)
    assert matrices["betas"] == vectors["betas"] == (0.8, 0.95)
    assert {p.ndim for p in matrices["params"]} == {2}
    assert {p.ndim for p in vectors["params"]} == {1}
    both = [*matrices["params"], *vectors["params"]]
    assert len(both) == len(list(trainer.network.parameters()))


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_uses_bf16_as_named(device: str) -> None:
    assert uses_bf16(torch.device(device), "bf16")
    assert not uses_bf16(torch.device(device), "fp32")


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"),
    [(False, False, False), (True, False, True), (False, True, True)],
)
def test_uses_bf16_auto_on_a_cpu_with_native_bf16(
    monkeypatch: pytest.MonkeyPatch, avx512: bool, amx: bool, expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert uses_bf16(CPU, "auto") is expected


def test_uses_bf16_auto_is_false_without_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert not uses_bf16(CPU, "auto")
    assert not uses_bf16(torch.device("mps"), "auto")


@pytest.mark.parametrize("native", [True, False])
def test_uses_bf16_auto_on_cuda_if_native(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert uses_bf16(torch.device("cuda"), "auto") is native


def test_autocast_sets_the_precision() -> None:
    weight = torch.ones(2, 2)
    for precision, expected in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with autocast(CPU, precision):
            assert (weight @ weight).dtype == expected

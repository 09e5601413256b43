"""The choice of a device."""

import pytest
import torch

from poetgen.errors import UsageError
from poetgen.model.device import choose_device


def here(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_cuda_then_mps_then_cpu(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    here(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["cuda", "mps", "cpu"])
def test_device_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    here(monkeypatch, cuda=True, mps=True)
    assert choose_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_absent_device_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    here(monkeypatch, cuda=False, mps=False)
    with pytest.raises(UsageError) as caught:
        choose_device(name)
    assert name in caught.value.why
    assert "--device auto" in caught.value.fix
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["gpu", "", "CPU", "cuda:x"])
def test_unknown_device_is_an_error_that_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_device(name)
    assert repr(name) in caught.value.why
    assert all(known in caught.value.fix for known in ("auto", "cuda", "mps", "cpu"))

"""The selection of a device."""

import pytest
import torch

from poetgen.errors import UsageError
from poetgen.model.network import choose_device


def set_available(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_choose_device_auto_prefers_cuda_then_mps(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    set_available(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["cuda", "mps", "cpu"])
def test_choose_device_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    set_available(monkeypatch, cuda=True, mps=True)
    assert choose_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_choose_device_unavailable_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    set_available(monkeypatch, cuda=False, mps=False)
    with pytest.raises(UsageError) as caught:
        choose_device(name)
    assert f"{name.upper()} is not available" in caught.value.why
    assert "--device auto" in caught.value.fix
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["gpu", "", "CPU", "cuda:x"])
def test_choose_device_unknown_lists_names(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_device(name)
    assert repr(name) in caught.value.why
    assert all(known in caught.value.fix for known in ("auto", "cuda", "mps", "cpu"))

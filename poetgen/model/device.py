"""Which device to compute on."""

from collections.abc import Callable

import torch

from poetgen.errors import UsageError


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else Apple's MPS, else the CPU.

    Raises:
        UsageError: the device is not here.
    """
    here: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if name == "auto":
        name = next(device for device, is_here in here.items() if is_here())
    elif name not in here:
        raise UsageError(f"there is no device {name!r}", f"Choose auto, {', '.join(here)}.")
    elif not here[name]():
        raise UsageError(
            f"this machine or this torch has no {name}",
            "Use --device auto, or install a torch for it.",
        )
    return torch.device(name)

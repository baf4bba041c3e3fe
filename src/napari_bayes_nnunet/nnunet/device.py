"""The devices a network can run on."""

from __future__ import annotations

import os

import torch

from . import ModelError

DEVICES = ("auto", "cuda", "mps", "cpu")


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``name``; "auto" is the first of CUDA, Apple's mps and the CPU there is.

    Raises ModelError when the device is unknown or absent.
    """
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise ModelError(f"The device must be one of {', '.join(DEVICES)}, not {name!r}.")
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if kind == "auto":
        return torch.device(next(device for device, there in available.items() if there))
    if not available[kind]:
        raise ModelError(f"This machine has no usable {kind} device; choose auto or cpu.")
    return torch.device(name)


def describe_devices() -> dict[str, str]:
    """The devices of this machine, the fastest first: name → text with model and free memory."""
    devices: dict[str, str] = {}
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        devices[f"cuda:{index}"] = f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple graphics processor"
    devices["cpu"] = f"CPU, {torch.get_num_threads()} threads{_free_memory()}"
    return devices


def _free_memory() -> str:
    """Free main memory as text, where the system says it."""
    try:
        gib = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (AttributeError, ValueError, OSError):
        return ""
    return f", {gib:.1f} GiB free"

"""The devices a network can run on."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

import psutil
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
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"{name!r} is no device; cuda:0 is the first card.") from error
    if kind == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"This machine has no {name}; its cards are {', '.join(_cards())}.")
    return device


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory was short: CUDA says so by type, CPU allocators and mps by their text."""
    texts = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        text in str(error) for text in texts
    )


def is_broken(error: Exception) -> bool:
    """Whether it ended what this process can do with CUDA: all its calls fail from then on."""
    if "CUDA error" not in str(error):
        return False
    try:
        torch.cuda.synchronize()
    except (RuntimeError, AssertionError):
        return True
    return False


def describe_devices() -> dict[str, str]:
    """The devices of this machine, the fastest first: name → text with model and free memory."""
    devices: dict[str, str] = {}
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        try:
            free, total = (amount / 2**30 for amount in torch.cuda.mem_get_info(index))
            devices[f"cuda:{index}"] = f"{name}, {free:.1f} of {total:.1f} GiB free"
        except RuntimeError:  # a full or exclusively used card; the others are still of use
            devices[f"cuda:{index}"] = f"{name}, in use by another program"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple graphics processor"
    devices["cpu"] = f"CPU, {torch.get_num_threads()} threads{_free_memory()}"
    return devices


def used_memory(device: torch.device) -> int:
    """What this process holds of the device's memory, bytes."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    if device.type == "mps":
        return int(torch.mps.driver_allocated_memory())
    return int(psutil.Process().memory_info().rss)


def training_environment(device: torch.device) -> dict[str, str]:
    """Variables for a training on ``device``; what the user has set for nnU-Net stays.

    On CPUs images are augmented in the training's own process: that makes a seeded training
    repeatable, and the other cores are busy with the network. Compiling the network is left to
    nnU-Net, except where it would only end in an error.
    """
    if device.type != "cuda":
        return {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}
    if "nnUNet_compile" in os.environ or can_compile():
        return {}
    return {"nnUNet_compile": "f"}


def can_compile() -> bool:
    """Whether torch.compile has what it needs on CUDA: triton, a C compiler, Python's headers."""
    compilers = (os.environ.get("CC"), "gcc", "clang", "cc")
    return (
        importlib.util.find_spec("triton") is not None
        and any(shutil.which(name) for name in compilers if name)
        and (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file()
    )


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; others emulate it, slower than float32."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    checks = (getattr(torch.cpu, name, None) for name in names)
    return any(check() for check in checks if check)


def _cards() -> list[str]:
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def _free_memory() -> str:
    """Free main memory as text, where the system says it."""
    try:
        gib = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (AttributeError, ValueError, OSError):
        return ""
    return f", {gib:.1f} GiB free"

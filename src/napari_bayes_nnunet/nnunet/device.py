"""Devices that a network can run on."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

import psutil
import torch

from ..io.files.main_memory import free_main_memory
from . import ModelError
from .openvino_network import is_installed, openvino_version

DEVICES = ("auto", "cuda", "mps", "cpu")
NOT_A_DEVICE = "{device!r} is not a device. Choose one of {choices}."
UNAVAILABLE = "This computer has no usable {device} device. Choose {choices}."


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; "auto" takes the first of CUDA, Apple's mps and CPU.

    Raises ModelError if the device is unknown or not available.
    """
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise ModelError(NOT_A_DEVICE, device=name, choices=", ".join(DEVICES))
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if kind == "auto":
        return torch.device(next(device for device, usable in available.items() if usable))
    if not available[kind]:
        raise ModelError(UNAVAILABLE, device=kind, choices="auto or cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(NOT_A_DEVICE, device=name, choices=", ".join(gpu_names())) from error
    if kind == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(UNAVAILABLE, device=name, choices=", ".join(gpu_names()))
    return device


def is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out: a type on CUDA, a text of CPU allocators and mps."""
    texts = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        text in str(error) for text in texts
    )


def is_broken(error: Exception) -> bool:
    """Return whether ``error`` left CUDA unusable for this process: all later calls fail."""
    if "CUDA error" not in str(error):
        return False
    # Only GPUs that this process uses: a context on another would take memory there.
    used = filter(torch.cuda.memory_reserved, range(torch.cuda.device_count()))
    try:
        # After a sticky error every call fails, so one that waits for nothing else shows it.
        for device in (None, *used):  # the current one, and others
            torch.cuda.synchronize(device)
    except (RuntimeError, AssertionError):
        return True
    return False


def gpu_names() -> list[str]:
    """Return the names of the CUDA devices. Opens no CUDA context on them."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def describe_devices() -> dict[str, str]:
    """Return the devices of this computer, fastest first: name → model and free memory.

    Opens a CUDA context on every GPU, which takes memory there until this process ends.
    """
    names = [*gpu_names(), *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    return {name: describe_device(torch.device(name)) for name in names}


def describe_device(device: torch.device) -> str:
    """Return the model and free memory of a device. Opens a CUDA context on a GPU."""
    if device.type == "mps":
        return "Apple graphics processor"
    if device.type != "cuda":
        free = free_main_memory() / 2**30
        runtime = f"{openvino_version()}, " if is_installed() else ""
        return f"CPU, {torch.get_num_threads()} threads, {runtime}{free:.1f} GiB free"
    index = device.index or 0
    name = torch.cuda.get_device_name(index)
    try:
        free, total = (amount / 2**30 for amount in torch.cuda.mem_get_info(index))
    except RuntimeError:  # a full or exclusively used GPU; the others can still be used
        return f"{name}, in use by another program"
    return f"{name}, {free:.1f} of {total:.1f} GiB free"


def used_memory(device: torch.device) -> int:
    """Return the device memory that this process holds, in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    if device.type == "mps":
        return int(torch.mps.driver_allocated_memory())
    return int(psutil.Process().memory_info().rss)


def training_environment(device: torch.device) -> dict[str, str]:
    """Return variables for a training on ``device``, which replace those of the environment.

    On CPUs and mps the training's own process augments the images, whatever the user set: this
    makes a seeded training repeatable, and the other cores are busy with the network. nnU-Net
    compiles no network there. On CUDA, those that the user set for nnU-Net stay, and nnU-Net
    compiles the network unless that would fail.
    """
    if device.type != "cuda":
        return {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}
    if "nnUNet_compile" in os.environ or can_compile():
        return {}
    return {"nnUNet_compile": "f"}


def can_compile() -> bool:
    """Return whether torch.compile can work on CUDA: triton, a C compiler, Python's headers."""
    compilers = (os.environ.get("CC"), "gcc", "clang", "cc")
    return (
        importlib.util.find_spec("triton") is not None
        and any(shutil.which(name) for name in compilers if name)
        and (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file()
    )


def has_fast_bfloat16() -> bool:
    """Return whether this CPU has bfloat16 in hardware; emulation is slower than float32."""
    # Private names, which another version of torch may not have.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    checks = (getattr(torch.cpu, name, None) for name in names)
    return any(check() for check in checks if check)

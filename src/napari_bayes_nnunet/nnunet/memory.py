"""Checks of the memory that plans and images need, before anything is allocated.

Linux grants more memory than there is and then kills the process, so an error would come too late.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ..io.files.main_memory import free_main_memory
from . import ModelError

FLOAT = 4
"""Bytes of a number in float32."""
GIB = 2**30

IMAGE_NEEDS_MEMORY = (
    "This image needs about {needed:.3g} GiB of memory with the voxels of {spacing} mm in "
    "plans.json, but only {free:.3g} GiB are free. Close other programs, or use a computer with "
    "more memory."
)
PATCH_NEEDS_MEMORY = (
    "One patch of {patch} voxels, as in plans.json, needs about {needed:.3g} GiB of memory, but "
    "only {free:.3g} GiB are free. Close other programs, or use a computer with more memory."
)


def free_memory(needed: float, device: torch.device) -> int:
    """Return the free bytes of the main memory; if more are ``needed``, of ``device`` if it has.

    What does not fit on a GPU is computed in main memory. The GPU is not asked without need: the
    answer costs time and memory on it.
    """
    free = free_main_memory()
    return free if needed <= free else max(free, _free_on_gpu(device))


def check_patch(network: torch.nn.Module, patch: Sequence[int], device: torch.device) -> None:
    """Raise ModelError if one patch would fill the memory of the device and the main memory.

    The encoder's features of all stages are kept for the decoder, which joins those of a stage with
    its own and computes new ones.
    """
    encoder: Any = network.encoder
    voxels, features = float(math.prod(patch)), []
    for channels, stride in zip(encoder.output_channels, encoder.strides, strict=True):
        voxels /= math.prod(stride) if isinstance(stride, list | tuple) else stride ** len(patch)
        features.append(channels * voxels)
    needed = FLOAT * (sum(features) + 3 * max(features))
    if needed > (free := free_memory(needed, device)):
        size = _sides(patch)
        raise ModelError(PATCH_NEEDS_MEMORY, patch=size, needed=needed / GIB, free=free / GIB)


def check_image(
    shape: Sequence[int],
    resampled: Sequence[float],
    patch: Sequence[int],
    *,
    spacing: Sequence[float],
    classes: int,
    sums_on: torch.device,
) -> None:
    """Raise ModelError if an image (channels, Z, Y, X) would fill the memory.

    ``resampled`` (Z, Y, X) is its size at the ``spacing`` of the network, in mm. It is resampled in
    main memory, and its probabilities are summed on the device ``sums_on``.
    """
    padded = [1.0] * (3 - len(patch)) + [float(side) for side in patch]
    computed = math.prod(map(max, resampled, padded))
    # nnU-Net resamples copies in float64; the sums of the logits become probabilities.
    copies, sums = (FLOAT * computed * parts for parts in (4 * shape[0], 2 * classes + 1))
    needed, free = copies + sums, free_main_memory()
    if needed > free and sums <= _free_on_gpu(sums_on):
        needed = copies
    if needed > free:
        raise ModelError(
            IMAGE_NEEDS_MEMORY, spacing=_sides(spacing), needed=needed / GIB, free=free / GIB
        )


def _sides(lengths: Sequence[float]) -> str:
    return " x ".join(f"{length:.3g}" for length in lengths)


def _free_on_gpu(device: torch.device) -> int:
    """Return the free bytes of a device with memory of its own, 0 of others."""
    if device.type != "cuda":
        return 0
    try:
        return int(torch.cuda.mem_get_info(device)[0])
    except RuntimeError:  # a full or exclusively used GPU
        return 0

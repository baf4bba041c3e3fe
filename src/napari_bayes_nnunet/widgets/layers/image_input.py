"""What an image layer of any reader gives the ensemble: voxels, spacing, phases, a case name."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Layer

from ...app import AppError
from ...core.types import Spacing
from ...io import DataError
from ...io.images.nifti import CardiacPhases, read_info_cfg
from .metadata import bayes_metadata, layer_geometry, layer_source, layer_voxels

SCRATCH_LIMIT = 8 * 2**30
"""Bytes of the largest image that is handed to the child."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageInput:
    """The image to segment: one (Z, Y, X) or (T, Z, Y, X) array per channel, dask or NumPy.

    ``spacing`` (z, y, x) in mm. ``phases`` of a cine, from 1; None lets the ensemble find ED and
    ES, and so does it for a 3D image, which has none.
    """

    channels: tuple[Any, ...]
    spacing: Spacing
    phases: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X) or (T, Z, Y, X)."""
        return tuple(int(length) for length in self.channels[0].shape)

    @property
    def is_cine(self) -> bool:
        """Whether the first axis is time."""
        return len(self.shape) == 4

    @property
    def sent_phases(self) -> tuple[int, ...]:
        """The phases that are sent: of a lazily loaded cine only those asked for are computed."""
        if not self.is_cine:
            return ()
        return self.phases or tuple(range(1, self.shape[0] + 1))

    def write(self, path: Path, *, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Write (channels, [T,] Z, Y, X) as ``.npy``, one volume in memory at a time.

        Raises AppError for an image that is too large and DataError for one that cannot be read.
        """
        times = self.sent_phases
        shape = (len(self.channels), *((len(times),) if times else ()), *self.shape[-3:])
        kind = _stored_type([channel.dtype for channel in self.channels])
        _check_size(math.prod(shape) * kind.itemsize, path.parent)
        out = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
        for index, channel in enumerate(self.channels):
            for place, phase in enumerate(times or (None,)):
                if should_stop():
                    return
                target = (index,) if phase is None else (index, place)
                out[target] = computed(channel if phase is None else channel[phase - 1])
        out.flush()


def is_segmentable(layer: Layer) -> bool:
    """Whether a layer is a grey-value image of 3 or 4 dimensions and none of our results."""
    if not isinstance(layer, Image) or layer.rgb or layer.ndim not in (3, 4):
        return False
    return str(bayes_metadata(layer).get("role", "image")) == "image"


def computed(array: Any) -> Any:
    """The voxels of a layer, also of a lazy one. Raises DataError where they cannot be loaded."""
    try:
        return np.asarray(array)
    except Exception as error:  # loading is up to the other plugin, and so are its errors
        raise DataError(f"The voxels of the image could not be loaded: {error}") from error


def phases_beside(layer: Image) -> CardiacPhases | None:
    """ED and ES from an ACDC ``Info.cfg`` beside the source. Raises DataError for a wrong one."""
    source = layer_source(layer)
    known = read_info_cfg(source.parent) if source is not None else None
    count = layer_voxels(layer).shape[0]
    if known is not None and max(known) > count:
        raise DataError(
            f"Info.cfg beside {layer.name} names phases {known.ed} and {known.es}, but the image "
            f"has {count}."
        )
    return known


def parse_phase_numbers(text: str, count: int) -> tuple[int, ...]:
    """Phases of "1, 8" or "3-6", from 1, in order. Raises AppError for others than 1 … count."""
    numbers: set[int] = set()
    for part in filter(None, re.split(r"[,;\s]+", re.sub(r"\s*[-–]\s*", "-", text.strip()))):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None:
            raise AppError(f"Phases are numbers such as 1,8 or 3-6, not {part!r}.")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= count:
            raise AppError(f"The cine has phases 1 to {count}; {part} is not among them.")
        numbers.update(range(first, last + 1))
    if not numbers:
        raise AppError(f"Name the phases to segment, such as 1,8; the cine has {count}.")
    return tuple(sorted(numbers))


def check_same_grid(layers: Sequence[Image]) -> None:
    """Raise AppError where the channels of one image differ in shape or lie elsewhere."""
    first = layers[0]
    for other in layers[1:]:
        shapes = [tuple(layer_voxels(layer).shape) for layer in (first, other)]
        if shapes[0] != shapes[1]:
            raise AppError(
                f"The channels must have one grid: '{first.name}' is {shapes[0]}, "
                f"'{other.name}' is {shapes[1]}."
            )
        grids = [layer_geometry(layer) for layer in (first, other)]
        if grids[0] is not None and grids[1] is not None and not grids[0].same_grid(grids[1]):
            raise AppError(
                f"The channels must have one grid: '{first.name}' and '{other.name}' lie at "
                "different places in the patient."
            )


def _stored_type(kinds: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    kind = np.result_type(*kinds)
    if kind.kind not in "buif":
        raise DataError(f"An image has one real number per voxel, not {kind}.")
    if kind.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if kind.kind == "f" else kind.newbyteorder("=")


def _check_size(size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    room = min(SCRATCH_LIMIT, free)
    if size > room:
        why = "is free for temporary files" if room == free else "is the limit"
        raise AppError(
            f"The image takes {size / 2**30:.1f} GiB, but only {room / 2**30:.1f} GiB {why}: "
            "choose fewer phases."
        )

"""Input of a segmentation from image layers of any reader: voxels, spacing and phases."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from napari.layers import Image, Layer

from ...app import AppError
from ...app.prediction.output_files import FILE_NAMES, INFO_CFG
from ...core.types import Spacing
from ...io import DataError
from ...io.dataset.phase_pairs import named_ends, phase_number
from ...io.files.disk import is_disk_full
from ...io.images.nifti import CardiacPhases, read_info_cfg
from .metadata import (
    MOST_LABELS,
    bayes_metadata,
    layer_geometry,
    layer_phase_cases,
    layer_source,
    layer_voxels,
)

SCRATCH_LIMIT = 8 * 2**30
"""Size limit of an image for the inference process, bytes."""
IS_MASK: Final = "bayes_nnunet_mask"
"""Key in the metadata of layers of other readers."""
NO_ROOM_LEFT = (
    "The disk became full while the image was written to a temporary file. Choose fewer phases, or "
    "free some disk space."
)

WRONG_PHASES = (
    "“{text}” does not name new phases of this cine. Enter phases from 1 to {count}, each once and "
    "ranges in ascending order, such as 1,8 or 3-6."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageInput:
    """The image to segment: one (Z, Y, X) or (T, Z, Y, X) array per channel, dask or NumPy.

    ``layers`` are the unique ids of their layers. ``spacing`` (z, y, x) is in mm. ``phases`` of a
    cine count from 1; None means all phases, from which the ensemble finds ED and ES. A 3D image
    has no phases. With ``sends_all``, other phases are sent, too, for a first look. ``doubt`` is
    that of a `Volume`, None if the user has dispelled it.
    """

    channels: tuple[Any, ...]
    layers: tuple[str, ...] = ()
    spacing: Spacing
    phases: tuple[int, ...] | None = None
    sends_all: bool = False
    doubt: str | None = None

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
        """The phases to write; only these are computed if the cine is loaded lazily."""
        if not self.is_cine:
            return ()
        chosen = None if self.sends_all else self.phases
        return chosen or tuple(range(1, self.shape[0] + 1))

    def write(self, path: Path, *, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Write (channels, [T,] Z, Y, X) as ``.npy``, one volume after the other.

        Raises AppError if the image is too large or the disk becomes full, and DataError if the
        image cannot be read.
        """
        times = self.sent_phases
        shape = (len(self.channels), *((len(times),) if times else ()), *self.shape[-3:])
        kind = _stored_type([channel.dtype for channel in self.channels])
        _check_size(math.prod(shape) * kind.itemsize, path.parent)
        descr = np.lib.format.dtype_to_descr(kind)
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        # One volume at a time, so that a cine needs no second copy in memory.
        volume = np.empty(shape[-3:], kind)
        try:
            with path.open("wb") as file:  # a full disk under a memory map would end the process
                np.lib.format.write_array_header_1_0(file, header)
                for channel, phase in product(self.channels, times or (None,)):
                    if should_stop():
                        return
                    volume[...] = load_voxels(channel if phase is None else channel[phase - 1])
                    file.write(volume.data)
        except OSError as error:
            if is_disk_full(error):
                raise AppError(NO_ROOM_LEFT) from error
            raise


def is_segmentable(layer: Layer) -> bool:
    """Return whether a layer is a grey-value image (3D or 4D) and not a result of this plugin."""
    if not isinstance(layer, Image) or layer.rgb or layer.ndim not in (3, 4):
        return False
    return str(bayes_metadata(layer).get("role", "image")) == "image" and not is_mask(layer)


def is_mask(layer: Image) -> bool:
    """Return whether another reader has opened labels as an image: whole numbers from 0 to 10.

    The voxels are looked at once, and only if they are in memory.
    """
    voxels = layer.data
    if (
        bayes_metadata(layer)
        or not isinstance(voxels, np.ndarray)
        or voxels.dtype.kind not in "buif"
    ):
        return False
    if IS_MASK not in layer.metadata:
        few = bool(voxels.size and voxels.min() == 0 < voxels.max() <= MOST_LABELS)
        layer.metadata[IS_MASK] = few and bool((voxels == np.round(voxels)).all())
    return bool(layer.metadata[IS_MASK])


def load_voxels(array: Any) -> Any:
    """Load the voxels of a layer, lazy or not. Raises DataError if this fails."""
    try:
        return np.asarray(array)
    except Exception as error:  # another plugin loads them and may raise anything
        raise DataError(
            "The voxels of the image cannot be loaded ({error}). Open the image again.",
            error=error,
        ) from error


def read_layer_phases(layer: Image) -> tuple[CardiacPhases | None, str]:
    """Return ED and ES of a cine and their source, or (None, "") if they are unknown.

    They come from the names of files that were joined, or from an ACDC ``Info.cfg`` next to the
    source. Raises DataError if that is damaged or names phases that the image does not have.
    """
    source, cases = layer_source(layer), layer_phase_cases(layer)
    if ends := named_ends(cases):
        return CardiacPhases(*ends), FILE_NAMES
    # The phases of joined files have the numbers of the cine that they are from.
    count = math.inf if cases else layer_voxels(layer).shape[0]
    phases = read_info_cfg(source.parent, count) if source is not None else None
    if phases is None:
        return None, ""
    if cases:
        numbers = [phase_number(case) for case in cases]
        if not {*phases} <= {*numbers}:
            return None, ""
        return CardiacPhases(*(numbers.index(phase) + 1 for phase in phases)), INFO_CFG
    return phases, INFO_CFG


def parse_phase_numbers(text: str, count: int) -> tuple[int, ...]:
    """Return the sorted phases, from 1, of a text such as "1, 8" or "3-6".

    Raises AppError if the text is empty or has anything else than phases from 1 to ``count``, or
    the same one twice.
    """
    numbers: set[int] = set()
    # A dash, as word processors write it, counts as a hyphen.
    for part in re.split(r"[,;\s]+", re.sub(r"\s*[-–]\s*", "-", text.strip(",; \t"))):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        named = range(first, last + 1)
        if not 1 <= first <= last <= count or not numbers.isdisjoint(named):
            raise AppError(WRONG_PHASES, text=part, count=count)
        numbers.update(named)
    return tuple(sorted(numbers))


def check_same_grid(layers: Sequence[Image]) -> None:
    """Raise AppError if the channels of an image differ in shape or position."""
    first = layers[0]
    for layer in layers[1:]:
        shapes = {tuple(layer_voxels(channel).shape) for channel in (first, layer)}
        ours, theirs = layer_geometry(first), layer_geometry(layer)
        if len(shapes) > 1 or (ours and theirs and not ours.same_grid(theirs)):
            raise AppError(
                "Channels {first} and {second} differ in shape or in their position in the "
                "patient. Choose channels of one scan.",
                first=first.name,
                second=layer.name,
            )


def _stored_type(kinds: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    kind = np.result_type(*kinds)
    if kind.kind not in "buif":
        raise DataError(
            "Voxels of type {type} cannot be segmented. Choose an image with one real number per "
            "voxel.",
            type=str(kind),
        )
    if kind.kind == "b":
        return np.dtype(np.uint8)
    # The network computes in single precision, so a double would only make the file larger.
    return np.dtype(np.float32) if kind.kind == "f" else kind.newbyteorder("=")


def _check_size(size: int, folder: Path) -> None:
    free = min(SCRATCH_LIMIT, shutil.disk_usage(folder).free)
    if size > free:
        raise AppError(
            "The image takes {size:.1f} GiB, but temporary files may only take {free:.1f} GiB. "
            "Choose fewer phases, or free some disk space.",
            size=size / 2**30,
            free=free / 2**30,
        )

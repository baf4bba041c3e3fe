"""Arrays of a study: label files, maps of the uncertainty, and the posterior of each phase."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.maps import MAPS
from ...core.ensemble.stored_posterior import StoredPosterior
from ...core.types import Phase, Place, VoxelBox
from .. import DataError
from ..files.atomic import replacing
from ..files.limits import DAMAGED_NPZ, ArrayHeader, read_npz
from ..images.geometry import Geometry
from ..images.nifti import VoxelArray, read_labels, read_volume

PREDICTION: Final = "prediction.nii.gz"
EDITED: Final = "edited.nii.gz"
FIRST_LOOK: Final = "first_look.nii.gz"
MAP_FILES: Final = {entry.name: f"{entry.key}.nii.gz" for entry in MAPS.values()}
NEEDED_MAPS: Final = [name for name, entry in MAPS.items() if entry.in_every_study]
"""Maps that every study has."""
IMAGE: Final = "image.nii.gz"
POSTERIOR: Final = "posterior"
STEPS_OF_MAPS: Final = 4096
"""Resolution of maps; finer noise would make their files five times as large."""

_ARRAYS: Final = ("probabilities", "members", "box", "shape")
_MOST: Final = {"probabilities": 256, "members": 2048}
"""Maximum number of classes, and of members, of a posterior."""

MISSING_POSTERIOR = "{file} is missing. Restore it from a backup."
DAMAGED_POSTERIOR = "{file} is damaged or cut short ({reason}). Restore it from a backup."
FOREIGN_POSTERIOR = "{file} does not fit the image of its study. Restore it from a backup."
OTHER_STUDY_GRID = (
    "{file} has a different grid ({grid}) from the image of its study ({expected}). Restore it "
    "from a backup."
)


def phase_name(phase: Phase) -> str:
    """Return the name of a phase in a study: "phase08", or "volume" for a 3D image."""
    return "volume" if phase is None else f"phase{phase:02d}"


def posterior_file(folder: Path, phase: Phase) -> Path:
    """Return the file with the posterior of a phase."""
    return folder / POSTERIOR / f"{phase_name(phase)}.npz"


def select_phase(values: NDArray[Any], phase: Phase) -> NDArray[Any]:
    """Return the (Z, Y, X) part of (T, Z, Y, X) values, or all values if there is no phase."""
    return values if phase is None else values[phase - 1]


def slice_checksums(labels: VoxelArray) -> dict[Place, str]:
    """Return the checksum of the (Y, X) labels of each slice, the same for uint8 and uint16."""
    phases: dict[Phase, VoxelArray] = {None: labels}
    if labels.ndim == 4:
        phases = dict(enumerate(labels, start=1))
    return {
        # Labels are uint8 after a segmentation, but may be uint16 after another program saved them.
        (phase, z): f"{crc32(plane.astype('<u2').tobytes()):08x}"
        for phase, volume in phases.items()
        for z, plane in enumerate(volume)
    }


def round_map(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return a map rounded to steps of 1/4096, as in the files of a study."""
    steps: NDArray[np.float32] = np.rint(values * STEPS_OF_MAPS).astype(np.float32)
    steps /= STEPS_OF_MAPS
    return steps


def write_posterior(file: Path, posterior: StoredPosterior, *, compressed: bool = True) -> None:
    """Write the probabilities and the members' labels for ``read_posterior``.

    Prediction and maps are not in the file. Raises OSError if writing fails.
    """
    save = np.savez_compressed if compressed else np.savez
    with replacing(file) as temporary, temporary.open("wb") as stream:
        save(
            stream,
            # Eight bits for each probability; the labels and maps of a study have files of their
            # own.
            probabilities=posterior.probabilities,
            members=posterior.members,
            box=np.array([(side.start, side.stop) for side in posterior.box], np.int32),
            shape=np.array(posterior.shape, np.int32),
        )


def read_posterior(
    file: Path,
    *,
    prediction: NDArray[np.uint8],
    maps: Mapping[str, NDArray[np.float32]],
) -> StoredPosterior:
    """Return the posterior of one (Z, Y, X) volume, whose prediction and maps are given.

    Raises DataError for a file that is missing, damaged or of another volume.
    """
    try:
        arrays = read_npz(file, _ARRAYS, partial(_check_size, file, prediction.shape))
    except FileNotFoundError as error:
        raise DataError(MISSING_POSTERIOR, file=file) from error
    except DAMAGED_NPZ as error:
        raise DataError(DAMAGED_POSTERIOR, file=file, reason=type(error).__name__) from error
    return StoredPosterior(
        prediction=prediction,
        maps=maps,
        box=_checked_box(file, arrays, prediction.shape),
        probabilities=arrays["probabilities"],
        members=arrays["members"],
    )


def read_labels_on(file: Path, geometry: Geometry) -> VoxelArray:
    """Return the labels in ``file``. Also raises DataError if they lie on another grid."""
    labels = read_labels(file, like=geometry)
    check_grid(file, labels.geometry, geometry)
    return labels.voxels


def read_map_on(file: Path, geometry: Geometry) -> NDArray[np.float32]:
    """Return the map in ``file``, float32. Also raises DataError if it lies on another grid."""
    values = read_volume(file, allow_blank=True, like=geometry)
    check_grid(file, values.geometry, geometry)
    return values.voxels.astype(np.float32, copy=False)


def check_grid(file: Path, grid: Geometry, expected: Geometry) -> None:
    """Raise DataError if a file does not lie on the grid of the study's image."""
    if not grid.same_grid(expected):
        raise DataError(OTHER_STUDY_GRID, file=file, grid=grid, expected=expected)


def foreign_values(labels: VoxelArray, structures: Mapping[str, int]) -> dict[int, int]:
    """Return label → number of voxels of labels that are neither background nor a structure."""
    # A lookup table is faster than np.isin.
    is_foreign = np.ones(int(np.iinfo(labels.dtype).max) + 1, bool)
    is_foreign[[0, *structures.values()]] = False
    values, counts = np.unique(labels[is_foreign[labels]], return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def _check_size(file: Path, volume: tuple[int, ...], name: str, header: ArrayHeader) -> None:
    """Raise DataError before an array is unpacked that is larger than the volume allows."""
    count, *sides = header.shape or (0,)
    if name in _MOST:
        inside = len(sides) == 3 and all(a <= b for a, b in zip(sides, volume, strict=True))
        fits = inside and count <= _MOST[name] and header.dtype == np.uint8
    else:
        # The largest of the others is the box, with two numbers for each of three axes.
        fits = math.prod(header.shape) <= 6 and header.dtype.kind == "i"
    if not fits:
        raise DataError(FOREIGN_POSTERIOR, file=file)


def _checked_box(file: Path, arrays: Mapping[str, VoxelArray], shape: tuple[int, ...]) -> VoxelBox:
    """Return the box. Raises DataError if the arrays do not fit it and the volume."""
    probabilities, members, sides = arrays["probabilities"], arrays["members"], arrays["box"]
    fits = (
        sides.shape == (3, 2)
        and arrays["shape"].tolist() == list(shape)
        and all(0 <= start <= stop <= n for (start, stop), n in zip(sides, shape, strict=True))
        and probabilities.shape[1:] == members.shape[1:] == tuple(sides[:, 1] - sides[:, 0])
        and probabilities.dtype == members.dtype == np.uint8
    )
    if not fits:
        raise DataError(FOREIGN_POSTERIOR, file=file)
    z, y, x = (slice(int(start), int(stop)) for start, stop in sides)
    return z, y, x

"""The arrays of a study: label files, maps of the uncertainty, and the posterior of each phase."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.stored_posterior import StoredPosterior, VoxelBox
from ...core.types import Phase
from .. import DataError
from ..files.atomic import replacing
from ..images.geometry import Geometry
from ..images.nifti import VoxelArray, read_labels, read_volume, write_labels

PREDICTION: Final = "prediction.nii.gz"
EDITED: Final = "edited.nii.gz"
ENTROPY_FILE: Final = "entropy.nii.gz"
MUTUAL_INFORMATION_FILE: Final = "mutual_information.nii.gz"
IMAGE: Final = "image.nii.gz"
POSTERIOR: Final = "posterior"
STEPS_PER_BIT: Final = 4096
"""Maps are kept in these steps: the noise below would make their files five times as large."""


def phase_name(phase: Phase) -> str:
    """Name of a phase in a study: "phase08", or "volume" for a 3D image."""
    return "volume" if phase is None else f"phase{phase:02d}"


def posterior_file(folder: Path, phase: Phase) -> Path:
    """Where the posterior of a phase is."""
    return folder / POSTERIOR / f"{phase_name(phase)}.npz"


def of_phase(values: NDArray[Any], phase: Phase) -> NDArray[Any]:
    """The (Z, Y, X) part of (T, Z, Y, X) values; all of them where there is no phase."""
    return values if phase is None else values[phase - 1]


def rounded(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """A map in bit as a study keeps it, in steps of 1/4096 bit."""
    kept: NDArray[np.float32] = np.rint(values * STEPS_PER_BIT).astype(np.float32)
    kept /= STEPS_PER_BIT
    return kept


def write_posterior(file: Path, posterior: StoredPosterior, *, compressed: bool = True) -> None:
    """Write the probabilities and the members' labels, which ``read_posterior`` takes up again.

    Prediction and maps are not in the file. Raises OSError where writing fails.
    """
    with replacing(file) as temporary, temporary.open("wb") as stream:
        dump_posterior(stream, posterior, compressed=compressed)


def dump_posterior(
    stream: IO[bytes], posterior: StoredPosterior, *, compressed: bool = True
) -> None:
    """Write what is in the file of a posterior where no file is wanted."""
    save = np.savez_compressed if compressed else np.savez
    save(
        stream,
        probabilities=posterior.probabilities,
        members=posterior.members,
        box=np.array([(side.start, side.stop) for side in posterior.box], np.int32),
        shape=np.array(posterior.shape, np.int32),
    )


def read_posterior(
    file: Path,
    *,
    prediction: NDArray[np.uint8],
    entropy: NDArray[np.float32],
    mutual_information: NDArray[np.float32],
) -> StoredPosterior:
    """The posterior of one (Z, Y, X) volume, whose prediction and maps are elsewhere.

    Raises DataError for a file that is missing, damaged or of another volume.
    """
    try:
        with file.open("rb") as stream, np.load(stream) as stored:
            arrays = {name: stored[name] for name in ("probabilities", "members", "box", "shape")}
    except FileNotFoundError as error:
        raise DataError(f"{file} is missing.") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{file} is cut short or damaged ({type(error).__name__}).") from error
    return StoredPosterior(
        prediction=prediction,
        entropy=entropy,
        mutual_information=mutual_information,
        box=_checked_box(file, arrays, prediction.shape),
        probabilities=arrays["probabilities"],
        members=arrays["members"],
    )


def read_labels_on(file: Path, geometry: Geometry) -> VoxelArray:
    """Labels of ``file``. Raises DataError where they lie on another grid, too."""
    labels = read_labels(file)
    check_grid(file, labels.geometry, geometry)
    return labels.voxels


def read_map_on(file: Path, geometry: Geometry) -> NDArray[np.float32]:
    """The map in ``file``, float32. Raises DataError where it lies on another grid, too."""
    values = read_volume(file, allow_blank=True)
    check_grid(file, values.geometry, geometry)
    return values.voxels.astype(np.float32, copy=False)


def check_grid(file: Path, found: Geometry, expected: Geometry) -> None:
    """Raise DataError where a file does not lie on the grid of the study's image."""
    if not found.same_grid(expected):
        raise DataError(
            f"{file} lies on another grid ({found}) than the image of its study ({expected})."
        )


def foreign_values(labels: VoxelArray, structures: Mapping[str, int]) -> dict[int, int]:
    """Label → number of voxels, of the labels that are neither background nor a structure."""
    is_foreign = np.ones(int(np.iinfo(labels.dtype).max) + 1, bool)
    is_foreign[[0, *structures.values()]] = False
    values, counts = np.unique(labels[is_foreign[labels]], return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def save_edited(folder: Path, labels: VoxelArray, geometry: Geometry) -> None:
    """Write the corrected labels, (Z, Y, X) or (T, Z, Y, X), whole numbers on the image's grid.

    Save them before the decisions that speak of them. Raises DataError when writing fails, and
    where the file in place is damaged or on another grid: it is left as it is, since what can be
    rescued of it would be lost.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not there any more: the corrections could not be saved.")
    file = folder / EDITED
    if file.exists():
        read_labels_on(file, geometry)
    write_labels(file, labels, geometry)


def _checked_box(file: Path, arrays: Mapping[str, VoxelArray], shape: tuple[int, ...]) -> VoxelBox:
    """The box, if all arrays fit it and the volume."""
    probabilities, members, sides = arrays["probabilities"], arrays["members"], arrays["box"]
    fits = (
        sides.shape == (3, 2)
        and tuple(arrays["shape"]) == shape
        and all(0 <= start <= stop <= n for (start, stop), n in zip(sides, shape, strict=True))
        and probabilities.shape[1:] == members.shape[1:] == tuple(sides[:, 1] - sides[:, 0])
        and probabilities.dtype == members.dtype == np.uint8
    )
    if not fits:
        raise DataError(f"{file} does not belong to this study: its arrays do not fit the image.")
    z, y, x = (slice(int(start), int(stop)) for start, stop in sides)
    return z, y, x

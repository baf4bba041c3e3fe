"""Content of a public release, and the volumes of its cases on a corrected grid.

The affines of the releases cannot be trusted. In ACDC the sform has unit scale and only ``pixdim``
is right: nnU-Net's SimpleITKIO and NibabelIO then report ``pixdim`` (the former warns for every
file), but NibabelIOWithReorient reports 1 × 1 × 1 mm. In M&Ms some directions are not orthonormal,
and SimpleITK refuses such files. The corrected affine is the same for all readers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from ...core.counts import format_count
from ...io import DataError
from ...io.dataset.raw_dataset import join_names
from ...io.files.case_names import CaseName
from ...io.images.geometry import Geometry, make_geometry
from ...io.images.nifti import OTHER_GRID, Volume, VoxelArray, read_labels, read_volume

CardiacPhase = Literal["ED", "ES"]
_SAME_SPACING = 1e-3
"""Relative difference up to which two spacings count as equal."""
OTHER_LAYOUT = (
    "{folder} does not have the layout of the {release} release (expected {expected}, found "
    "{found}). Choose the folder of the release."
)
MISSING_FILE = "{file} is missing, but {reason}. Restore the file."
SAME_FRAME = "{file} has the same phase {frame} for ED and ES of {patient}. Correct the file."
WRONG_CONTENT = (
    "{file} has {found}, but the release has {expected}. Restore the files of the release."
)


@dataclass(frozen=True, kw_only=True)
class ReleaseCase:
    """One labelled phase of a patient, before its voxels are read.

    ``frame`` counts from 1; with ``in_cine`` it must be extracted from both files. ``held_out``
    cases are not for training. ``groups``, without the phase, are those of the results.
    """

    patient: str
    phase: CardiacPhase
    frame: int
    image: Path
    label: Path
    in_cine: bool
    held_out: bool
    groups: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of the case, such as ``patient001_frame01``."""
        return str(CaseName(self.patient, self.frame))


@dataclass(frozen=True, kw_only=True)
class Release:
    """The labelled cases of a release; ``labels`` numbers the structures as in its files.

    ``facts`` has the height, weight, … of each patient, as written in the release. ``notes`` has a
    sentence for everything that was left out.
    """

    name: str
    labels: Mapping[str, int]
    licence: str
    reference: str
    cases: tuple[ReleaseCase, ...]
    facts: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...] = ()


class CaseReader:
    """Reader of the voxels of cases; reads a cine once for two consecutive phases."""

    def __init__(self, labels: Mapping[str, int]) -> None:
        self._values = set(labels.values())
        self._image: Callable[[Path], Volume] = lru_cache(1)(read_volume)
        self._labels: Callable[[Path], Volume] = lru_cache(1)(read_labels)

    def read(self, case: ReleaseCase) -> tuple[VoxelArray, VoxelArray, Geometry]:
        """Return (Z, Y, X) image and labels of a case, which may be empty, and their geometry.

        Image and label match by voxel, whatever position the label's affine has. Raises DataError
        if the label has another size or spacing, the frame is missing, or a label value is not one
        of the release.
        """
        image, labels = self._image(case.image), self._labels(case.label)
        _check_grids(image, labels)
        _check_frame(case, image)
        voxels = labels.frame(case.frame if case.in_cine else 1).voxels
        unknown = sorted(set(np.unique(voxels).tolist()) - self._values)
        if unknown:
            found, known = f"the label {unknown[0]}", ", ".join(map(str, sorted(self._values)))
            raise DataError(WRONG_CONTENT, file=case.label, found=found, expected=known)
        frame = image.frame(case.frame if case.in_cine else 1)
        return frame.voxels, voxels, honest_geometry(frame.geometry)


def honest_geometry(geometry: Geometry) -> Geometry:
    """Return a (Z, Y, X) grid with the spacing of the image, in mm, in both qform and sform.

    The position is that of the file, and its directions are made orthonormal: those of ACDC become
    the diagonal of (−x, −y, z). A file without directions stays without, so readers use ``pixdim``.
    """
    affine = None
    if geometry.letters is not None:
        affine = geometry.affine
        axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        left, _, right = np.linalg.svd(axes)  # left @ right is the closest orthonormal matrix
        affine[:3, :3] = left @ right * geometry.spacing[::-1]
    return make_geometry(geometry.shape[-3:], geometry.spacing, affine=affine)


def describe_contents(folder: Path) -> str:
    """Return the first names in a folder, or "nothing"."""
    return join_names(sorted(path.name for path in folder.iterdir())) or "nothing"


def require_file(file: Path, reason: str) -> Path:
    """Return ``file``. Raises DataError with the ``reason`` why it is needed if it is missing."""
    if not file.is_file():
        raise DataError(MISSING_FILE, file=file, reason=reason)
    return file


def note_left_out(patients: Sequence[Path], subset: str) -> tuple[str, ...]:
    """Return a note on the ``patients`` of a subset that have no labels, () without patients."""
    if not patients:
        return ()
    several = len(patients) > 1
    subject = f"{len(patients)} patient{'s' * several} of {subset} {'have' if several else 'has'}"
    names = join_names([patient.name for patient in patients])
    return (f"{subject} no labels and {'were' if several else 'was'} left out: {names}.",)


def _check_grids(image: Volume, labels: Volume) -> None:
    same_steps = np.allclose(image.spacing, labels.spacing, rtol=_SAME_SPACING, atol=0)
    if image.shape != labels.shape or not same_steps:
        raise DataError(
            OTHER_GRID,
            file=labels.source,
            grid=_grid_text(labels),
            reference=image.source.name,
            expected=_grid_text(image),
        )


def _check_frame(case: ReleaseCase, image: Volume) -> None:
    if case.frame > image.phases if case.in_cine else image.is_cine:
        found = format_count(image.phases, "phase")
        expected = f"phase {case.frame}, the {case.phase} of {case.patient}"
        raise DataError(WRONG_CONTENT, file=case.image, found=found, expected=expected)


def _grid_text(volume: Volume) -> str:
    sides = " x ".join(map(str, volume.shape[::-1]))
    return f"{sides} voxels of {' x '.join(f'{step:.4g}' for step in volume.spacing[::-1])} mm"

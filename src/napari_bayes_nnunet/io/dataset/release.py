"""What the readers of public releases find, and the volumes of one case on an honest grid.

The affine of a release is not trusted with the spacing. In ACDC the sform has unit scale while
``pixdim`` is true: nnU-Net's SimpleITKIO and NibabelIO then report ``pixdim`` (the first with a
warning a file), NibabelIOWithReorient 1 × 1 × 1 mm. In M&Ms some directions are not orthonormal:
SimpleITK refuses such a file. What is written here has one affine for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from .. import DataError
from ..files.case_names import CaseName
from ..images.geometry import Geometry, make_geometry
from ..images.nifti import Volume, VoxelArray, read_labels, read_volume
from .raw_dataset import named

CardiacPhase = Literal["ED", "ES"]
_SAME_SPACING = 1e-3
"""Relative difference up to which two spacings are one."""


@dataclass(frozen=True, kw_only=True)
class ReleaseCase:
    """One labelled phase of a patient, its voxels not yet read.

    ``frame`` counts from 1; with ``in_cine`` it is to be cut out of both files. ``held_out`` cases
    are not to be trained on. ``groups``, without the phase, are what results are listed apart by.
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
        """As in ``patient001_frame01``."""
        return str(CaseName(self.patient, self.frame))


@dataclass(frozen=True, kw_only=True)
class Release:
    """The labelled cases of a release; ``labels`` numbers the structures as its files do.

    ``facts`` is what it tells of each patient (height, weight, …), as it is written there.
    ``notes`` says, a sentence each, what was left out.
    """

    name: str
    labels: Mapping[str, int]
    licence: str
    reference: str
    cases: tuple[ReleaseCase, ...]
    facts: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...] = ()


class CaseVolumes(NamedTuple):
    """(Z, Y, X) image and labels of one case, both on ``geometry``."""

    image: VoxelArray
    labels: VoxelArray
    geometry: Geometry


class CaseReader:
    """Reads the voxels of cases; both phases of a cine, one after the other, from one reading."""

    def __init__(self, labels: Mapping[str, int]) -> None:
        self._values = set(labels.values())
        self._image: Callable[[Path], Volume] = lru_cache(1)(read_volume)
        self._labels: Callable[[Path], Volume] = lru_cache(1)(read_labels)

    def read(self, case: ReleaseCase) -> CaseVolumes:
        """The case; its labels may be empty.

        Image and label are taken voxel by voxel, wherever the label's affine says it lies. Raises
        DataError for a label of another size or spacing, a frame that is not there, and values
        that the release does not name.
        """
        image, labels = self._image(case.image), self._labels(case.label)
        _check_grids(image, labels)
        _check_frame(case, image)
        voxels = labels.frame(case.frame if case.in_cine else 1).voxels
        unknown = sorted(set(np.unique(voxels).tolist()) - self._values)
        if unknown:
            raise DataError(
                f"{case.label} holds the value {unknown[0]}; the release has only "
                f"{', '.join(map(str, sorted(self._values)))}."
            )
        frame = image.frame(case.frame if case.in_cine else 1)
        return CaseVolumes(frame.voxels, voxels, honest_geometry(frame.geometry))


def honest_geometry(geometry: Geometry) -> Geometry:
    """(Z, Y, X) grid whose affine has the spacing of ``pixdim``, in mm, as qform and as sform.

    Directions and place are those the file claims, made orthonormal: ACDC's become the diagonal
    of (−x, −y, z). A file that claims no directions gets none: readers then take ``pixdim``.
    """
    affine = None
    if geometry.letters is not None:
        affine = geometry.affine
        axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        left, _, right = np.linalg.svd(axes)  # their product is the closest orthonormal matrix
        affine[:3, :3] = left @ right * geometry.spacing[::-1]
    return make_geometry(geometry.shape[-3:], geometry.spacing, affine=affine)


def contents(folder: Path) -> str:
    """What a folder holds, in words, for a sentence "expected …, found …"."""
    return named(sorted(path.name for path in folder.iterdir())) or "nothing"


def require_file(file: Path, why: str) -> Path:
    """``file``. Raises DataError with the reason ``why`` it should be there."""
    if not file.is_file():
        raise DataError(f"{file} is missing: {why}.")
    return file


def left_out(patients: Sequence[Path], place: str) -> tuple[str, ...]:
    """The sentence that these patients of the folder ``place`` have no labels; none of nobody."""
    if not patients:
        return ()
    several = len(patients) > 1
    whose = f"{len(patients)} patient{'s' * several} of {place} {'have' if several else 'has'}"
    names = named([patient.name for patient in patients])
    return (f"{whose} no labels and {'were' if several else 'was'} left out: {names}.",)


def _check_grids(image: Volume, labels: Volume) -> None:
    same_steps = np.allclose(image.spacing, labels.spacing, rtol=_SAME_SPACING, atol=0)
    if image.shape != labels.shape or not same_steps:
        raise DataError(
            f"{labels.source} lies on another grid ({_grid(labels)}) than its image "
            f"{image.source.name} ({_grid(image)})."
        )


def _check_frame(case: ReleaseCase, image: Volume) -> None:
    if case.in_cine and case.frame > image.phases:
        raise DataError(
            f"{case.image} has {image.phases} frames, but {case.phase} of {case.patient} should be "
            f"its frame {case.frame}, counted from 1."
        )
    if image.is_cine and not case.in_cine:
        raise DataError(f"{case.image} is a cine of {image.phases} frames; expected one of them.")


def _grid(volume: Volume) -> str:
    sides = " x ".join(map(str, volume.shape[::-1]))
    return f"{sides} voxels of {' x '.join(f'{step:.4g}' for step in volume.spacing[::-1])} mm"

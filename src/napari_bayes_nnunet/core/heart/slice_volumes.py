"""Volumes slice by slice, so that after an edit only what changed is counted again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import InputError
from ..ensemble.stored_posterior import StoredPosterior
from .measurements import Structure, canonical_structure, volumes_ml

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseVolumes:
    """Volumes of the heart's structures in the slices of one phase, mL.

    ``labels``: (Z,) of each structure in the labels as they are now; ``members``: (n, Z) as each
    member sees it. In the ``reviewed`` slices, (Z,), the reader's labels stand for every member's.
    """

    labels: Mapping[Structure, Values]
    members: Mapping[Structure, Values]
    reviewed: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        labels: NDArray[np.integer],
        posterior: StoredPosterior,
        spacing: Sequence[float],
        structures: Mapping[str, int],
    ) -> PhaseVolumes:
        """From (Z, Y, X) labels of which nothing is reviewed; ``spacing`` (z, y, x) in mm.

        RV, MYO and LV are found by their names in ``structures`` (name: label).
        """
        return cls(
            labels=label_volumes(labels, spacing, structures),
            members={
                name: member_slice_volumes(posterior, spacing, label)
                for name, label in heart_structures(structures).items()
            },
            reviewed=np.zeros(len(labels), np.bool_),
        )

    def of_members(self, structure: Structure) -> Values:
        """(n, Z) mL of each member, the reader's labels where they were reviewed."""
        return np.where(self.reviewed, self.labels[structure], self.members[structure])

    def total(self, structure: Structure) -> Values | None:
        """(1 + n,) mL of the whole structure: by the labels, then by each member.

        None where the labels do not have it: nothing was found, which is no volume of 0.
        """
        if structure not in self.labels or not self.labels[structure].any():
            return None
        return np.append(self.labels[structure].sum(), self.of_members(structure).sum(axis=1))


VolumesByPhase: TypeAlias = Mapping[int | None, PhaseVolumes]
"""By phase, from 1; the one phase of a 3D image is None."""


def heart_structures(structures: Mapping[str, int]) -> dict[Structure, int]:
    """RV, MYO and LV → label, of those that ``structures`` (name: label) has; the first of equals.

    Names decide, never numbers.
    """
    found: dict[Structure, int] = {}
    for name, label in structures.items():
        structure = canonical_structure(name)
        if structure is not None:
            found.setdefault(structure, label)
    return found


def slice_volumes(labels: NDArray[np.integer], spacing: Sequence[float], label: int) -> Values:
    """(Z,) mL of one label in each slice of (Z, Y, X) ``labels``; ``spacing`` (z, y, x) in mm.

    Raises ValueError for other shapes and for a spacing that is not above 0.
    """
    volumes_ml(labels[:0], spacing, {})  # checks both
    volumes: Values = np.count_nonzero(labels == label, axis=(1, 2)) * _voxel_ml(spacing)
    return volumes


def label_volumes(
    labels: NDArray[np.integer], spacing: Sequence[float], structures: Mapping[str, int]
) -> dict[Structure, Values]:
    """(Z,) mL of each of the heart's structures in (Z, Y, X) ``labels``."""
    return {
        name: slice_volumes(labels, spacing, label)
        for name, label in heart_structures(structures).items()
    }


def member_slice_volumes(
    posterior: StoredPosterior, spacing: Sequence[float], label: int
) -> Values:
    """(n, Z) mL of one structure (label from 1) in each slice, as each member sees it.

    Raises ValueError for background and for a spacing that is not above 0.
    """
    if label < 1:
        raise InputError("Label {label} is background; structures start at 1.", label=label)
    volumes = np.zeros((posterior.count, posterior.shape[0]))
    counts = np.count_nonzero(posterior.members == label, axis=(2, 3))
    volumes[:, posterior.box[0]] = counts * _voxel_ml(spacing)
    return volumes


def base_is_first(labels: NDArray[np.integer]) -> bool | None:
    """Whether slice 0 of (…, Z, Y, X) ``labels`` is nearer to the heart's base than the last is.

    A heart ends wide at the base and tapers to the apex. None where nothing is labelled, or both
    ends are as wide.
    """
    voxels = np.count_nonzero(labels, axis=(-2, -1)).reshape(-1, labels.shape[-3]).sum(axis=0)
    (found,) = np.nonzero(voxels)
    if not len(found) or voxels[found[0]] == voxels[found[-1]]:
        return None
    return bool(voxels[found[0]] > voxels[found[-1]])


def standard_deviation(values: Values) -> Values:
    """(n, …) → (…): sample SD (n-1) over the members, NaN values left out, NaN below two."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(known, (values - mean) ** 2, 0).sum(axis=0)
    deviation: Values = np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
    return deviation


def _voxel_ml(spacing: Sequence[float]) -> float:
    return volumes_ml(np.ones((1, 1, 1), np.uint8), spacing, {"voxel": 1})["voxel"]

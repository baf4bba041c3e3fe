"""Volumes of single slices, so that an edit only requires counting the slices it changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..ensemble.stored_posterior import StoredPosterior
from .measurements import Structure, canonical_structure, voxel_ml

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseVolumes:
    """Volumes of the heart's structures in the slices of one phase, mL.

    ``labels`` are the (Z,) volumes of each structure in the current labels, ``members`` the (n, Z)
    volumes of each member. In the ``reviewed`` slices, (Z,), the reader's labels replace every
    member's.
    """

    labels: Mapping[Structure, Values]
    members: Mapping[Structure, Values]
    reviewed: NDArray[np.bool_]

    @classmethod
    def from_labels(
        cls,
        labels: NDArray[np.integer],
        posterior: StoredPosterior,
        spacing: Sequence[float],
        structures: Mapping[str, int],
    ) -> PhaseVolumes:
        """Return the volumes of (Z, Y, X) labels without reviewed slices.

        ``spacing`` (z, y, x) in mm. RV, MYO and LV are identified by their names in ``structures``
        (name: label).
        """
        return cls(
            labels=label_volumes(labels, spacing, structures),
            members={
                name: member_slice_volumes(posterior, spacing, label)
                for name, label in heart_structures(structures).items()
            },
            reviewed=np.zeros(len(labels), np.bool_),
        )

    @classmethod
    def from_totals(
        cls,
        volumes: Mapping[str, float],
        members: Mapping[str, Sequence[float]] | None = None,
    ) -> PhaseVolumes:
        """Return the ``volumes`` of whole structures, mL, by name, as those of a single slice.

        ``members`` has the volume of each member.
        """
        members = members or {}
        labels: dict[Structure, Values] = {}
        of_members: dict[Structure, Values] = {}
        for name, volume in volumes.items():
            structure = canonical_structure(name)
            if structure is not None and structure not in labels:
                labels[structure] = np.array([volume])
                values = np.array(members.get(name, ()), np.float64)
                of_members[structure] = values.reshape(-1, 1)
        return cls(labels=labels, members=of_members, reviewed=np.zeros(1, np.bool_))

    def of_members(self, structure: Structure) -> Values:
        """Return (n, Z) mL of each member, with the reader's labels in reviewed slices."""
        return np.where(self.reviewed, self.labels[structure], self.members[structure])

    def total(self, structure: Structure) -> Values | None:
        """Return (1 + n,) mL of the whole structure: of the labels, then of each member.

        None if the labels lack the structure, because a missing structure is not a volume of 0.
        """
        if structure not in self.labels or not self.labels[structure].any():
            return None
        return np.append(self.labels[structure].sum(), self.of_members(structure).sum(axis=1))


_LEAST_AREA: Final = 0.1
VolumesByPhase: TypeAlias = Mapping[int | None, PhaseVolumes]
"""Volumes by phase, from 1; the only phase of a 3D image is None."""


def heart_structures(structures: Mapping[str, int]) -> dict[Structure, int]:
    """Return the labels of RV, MYO and LV, as far as ``structures`` (name: label) has them.

    Names decide, never numbers. The first of equal structures is taken.
    """
    labels: dict[Structure, int] = {}
    for name, label in structures.items():
        structure = canonical_structure(name)
        if structure is not None:
            labels.setdefault(structure, label)
    return labels


def slice_volumes(labels: NDArray[np.integer], spacing: Sequence[float], label: int) -> Values:
    """Return (Z,) mL of a label in each slice of (Z, Y, X) ``labels``; ``spacing`` in mm."""
    return np.asarray(np.count_nonzero(labels == label, axis=(1, 2)) * voxel_ml(spacing))


def label_volumes(
    labels: NDArray[np.integer], spacing: Sequence[float], structures: Mapping[str, int]
) -> dict[Structure, Values]:
    """Return (Z,) mL of each of the heart's structures in (Z, Y, X) ``labels``."""
    return {
        name: slice_volumes(labels, spacing, label)
        for name, label in heart_structures(structures).items()
    }


def member_slice_volumes(
    posterior: StoredPosterior, spacing: Sequence[float], label: int
) -> Values:
    """Return (n, Z) mL of a structure (label from 1) in each slice, for each member."""
    volumes = np.zeros((posterior.count, posterior.shape[0]))
    counts = np.count_nonzero(posterior.members == label, axis=(2, 3))
    # Outside the box, all members have background.
    volumes[:, posterior.box[0]] = counts * voxel_ml(spacing)
    return volumes


def base_is_first(labels: NDArray[np.integer]) -> bool | None:
    """Return whether slice 0 of (…, Z, Y, X) ``labels`` is nearer to the base than the last slice.

    A heart tapers to the apex, so its centre is nearer to the base than the middle of its slices.
    Slices with less than a tenth of the largest area do not count, as they may be errors. None if
    nothing is labelled or the centre is in the middle.
    """
    areas = np.count_nonzero(labels, axis=(-2, -1)).reshape(-1, labels.shape[-3]).sum(axis=0)
    heart = np.flatnonzero(areas > _LEAST_AREA * areas.max())
    if not len(heart):
        return None
    distance = np.average(heart, weights=areas[heart]) - (heart[0] + heart[-1]) / 2
    return None if abs(distance) < 1e-9 else bool(distance < 0)


def is_basal(labels: NDArray[np.integer], z: int, *, base_first: bool | None) -> bool:
    """Return whether a slice is in the basal half of the heart or beyond; False if unknown.

    ``labels`` (Z, Y, X); ``base_first`` as from `base_is_first`.
    """
    heart = np.flatnonzero(labels.any(axis=(1, 2)))
    if base_first is None or not len(heart):
        return False
    middle = (heart[0] + heart[-1]) / 2
    return bool(z < middle if base_first else z > middle)


def standard_deviation(values: Values) -> Values:
    """Return the sample SD (…) over (n, …) members, NaN left out; NaN below two values.

    It is exactly 0 if all members agree, as in a reviewed study.
    """
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    mean = np.where(finite, values, 0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(finite, (values - mean) ** 2, 0).sum(axis=0)
    lowest = np.where(finite, values, np.inf).min(axis=0, initial=np.inf)
    highest = np.where(finite, values, -np.inf).max(axis=0, initial=-np.inf)
    squares = np.where(highest > lowest, squares, 0)  # the mean of equal values may be rounded
    deviation: Values = np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
    return deviation

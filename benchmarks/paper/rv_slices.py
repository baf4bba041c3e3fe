"""The right ventricle slice by slice: where it fails, and whether the entropy says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.core.ensemble.posterior import entropy as entropy_of

UNCERTAIN = 0.5
"""Bit. Above it a voxel counts as marked uncertain; the highest entropy of four classes is 2."""
FAILED = 0.5
"""Below this Dice of the RV a slice counts as failed."""


@dataclass(frozen=True, kw_only=True)
class RVSlice:
    """One slice with an RV in the reference. Areas in mm².

    ``place`` is 0 at the base and 1 at the apex, among the slices with an LV. ``wrong_mm2`` is the
    area where RV and reference differ, ``marked_mm2`` what of it is uncertain. ``uncertain_mm2`` is
    the area where it is uncertain whether the RV is there, ``all_uncertain_mm2`` that where
    anything is.
    """

    z: int
    place: float
    reference_mm2: float
    predicted_mm2: float
    dice: float
    wrong_mm2: float
    marked_mm2: float
    uncertain_mm2: float
    all_uncertain_mm2: float

    @property
    def is_failed(self) -> bool:
        """Whether less than half of the RV was found."""
        return self.dice < FAILED

    @property
    def is_silent(self) -> bool:
        """A failure that escapes: less than half of what is wrong is marked."""
        return self.is_failed and self.marked_mm2 < 0.5 * self.wrong_mm2


def rv_slices(
    labels: NDArray[np.integer],
    entropy: NDArray[np.floating],
    rv_probability: NDArray[np.floating],
    reference: NDArray[np.integer],
    spacing: Sequence[float],
    *,
    structures: Mapping[str, int],
) -> list[RVSlice]:
    """Every slice of (Z, Y, X) labels whose reference has an RV; entropy in bit, spacing in mm.

    Whether the RV is there is as uncertain as a coin that shows it with ``rv_probability``.
    """
    rv, lv = structures["RV"], structures["LV"]
    pixel = float(spacing[1] * spacing[2])
    places = _places(np.count_nonzero(reference == lv, axis=(1, 2)))
    of_rv = entropy_of(np.stack([rv_probability, 1 - rv_probability]))
    found = []
    for z in np.flatnonzero((reference == rv).any(axis=(1, 2))):
        predicted, true = labels[z] == rv, reference[z] == rv
        wrong, uncertain = predicted != true, entropy[z] > UNCERTAIN
        sizes = np.count_nonzero(predicted) + np.count_nonzero(true)
        found.append(
            RVSlice(
                z=int(z),
                place=float(places[z]),
                reference_mm2=np.count_nonzero(true) * pixel,
                predicted_mm2=np.count_nonzero(predicted) * pixel,
                dice=2 * np.count_nonzero(predicted & true) / sizes,
                wrong_mm2=np.count_nonzero(wrong) * pixel,
                marked_mm2=np.count_nonzero(wrong & uncertain) * pixel,
                uncertain_mm2=np.count_nonzero(of_rv[z] > UNCERTAIN) * pixel,
                all_uncertain_mm2=np.count_nonzero(uncertain) * pixel,
            )
        )
    return found


def _places(lv_areas: NDArray[np.integer]) -> NDArray[np.float64]:
    """Where each slice lies from base (0) to apex (1): the end with the smaller LV is the apex."""
    there = np.flatnonzero(lv_areas)
    first, last = (there[0], there[-1]) if len(there) else (0, len(lv_areas) - 1)
    places = (np.arange(len(lv_areas)) - first) / max(1, last - first)
    half = max(1, len(there) // 2)
    upside_down = lv_areas[there[:half]].sum() < lv_areas[there[-half:]].sum()
    return np.clip(1 - places if upside_down else places, 0, 1)

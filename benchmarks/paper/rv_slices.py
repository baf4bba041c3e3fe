"""Failures of the right ventricle per slice, and whether the entropy marks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.core.ensemble.posterior import entropy as entropy_of

UNCERTAIN = 0.5
"""Entropy in bit above which a voxel counts as uncertain; four classes have at most 2 bit."""
FAILED = 0.5
"""RV Dice below which a slice counts as failed."""


@dataclass(frozen=True, kw_only=True)
class RVSlice:
    """One slice with an RV in the reference. Areas in mm².

    ``place`` is 0 at the base and 1 at the apex, among the slices with an LV. ``wrong_mm2`` is the
    area where RV and reference differ, ``marked_mm2`` the uncertain part of it. ``uncertain_mm2``
    is the area where "RV or not" is uncertain, ``all_uncertain_mm2`` that where any label is.
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
        """Whether the Dice of the RV is below ``FAILED``."""
        return self.dice < FAILED

    @property
    def is_silent(self) -> bool:
        """Whether the slice failed with less than half of the wrong area marked."""
        return self.is_failed and self.marked_mm2 < 0.5 * self.wrong_mm2


def rv_slices(
    labels: NDArray[np.integer],
    entropy: NDArray[np.floating],
    rv_probability: NDArray[np.floating],
    reference: NDArray[np.integer],
    spacing: Sequence[float],
    *,
    rv: int,
    lv: int,
) -> list[RVSlice]:
    """Return the slices of (Z, Y, X) labels whose reference has an RV.

    ``rv`` and ``lv`` are the numbers of the ventricles, ``entropy`` is in bit, ``spacing`` in mm.
    The uncertainty of "RV or not" is the binary entropy of ``rv_probability``.
    """
    pixel = float(spacing[1] * spacing[2])
    places = _axial_places(np.count_nonzero(reference == lv, axis=(1, 2)))
    rv_entropy = entropy_of(np.stack([rv_probability, 1 - rv_probability]))
    slices = []
    for z in np.flatnonzero((reference == rv).any(axis=(1, 2))):
        predicted, true = labels[z] == rv, reference[z] == rv
        wrong, uncertain = predicted != true, entropy[z] > UNCERTAIN
        sizes = np.count_nonzero(predicted) + np.count_nonzero(true)
        slices.append(
            RVSlice(
                z=int(z),
                place=float(places[z]),
                reference_mm2=np.count_nonzero(true) * pixel,
                predicted_mm2=np.count_nonzero(predicted) * pixel,
                dice=2 * np.count_nonzero(predicted & true) / sizes,
                wrong_mm2=np.count_nonzero(wrong) * pixel,
                marked_mm2=np.count_nonzero(wrong & uncertain) * pixel,
                uncertain_mm2=np.count_nonzero(rv_entropy[z] > UNCERTAIN) * pixel,
                all_uncertain_mm2=np.count_nonzero(uncertain) * pixel,
            )
        )
    return slices


def _axial_places(lv_areas: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return each slice's place from base (0) to apex (1), which is the end with the smaller LV."""
    with_lv = np.flatnonzero(lv_areas)
    first, last = (with_lv[0], with_lv[-1]) if len(with_lv) else (0, len(lv_areas) - 1)
    places = (np.arange(len(lv_areas)) - first) / max(1, last - first)
    half = max(1, len(with_lv) // 2)
    is_apex_first = lv_areas[with_lv[:half]].sum() < lv_areas[with_lv[-half:]].sum()
    return np.clip(1 - places if is_apex_first else places, 0, 1)

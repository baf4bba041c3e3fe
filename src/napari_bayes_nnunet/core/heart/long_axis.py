"""Long-axis cines of an examination, and the lines in which their planes and other slices cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..types import Phase

LongAxisKind: TypeAlias = Literal["4CH", "3CH", "2CH", "RVOT", "RV 2CH"]
"""Four, three and two chambers, the outflow tract of the RV, the RV with its atrium."""
LONG_AXIS_KINDS: Final[tuple[LongAxisKind, ...]] = get_args(LongAxisKind)
Affine: TypeAlias = NDArray[np.float64]
"""(4, 4) from voxel (x, y, z) to the patient (R, A, S), mm, as `Geometry.affine`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LongAxis:
    """Cine of one plane along the long axis, from the same examination as the short axis.

    ``voxels`` are (T, Y, X) intensities over one heartbeat from the R wave on, as in the short
    axis; T may be another number of phases. ``affine`` gives the place of the plane in the
    patient: pixel (y, x) has its centre at ``affine @ (x, y, 0, 1)``, and its third column is the
    direction across the plane. It is in the coordinates of the short axis's `Geometry.affine`.
    """

    kind: LongAxisKind
    voxels: NDArray[Any]
    affine: Affine

    @property
    def spacing(self) -> tuple[float, float]:
        """Distance between pixels along (y, x), mm."""
        x, y = np.linalg.norm(self.affine[:3, :2], axis=0)
        return float(y), float(x)

    def to_patient(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the places (…, 3) in the patient (R, A, S), mm, of pixels (…, 2), (y, x)."""
        yx = np.asarray(points, np.float64)
        return yx[..., ::-1] @ self.affine[:3, :2].T + self.affine[:3, 3]

    def from_patient(self, places: ArrayLike) -> NDArray[np.float64]:
        """Return the pixels (…, 2), (y, x), nearest to places (…, 3) in the patient, mm."""
        inverse = np.linalg.inv(self.affine)[:3]
        voxels = np.asarray(places, np.float64) @ inverse[:, :3].T + inverse[:, 3]
        # Without the distance from the plane.
        return np.asarray(voxels[..., 1::-1])

    def index_at(self, phase: Phase, phases: int) -> int:
        """Return the index in ``voxels`` at a phase, from 1, of a short axis with ``phases``.

        Both have begun at the R wave, so the same share of the heartbeat is shown. The first image
        stands for a short axis without phases.
        """
        count = len(self.voxels)
        # The end of the heartbeat is the R wave of the next one.
        return 0 if phase is None else round((phase - 1) / phases * count) % count


def slice_numbers(image: Affine, stack: Affine, *, z: float = 0) -> NDArray[np.float64]:
    """Return coefficients (3,) for the slices of a ``stack`` that pixels of another image lie in.

    ``coefficients @ (y, x, 1)`` is the number of the slice, from 0 and with fractions, at the pixel
    (y, x) in slice ``z`` of the ``image``. Both affines are those of `LongAxis`.
    """
    x, y, across, origin = (np.linalg.inv(stack) @ image)[2]
    return np.array([y, x, origin + z * across])


def cutting_line(
    coefficients: NDArray[np.float64], number: float, shape: tuple[int, int]
) -> NDArray[np.float64] | None:
    """Return the ends (2, 2), (y, x), of the line in which a slice cuts an image of (Y, X) pixels.

    ``coefficients`` are those of `slice_numbers`, ``number`` is that of the slice. None if the
    slice does not cut the image, or is parallel to it.
    """
    direction, level = coefficients[:2], number - coefficients[2]
    length = float(direction @ direction)
    if length < 1e-12:
        return None
    foot, along = direction * level / length, np.array([-direction[1], direction[0]])
    first, last = -np.inf, np.inf
    for start, step, size in zip(foot, along / length**0.5, shape, strict=True):
        if abs(step) > 1e-9:
            # Pixels reach half a pixel beyond their centres.
            ends = sorted(((-0.5 - start) / step, (size - 0.5 - start) / step))
            first, last = max(first, ends[0]), min(last, ends[1])
        elif not -0.5 <= start <= size - 0.5:
            return None
    if first >= last:
        return None
    return np.array([foot + share * along / length**0.5 for share in (first, last)])

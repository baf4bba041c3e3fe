"""Hinges of the valves on a long axis, for the reader to drag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.heart.long_axis import LongAxis, LongAxisKind
from ...core.heart.measurements import Structure
from ...core.heart.valve_plane import Hinges, HingesKey, Position, Valve
from ...core.types import Phase
from ...io.study.arrays import select_phase
from .session import ReviewSession

VALVES_ON: Final[Mapping[LongAxisKind, tuple[Valve, ...]]] = {
    "4CH": ("mitral", "tricuspid"), "3CH": ("mitral",), "2CH": ("mitral",), "RVOT": (),
    "RV 2CH": ("tricuspid",),
}  # fmt: skip
"""Valves that a long axis shows."""
_CAVITY: Final[Mapping[Valve, Structure]] = {"mitral": "LV", "tricuspid": "RV"}


@dataclass(frozen=True, kw_only=True, eq=False)
class ValvePoints:
    """Points (2, 2), (y, x), of a valve in pixels of a long axis; ``key`` says which and when.

    ``is_marked`` says that the reader has marked them in this phase. Others are carried from ED and
    ES, or count for nothing: they lie where the long axis cuts the basal end of the cavity.
    """

    key: HingesKey
    pixels: NDArray[np.float64]
    is_marked: bool


def points_on(session: ReviewSession, phase: Phase, axis: LongAxis) -> list[ValvePoints]:
    """Return the points of the valves on a long axis in a segmented phase."""
    found = []
    for valve in VALVES_ON[axis.kind] if phase in session.phases else ():
        key = phase, valve, axis.kind
        hinges = session.hinges_in(phase, valve).get(axis.kind)
        places = _at_base(session, phase, valve, axis)
        if hinges is not None:
            places = np.array([hinges.first, hinges.second])
        if places is not None:
            pixels, is_marked = axis.from_patient(places), key in session.state.hinges
            found.append(ValvePoints(key=key, pixels=pixels, is_marked=is_marked))
    return found


def hinges_of(axis: LongAxis, pixels: NDArray[np.float64]) -> Hinges:
    """Return the hinges at (2, 2) pixels (y, x) of a long axis."""
    across = axis.affine[:3, 2] / np.linalg.norm(axis.affine[:3, 2])
    first, second = axis.to_patient(pixels)
    return Hinges(first=_position(first), second=_position(second), normal=_position(across))


def _position(values: NDArray[np.float64]) -> Position:
    right, anterior, superior = values.tolist()
    return right, anterior, superior


def _at_base(
    session: ReviewSession, phase: Phase, valve: Valve, axis: LongAxis
) -> NDArray[np.float64] | None:
    """Return the (2, 3) ends, mm, of the cut through the most basal slice of the cavity it cuts."""
    label = session.heart_labels.get(_CAVITY[valve])
    drawn = select_phase(session.labels, phase) == label
    slices = np.flatnonzero(drawn.any(axis=(1, 2))) if label is not None else ()
    affine, across = session.study.info.geometry.affine_in_mm, axis.affine[:3, 2]
    across = across / np.linalg.norm(across)
    for z in slices[::-1] if session.base_is_first is False else slices:
        places = np.argwhere(drawn[z])[:, ::-1] @ affine[:3, :2].T + affine[:3, [2, 3]] @ (z, 1)
        distances = (places - axis.affine[:3, 3]) @ across
        # Voxels that the long axis cuts or nearly cuts, moved onto its plane.
        near = (places - distances[:, None] * across)[np.abs(distances) < session.spacing[1]]
        if len(near) > 1:
            along = near @ np.cross(across, affine[:3, 2])
            ends: NDArray[np.float64] = near[[along.argmin(), along.argmax()]]
            return ends
    return None

"""Made hinges of valves in the study of a made cine."""

import numpy as np

from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.heart.long_axis import LongAxis, LongAxisKind
from napari_bayes_nnunet.core.heart.valve_plane import Hinges, Valve
from napari_bayes_nnunet.core.types import Phase


def hinges_at(session: ReviewSession, z: float, *, x: tuple[float, float] = (10, 42)) -> Hinges:
    """Return hinges at the height of slice ``z``, from 0, on the long axis that is its row 18."""
    affine = session.study.info.geometry.affine_in_mm
    ends = [affine @ (column, 18, z, 1) for column in x]
    first, second, normal = (
        (float(place[0]), float(place[1]), float(place[2])) for place in (*ends, affine[:, 1] / 1.5)
    )
    return Hinges(first=first, second=second, normal=normal)


def mark(session: ReviewSession, phase: Phase, z: float, valve: Valve = "mitral") -> None:
    """Mark a valve at the height of slice ``z`` on the four-chamber plane."""
    session.move_hinges((phase, valve, "4CH"), hinges_at(session, z))


def long_axis(session: ReviewSession, kind: LongAxisKind = "4CH") -> LongAxis:
    """Return a long axis through row 18 of a made cine: its (y, x) are 1 mm along (z, x)."""
    stack = session.study.info.geometry.affine_in_mm
    affine = np.eye(4)
    for column, axis, step in ((0, 0, 1.25), (1, 2, 8.0), (2, 1, 1.5)):
        affine[:3, column] = stack[:3, axis] / step
    affine[:3, 3] = (stack @ (0, 18, 0, 1))[:3] - 10 * affine[:3, 1]
    voxels = np.random.default_rng(3).integers(0, 400, (4, 50, 60)).astype(np.int16)
    return LongAxis(kind=kind, voxels=voxels, affine=affine)

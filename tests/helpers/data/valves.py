"""Made hinges of valves in the study of a made cine."""

from napari_bayes_nnunet.app.review.session import ReviewSession
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

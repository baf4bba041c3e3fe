"""Views of the series of one examination: the short axis, the long axes, and what is set aside.

Geometry decides first. The normal of the short axis is the axis of the heart; a long axis is a
plane along it. Angles about the axis are 0° to the front and above, and positive to the patient's
left. Planes through the left ventricle share its axis, which is found as the line near which most
planes cross. The description only counts like 20° in favour of a view.

``PLANES`` are those of one healthy heart: its 3CH was described as 4CH, its RV 2CH as 2CH.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.heart.long_axis import LongAxisKind
from .series import Stack
from .slices import TO_APEX, Slice, slice_normal

SHORT_AXIS_VIEW: Final = "Short axis"
PLANES: Final[dict[LongAxisKind, tuple[float, float]]] = {
    "4CH": (82, 0),
    "3CH": (-39, 0),
    "2CH": (24, 0),
    "RVOT": (-3, -27),
    "RV 2CH": (22, -43),
}
"""Angle about the axis of the heart in degrees, and mm to the left of the axis of the LV."""
_WORDS: Final[dict[LongAxisKind, re.Pattern[str]]] = {
    "4CH": re.compile(r"4.?(ch|kammer|cav)|four|hla", re.IGNORECASE),
    "3CH": re.compile(r"3.?(ch|kammer|cav)|three|lvot", re.IGNORECASE),
    "2CH": re.compile(r"2.?(ch|kammer|cav)|two|vla", re.IGNORECASE),
    "RVOT": re.compile(r"rvot", re.IGNORECASE),
    "RV 2CH": re.compile(r"rv.?(2|two|vla|lax)", re.IGNORECASE),
}
_DESCRIBED: Final = 20.0
"""Degrees that a description counts for."""
_DEGREES_PER_MM: Final = 1.5
_FURTHEST: Final = 60.0
"""Largest difference from a view, degrees."""
ALONG: Final = 0.5
"""Largest cosine between the axis of the heart and the normal of a long axis; .04 to .35 seen."""
_ACROSS: Final = 0.9
"""Smallest cosine of planes that are like those of the short axis."""
_SAME_AXIS_MM: Final = 7.0
"""Distance up to which a plane contains the axis of the LV; 3 mm seen."""
_CROSSING: Final = 0.4
"""Smallest sine of the angle between planes whose crossing is well defined."""
OTHER_STUDY: Final = "it belongs to another study"
OTHER_FRAME: Final = "it lies in another frame of reference"
SINGLE_PHASE: Final = "it has only one phase"
ANOTHER_SHORT_AXIS: Final = "it also lies across the heart"
OBLIQUE: Final = "it lies neither along nor across the heart"
BESIDE: Final = "it shows none of these views"
NEVER_LONG_AXES: Final = (OTHER_STUDY, OTHER_FRAME, ANOTHER_SHORT_AXIS)
"""Reasons against which a reader cannot choose a series as a long axis."""
NOT_CHOSEN: Final = "it was not chosen"
SAME_VIEW: Final = "it shows the same view as {series}"


@dataclass(frozen=True, kw_only=True)
class SeriesView:
    """What a ``stack`` shows: the short axis, or a long axis in its slice ``z``.

    ``view`` is "" for a stack that is set aside; ``reason`` is then a clause that says why.
    """

    stack: Stack
    view: str = ""
    z: int = 0
    reason: str = ""


def change_view(
    views: Sequence[SeriesView], kind: LongAxisKind, row: int | None
) -> list[SeriesView]:
    """Return the views with another stack, that in a ``row``, as a long axis; None for no stack.

    In a stack of several slices, the one in the middle is taken.
    """
    changed = [replace(v, view="", reason=NOT_CHOSEN) if v.view == kind else v for v in views]
    if row is not None:
        stack = views[row].stack
        changed[row] = SeriesView(stack=stack, view=kind, z=len(stack.slices) // 2)
    return changed


def classify_series(stacks: Sequence[Stack], short_axis: Stack) -> list[SeriesView]:
    """Return the view of each stack of an examination with this short axis, in their order.

    Each long axis is that of one stack only: the one that fits best, or the last of those alike.
    """
    heart = _Heart(short_axis)
    reasons = {id(stack): _reason_against(stack, short_axis, heart) for stack in stacks}
    planes = [stack for stack in stacks if not reasons[id(stack)]]
    heart.find_axis(planes)
    # Whole degrees, so that of repeated series the last one is taken.
    fits = sorted(
        map(heart.fit, planes), key=lambda fit: (round(fit[0]), -fit[3].series_numbers[0])
    )
    taken: dict[LongAxisKind, Stack] = {}
    views = {id(short_axis): SeriesView(stack=short_axis, view=SHORT_AXIS_VIEW)}
    for difference, kind, z, stack in fits:
        if difference > _FURTHEST:
            reasons[id(stack)] = BESIDE
        elif kind in taken:
            reasons[id(stack)] = SAME_VIEW.format(series=taken[kind].series_name)
        else:
            taken[kind] = stack
            views[id(stack)] = SeriesView(stack=stack, view=kind, z=z)
    return [
        views.get(id(stack)) or SeriesView(stack=stack, reason=reasons[id(stack)])
        for stack in stacks
    ]


def _reason_against(stack: Stack, short_axis: Stack, heart: _Heart) -> str:
    """Return a clause that says why a stack is no long axis of an examination, or ""."""
    first, other = short_axis.first, stack.first
    along = abs(float(heart.to_apex @ slice_normal(other)))
    frames = [{i.frame_of_reference for s in of.slices for i in s} for of in (stack, short_axis)]
    # Some anonymisers give every image its own frame of reference.
    other_frame = len(frames[0]) == len(frames[1]) == 1 and frames[0] != frames[1]
    reasons = {
        OTHER_STUDY: (other.patient, other.study) != (first.patient, first.study),
        stack.contrast_because: bool(stack.contrast_because),
        SINGLE_PHASE: stack.phases < 2,
        OTHER_FRAME: other_frame,
        ANOTHER_SHORT_AXIS: along > _ACROSS,
        OBLIQUE: along > ALONG,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


class _Heart:
    """Directions of a heart, all of length 1 in DICOM's coordinates, and the axis of its LV.

    ``axis`` are mm to the left and up from the middle of the short axis.
    """

    def __init__(self, short_axis: Stack) -> None:
        normal = slice_normal(short_axis.first)
        self.to_apex = normal if normal @ TO_APEX > 0 else -normal
        centres = [_centre(of_slice) for of_slice in short_axis.slices]
        self._middle: NDArray[np.float64] = np.mean(centres, axis=0)
        self._up = _unit(_across(np.array([0.0, -1.0, 1.0]), self.to_apex))
        left = _across(np.array([1.0, 0.0, 0.0]), self.to_apex)
        self._left = _unit(_across(left, self._up))
        self.axis = np.zeros(2)

    def find_axis(self, planes: Sequence[Stack]) -> None:
        """Find the axis of the LV: where most planes cross, the nearest to the middle."""
        # A line is what a plane leaves in the plane across the axis of the heart.
        lines = [self._line(of_slice) for stack in planes for of_slice in stack.slices]
        best = 0, np.inf  # planes, and distance to the middle
        for (first, start), (second, end) in combinations(lines, 2):
            crossing = np.array([first, second])
            if abs(np.linalg.det(crossing)) < _CROSSING:
                continue
            point = np.linalg.solve(crossing, [start, end])
            near = sum(abs(float(normal @ point) - at) < _SAME_AXIS_MM for normal, at in lines)
            distance = float(np.linalg.norm(point))
            if (-near, distance) < (-best[0], best[1]):
                best, self.axis = (near, distance), point

    def fit(self, stack: Stack) -> tuple[float, LongAxisKind, int, Stack]:
        """Return the view that is most alike, its difference in degrees, and the slice for it."""
        described = [kind for kind, words in _WORDS.items() if words.search(stack.description)]
        fits: list[tuple[float, LongAxisKind, int, Stack]] = []
        for z, of_slice in enumerate(stack.slices):
            normal, at = self._line(of_slice)
            # A plane has no front and back, so angles repeat after 180°.
            angle = np.degrees(np.arctan2(-normal[1], normal[0]))
            beside = at - float(normal @ self.axis)
            for kind, (usual, usual_beside) in PLANES.items():
                turned = abs((angle - usual + 90) % 180 - 90)
                difference = turned + _DEGREES_PER_MM * abs(beside - usual_beside)
                # Of words for two views the last counts, as "RV 2CH" also names a 2CH.
                difference -= _DESCRIBED * (described[-1:] == [kind])
                fits.append((float(difference), kind, z, stack))
        return min(fits, key=lambda fit: fit[0])

    def _line(self, of_slice: Slice) -> tuple[NDArray[np.float64], float]:
        """Return the normal of a plane in (left, up), to the left, and its distance along it, mm.

        Both are those at the middle of the short axis.
        """
        across = slice_normal(of_slice[0])
        seen = np.array([across @ self._left, across @ self._up])
        length = float(np.linalg.norm(seen)) * (1 if seen[0] >= 0 else -1)
        return seen / length, float((_centre(of_slice) - self._middle) @ across) / length


def _centre(of_slice: Slice) -> NDArray[np.float64]:
    """Return the centre of a slice in the patient, mm."""
    image = of_slice[0]
    sides = np.array(image.orientation).reshape(2, 3)
    steps = np.array(image.pixel_spacing[::-1]) * (np.array(image.shape[::-1]) - 1) / 2
    return np.asarray(np.array(image.position) + steps @ sides)


def _across(direction: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part of a direction that is perpendicular to an axis."""
    return direction - axis * float(axis @ direction)


def _unit(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    return direction / float(np.linalg.norm(direction))

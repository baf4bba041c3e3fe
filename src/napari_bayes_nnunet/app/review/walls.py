"""Thickness of the wall in a study under review, segment by segment."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import astuple, dataclass, field
from functools import partial
from typing import Final

from ...core.counts import format_count
from ...core.heart.function import Measured
from ...core.heart.structures import HEART_STRUCTURES
from ...core.heart.wall import SEGMENTS, SegmentWall, SliceWall, wall_segments
from ...core.steps import drain
from ...core.types import Phase
from ..report.bullseye import draw_bullseye
from .accepted_slices import open_slices_of
from .report_numbers import format_number
from .session import ReviewSession

WALL_VALUES: Final = {
    "ED": ("Thickness at end-diastole", "mm"),
    "ES": ("Thickness at end-systole", "mm"),
    "thickening": ("Thickening", "%"),
}
"""Title and unit of each value of a segment."""
WALL_TITLES: Final = {name: ", ".join(value) for name, value in WALL_VALUES.items()}
METHOD: Final = (
    "Mean length of chords across the wall, perpendicular to its midline, in the slices in which "
    "the myocardium closes round the cavity. Thickening compares the slices that both phases have."
)
FRONT_UNKNOWN: Final = (
    "The file does not say where the front of the patient is. If the slices are mirrored, anterior "
    "and inferior are swapped: compare them with the image."
)
DRAFT: Final = "Draft: {slices} of ED and ES are still to accept."
NO_STRUCTURES: Final = "The segments need the labels RV, MYO and LV."
NO_ED: Final = "The segments need end-diastole. Choose a segmented phase as ED."
BASE_UNKNOWN: Final = "Base and apex cannot be told apart in this stack, so segments have no names."
TOO_FEW_SLICES: Final = (
    "The segments need the RV, and three slices at end-diastole in which the myocardium closes "
    "round the cavity."
)


@dataclass(frozen=True, kw_only=True)
class Walls:
    """Numbers of the segments, "AHA 1 ED" to "AHA 16 thickening", without unknown ones.

    ``open_slices`` is how many slices of the phases of each are still to accept. ``notes`` say how
    they were measured, or why there are none.
    """

    numbers: Mapping[str, Measured] = field(default_factory=dict)
    open_slices: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def rows(self) -> list[tuple[str, ...]]:
        """Return number, name and the three values of each segment as texts."""
        return [
            (
                str(segment),
                title,
                *(format_number(self.numbers.get(f"AHA {segment} {name}")) for name in WALL_VALUES),
            )
            for segment, title in enumerate(SEGMENTS, start=1)
        ]

    def draw(self, name: str, **colors: str) -> str:
        """Return the bull's-eye of "ED", "ES" or "thickening" as SVG."""
        return draw_bullseye(partial(self._value, name), WALL_VALUES[name][1], **colors)

    def _value(self, name: str, segment: int) -> float:
        number = self.numbers.get(f"AHA {segment} {name}")
        return math.nan if number is None else number.value


def measure_walls(session: ReviewSession) -> Walls:
    """Return the wall of each segment in the edited labels at ED and ES."""
    return drain(steps_to_walls(session))


def steps_to_walls(session: ReviewSession) -> Generator[None, None, Walls]:
    """Return the wall as `measure_walls`, in a step for each new slice."""
    ed, es, base_first = session.state.ed, session.state.es, session.base_is_first
    if len(session.heart_labels) < len(HEART_STRUCTURES):
        return Walls(notes=(NO_STRUCTURES,))
    if ed is None or ed not in session.phases:
        return Walls(notes=(NO_ED,))
    if base_first is None:
        return Walls(notes=(BASE_UNKNOWN,))
    slices: dict[Phase, dict[int, SliceWall]] = {ed: {}, es: {}}
    for phase in slices.keys() & {*session.phases}:
        for z in range(session.slices):
            # A measured slice costs nothing, so only new ones are steps between which a window can
            # answer.
            if (phase, z) not in session.walls:
                yield
            wall = session.wall_in((phase, z))
            if wall is not None:
                slices[phase][z] = wall
    after = {} if es == ed else slices[es]
    numbers = dict(_numbers(wall_segments(slices[ed], after, base_first=base_first), ed, es))
    still_open = open_slices_of(session, numbers)
    count = max(still_open.values(), default=0)
    notes = (
        *((DRAFT.format(slices=format_count(count, "slice")),) if count else ()),
        METHOD,
        *((FRONT_UNKNOWN,) if session.seen_from_apex is None else ()),
    )
    notes = notes if numbers else (TOO_FEW_SLICES,)
    return Walls(numbers=numbers, open_slices=still_open, notes=notes)


def _numbers(
    segments: tuple[SegmentWall, ...], ed: Phase, es: Phase
) -> Iterator[tuple[str, Measured]]:
    phases = {"ED": (ed,), "ES": (es,), "thickening": (ed, es)}
    for number, (segment, title) in enumerate(zip(segments, SEGMENTS, strict=True), start=1):
        for (name, (words, unit)), value in zip(WALL_VALUES.items(), astuple(segment), strict=True):
            measured = Measured(
                name=f"AHA {number} {name}", title=f"{title} wall, {words.lower()}", value=value,
                spread=math.nan, unit=unit, help=METHOD, phases=phases[name],
            )  # fmt: skip
            if math.isfinite(value):
                yield measured.name, measured

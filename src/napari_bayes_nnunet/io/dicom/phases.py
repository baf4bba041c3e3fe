"""Phases of a cine: the images of its slices in order of time, and a check that all exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Final, TypeAlias

from .headers import DicomImage

Slice: TypeAlias = tuple[DicomImage, ...]
TimeKey: TypeAlias = Callable[[DicomImage], float | None]
TIME_KEYS: Final[tuple[TimeKey, ...]] = (
    lambda image: image.trigger_time,
    lambda image: image.temporal_position,
    lambda image: image.number,
    lambda image: image.frame,
)
"""Values that order images in time, the most reliable first."""
_GAP: Final = 1.75
"""Ratio to the usual time between two phases from which a phase counts as missing."""
FEWEST_PHASES: Final = 4


def sort_by_time(slices: Sequence[Slice]) -> list[Slice]:
    """Return the images of each slice in order of time.

    If two images have the same time, the one acquired later is kept.
    """
    key = next((key for key in TIME_KEYS if _distinguishes(key, slices)), TIME_KEYS[-1])
    return [_without_repeats(images, key) for images in slices]


def _distinguishes(key: TimeKey, slices: Sequence[Slice]) -> bool:
    """Return whether all images have a value, and at least half of the values are different."""
    for images in slices:
        values = [key(image) for image in images]
        if None in values or 2 * len(set(values)) < len(values):
            return False
    return True


def _without_repeats(images: Slice, key: TimeKey) -> Slice:
    latest = {key(image): image for image in sorted(images, key=lambda image: image.acquired)}
    return tuple(latest[time] for time in sorted(latest, key=lambda time: time or 0))


def usual_phase_count(slices: Sequence[Slice]) -> int:
    """Return the number of phases most slices have; the larger if two are equally frequent."""
    counts = Counter(len(images) for images in slices)
    return max(counts, key=lambda count: (counts[count], count))


def describe_missing_phases(slices: Sequence[Slice]) -> str:
    """Return a clause that names the slices with missing phases, or "".

    Missing images are not replaced, because volumes and EF would then be measured on them.
    """
    usual = usual_phase_count(slices)
    unequal = [number for number, images in enumerate(slices, 1) if len(images) != usual]
    if not unequal:
        return _describe_time_gap(slices)
    count = len(slices[unequal[0] - 1])
    more = f" ({len(unequal)} slices are affected)" if len(unequal) > 1 else ""
    return f"slice {unequal[0]} of {len(slices)} has {count} phases instead of {usual}{more}"


def _describe_time_gap(slices: Sequence[Slice]) -> str:
    """Return a clause if the trigger times show that every slice lacks the same phase, or ""."""
    times = [[image.trigger_time for image in images] for images in slices]
    given = [[time for time in of_slice if time is not None] for of_slice in times]
    if given != times or len(slices[0]) < FEWEST_PHASES:
        return ""
    steps = [[later - earlier for earlier, later in pairwise(of_slice)] for of_slice in given]
    usual_steps = [median(step) for step in zip(*steps, strict=True)]
    widest = max(range(len(usual_steps)), key=usual_steps.__getitem__)
    if usual_steps[widest] < _GAP * median(usual_steps):
        return ""
    return (
        f"phases {widest + 1} and {widest + 2} are {usual_steps[widest]:.0f} ms apart instead of "
        f"{median(usual_steps):.0f} ms, as if a phase were missing"
    )


def phase_interval(slices: Sequence[Slice]) -> float | None:
    """Return the time between two phases, ms, from the trigger times or the R-R interval."""
    times = [[image.trigger_time for image in images] for images in slices]
    steps = [
        later - earlier
        for of_slice in times
        for earlier, later in pairwise(of_slice)
        if earlier is not None and later is not None
    ]
    if steps and median(steps) > 0:
        return float(median(steps))
    beats = [image.beat for images in slices for image in images if image.beat]
    return median(beats) / len(slices[0]) if beats and len(slices[0]) > 1 else None

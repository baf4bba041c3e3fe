"""The phases of one cine out of the images of its slices: in order, each once, none missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Final, TypeAlias

from .headers import DicomImage

Slice: TypeAlias = tuple[DicomImage, ...]
Moment: TypeAlias = Callable[[DicomImage], float | None]
MOMENTS: Final[tuple[Moment, ...]] = (
    lambda image: image.trigger_time,
    lambda image: image.temporal_position,
    lambda image: image.number,
    lambda image: image.frame,
)
"""What can tell the time of an image, the best first."""


_GAP: Final = 1.75
"""Times the usual time between two phases, from which on one is missing."""
FEWEST_PHASES: Final = 4


def in_time(slices: Sequence[Slice]) -> list[Slice]:
    """Each slice's images in the order of time; of two for one moment, the one taken later."""
    moment = next((one for one in MOMENTS if _tells_apart(one, slices)), MOMENTS[-1])
    return [_each_once(images, moment) for images in slices]


def _tells_apart(moment: Moment, slices: Sequence[Slice]) -> bool:
    """Whether all images have it, and at most every second one is there twice."""
    for images in slices:
        values = [moment(image) for image in images]
        if None in values or 2 * len(set(values)) < len(values):
            return False
    return True


def _each_once(images: Slice, moment: Moment) -> Slice:
    latest = {moment(image): image for image in sorted(images, key=lambda image: image.acquired)}
    return tuple(latest[time] for time in sorted(latest, key=lambda time: time or 0))


def usual_count(slices: Sequence[Slice]) -> int:
    """The number of phases most slices have; of two equally frequent ones the larger."""
    counts = Counter(len(images) for images in slices)
    return max(counts, key=lambda count: (counts[count], count))


def phases_missing(slices: Sequence[Slice]) -> str:
    """A sentence where the slices have not all the same number of phases, else "".

    No image is made up for a phase that is not there: a volume, and with it the EF, would be
    measured on it.
    """
    usual = usual_count(slices)
    other = [place for place, images in enumerate(slices, 1) if len(images) != usual]
    if not other:
        return _gap_in_time(slices)
    found = len(slices[other[0] - 1])
    more = f" ({len(other)} slices in all are so)" if len(other) > 1 else ""
    return (
        f"slice {other[0]} of {len(slices)} has {found} phases where the others have {usual}{more}"
    )


def _gap_in_time(slices: Sequence[Slice]) -> str:
    """A sentence where the same phase is missing in every slice: by the trigger times."""
    times = [[image.trigger_time for image in images] for images in slices]
    known = [[time for time in one if time is not None] for one in times]
    if known != times or len(slices[0]) < FEWEST_PHASES:
        return ""
    steps = [[later - earlier for earlier, later in pairwise(one)] for one in known]
    each = [median(step) for step in zip(*steps, strict=True)]
    widest = max(range(len(each)), key=each.__getitem__)
    if each[widest] < _GAP * median(each):
        return ""
    return (
        f"between phase {widest + 1} and {widest + 2} lie {each[widest]:.0f} ms where the others "
        f"are {median(each):.0f} ms apart, as if one were missing"
    )


def time_between(slices: Sequence[Slice]) -> float | None:
    """Time between two phases, ms: by the trigger times, else by the R-R interval."""
    times = [[image.trigger_time for image in images] for images in slices]
    steps = [
        later - earlier
        for known in times
        for earlier, later in pairwise(known)
        if earlier is not None and later is not None
    ]
    if steps and median(steps) > 0:
        return float(median(steps))
    beats = [image.beat for images in slices for image in images if image.beat]
    return median(beats) / len(slices[0]) if beats and len(slices[0]) > 1 else None

"""Phases of a cine: the images of its slices in order of time, joined at equal times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from statistics import median
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

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
"""Ratio to the usual time between two phases above which a phase counts as missing."""
FEWEST_PHASES: Final = 4
ACQUISITION_KEYS: Final = ("acquisition", "acquisition_time", "file")
"""Attributes that may differ between two acquisitions of a slice."""
MOSTLY: Final = 0.7
"""Share of time above which runs of images in their order are acquisitions."""
MOST_APART: Final = 0.5
"""Largest difference in time between slices at the same index, in phases."""
_SAME_CYCLE: Final = 0.1
"""Largest relative difference between the R-R interval and the time that all phases cover."""


def latest_acquisitions(slices: Sequence[Slice]) -> list[Slice]:
    """Return of each slice the images of the latest acquisition that has all phases."""
    acquisitions = [_acquisitions(images) for images in slices]
    usual = usual_phase_count([groups[-1] for groups in acquisitions])
    return [
        next((images for images in reversed(groups) if len(images) == usual), groups[-1])
        for groups in acquisitions
    ]


def _acquisitions(images: Slice) -> list[Slice]:
    """Return the images of a slice by acquisition, the latest last; not those soon stopped."""
    for key in map(attrgetter, ACQUISITION_KEYS):
        values = sorted({key(image) for image in images})
        groups = [tuple(image for image in images if key(image) == value) for value in values]
        if _shared_time(groups) > 0:
            return [group for group in groups if 2 * len(group) >= max(map(len, groups))]
    is_numbered = len({image.acquired for image in images}) == len(images)
    in_order = sorted(images, key=attrgetter("acquired" if is_numbered else "file"))
    steps = np.diff([image.trigger_time or 0 for image in in_order])
    ends = [0, *np.flatnonzero(steps < 0) + 1, len(in_order)]
    groups = [tuple(in_order[start:end]) for start, end in pairwise(ends)]
    # Names without leading zeros sort phases 1, 10, 11, 2 and so on.
    return groups if _shared_time(groups) > MOSTLY else [images]


def _shared_time(groups: Sequence[Slice]) -> float:
    """Return the share of the time of all groups that each covers, 1 if no times are known.

    It is 0 or less for parts of one acquisition, whose tags may differ from phase to phase. A group
    of less than half of the phases is such a part if all times together are evenly spaced.
    """
    sizes = [len(images) for images in groups]
    times = [[image.trigger_time or 0 for image in images] for images in groups]
    steps = [later - earlier for earlier, later in pairwise(sorted(chain(*times)))]
    is_even = max(steps, default=0) <= _GAP * min(steps, default=0)
    if len(groups) < 2 or min(sizes) < max(FEWEST_PHASES, is_even * max(sizes) / 2):
        return 0
    covered = max(map(max, times)) - min(map(min, times))
    return (min(map(max, times)) - max(map(min, times))) / covered if covered else 1


def join_by_time(slices: Sequence[Slice]) -> tuple[list[Slice], int, str]:
    """Return the slices with the same time of the cardiac cycle at each index, if it is known.

    Slices that begin later in the cycle are turned by whole phases. Their number is returned too,
    and a clause if the times of slices still differ by more than ``MOST_APART`` phases, or "".
    """
    unchanged = list(slices), 0, ""
    if len({len(images) for images in slices}) > 1 or len(slices[0]) < 2:
        return unchanged
    times = np.array([[image.trigger_time for image in images] for images in slices], np.float64)
    cycles = np.array([[_cycle(images)] for images in slices])
    apart, moved = _apart(times, cycles), 0
    joined = list(slices)
    if apart > MOST_APART and (np.diff(times) > 0).all():  # NaN, as of a missing time, is not
        shares = times / cycles
        later = (shares - shares[:, 0].min()) / np.median(np.diff(shares))
        shifts = np.rint(later[:, 0]).astype(int) % times.shape[1]
        turned = [np.roll(row, shift) for row, shift in zip(times, shifts, strict=True)]
        apart, moved = _apart(np.array(turned), cycles), int(np.count_nonzero(shifts))
        joined = [(*i[-shift:], *i[:-shift]) for i, shift in zip(slices, shifts, strict=True)]
    if apart <= MOST_APART:
        return joined, moved, ""
    return (
        *unchanged[:2],
        "its slices show different times of the cardiac cycle at the same index (up to "
        f"{apart:.1f} phases apart by their trigger times and R-R intervals)",
    )


def _apart(times: NDArray[np.float64], cycles: NDArray[np.float64]) -> float:
    """Return by how many phases the ``times`` of slices (slices, phases) differ at most.

    Times agree if they do in ms or as a share of the ``cycles`` (slices, 1). NaN is unknown.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # the cycle may be unknown
        shares = times / cycles
        by_share = np.abs((shares[:, None] - shares + 0.5) % 1 - 0.5)
        apart = np.fmin(by_share, np.abs(times[:, None] - times) / cycles)
        steps = np.diff(shares)
    known = steps[np.isfinite(steps) & (steps > 0)]
    step = np.median(known) if known.size else 1 / times.shape[1]
    return round(float(apart.max(initial=0, where=np.isfinite(apart)) / step), 3)


def _cycle(images: Slice) -> float:
    """Return the length of the cardiac cycle of a slice, ms; 0 if it is unknown.

    The phases of a retrospective cine cover all of it. The R-R interval of the headers may be
    rounded or that of another slice, and counts only if the phases cover clearly less or more.
    """
    times = [image.trigger_time for image in images]
    steps = [b - a for a, b in pairwise(times) if a is not None and b is not None]
    covered = len(images) * median(steps or [0])
    beats = [image.beat for image in images if image.beat]
    if not beats or abs(covered / median(beats) - 1) < _SAME_CYCLE:
        return covered
    return median(beats)


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
    """Return a clause if every slice lacks the same phase or has one too many by time, or ""."""
    times = [[image.trigger_time for image in images] for images in slices]
    given = [[time for time in of_slice if time is not None] for of_slice in times]
    if given != times or len(slices[0]) < FEWEST_PHASES:
        return ""
    steps = [[later - earlier for earlier, later in pairwise(of_slice)] for of_slice in given]
    usual_steps = [median(step) for step in zip(*steps, strict=True)]
    usual, widest, narrowest = median(usual_steps), max(usual_steps), min(usual_steps)
    if widest > _GAP * usual:
        odd, reason = widest, "a phase were missing"
    elif usual > _GAP * narrowest:
        odd, reason = narrowest, "images of another acquisition were among them"
    else:
        return ""
    index = usual_steps.index(odd)
    return (
        f"phases {index + 1} and {index + 2} are {odd:.0f} ms apart instead of {usual:.0f} ms, as "
        f"if {reason}"
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

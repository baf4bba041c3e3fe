"""Slices of a cine: their positions, and their images in order of time, joined at equal times.

Distances come from positions, never from the thickness.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from statistics import median
from typing import Final, TypeAlias

import numpy as np
from highdicom.spatial import (
    convert_affine_to_convention,
    create_affine_matrix_from_attributes,
    get_volume_positions,
)
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
    # The latest one may have been stopped early.
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
    if len({len(images) for images in slices}) > 1 or len(slices[0]) < 2:
        return list(slices), 0, ""
    times = np.array([[image.trigger_time for image in images] for images in slices], np.float64)
    # Heart rates differ between breath-holds, so slices are compared in ms and in shares of the
    # cycle.
    cycles = np.array([[_cycle(images)] for images in slices])
    apart, moved, joined = _apart(times, cycles), 0, list(slices)
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
        list(slices),
        0,
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
    covered = len(images) * median(_steps(images) or [0])
    beats = [image.beat for image in images if image.beat]
    if not beats or abs(covered / median(beats) - 1) < _SAME_CYCLE:
        return covered
    return median(beats)


def _steps(images: Slice) -> list[float]:
    """Return the times between neighbouring images, ms, as far as both are known."""
    times = [image.trigger_time for image in images]
    return [b - a for a, b in pairwise(times) if a is not None and b is not None]


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
        # Half, because a repeated slice has each time twice.
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
    steps = [_steps(images) for images in slices]
    if len(slices[0]) < FEWEST_PHASES or min(map(len, steps)) < len(slices[0]) - 1:
        return ""
    # The median over the slices, as only a gap in most of them is a lost phase.
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
    steps = [step for images in slices for step in _steps(images)]
    if steps and median(steps) > 0:
        return float(median(steps))
    beats = [image.beat for images in slices for image in images if image.beat]
    return median(beats) / len(slices[0]) if beats and len(slices[0]) > 1 else None


_SAME_PLACE: Final = 0.1
"""Positions closer than this, in mm, are one slice."""
UNEVEN_PART: Final = 0.02
"""Largest difference of the distances between slices, as a fraction of their mean."""
SIDEWAYS_SHIFT: Final = 1e-3
"""1 - cosine of the largest angle between the slice normal and the direction of the stack."""
TO_APEX: Final = np.array([1.0, -1.0, -1.0])
"""Direction from base to apex: to the left, the front and the feet."""


def slice_normal(image: DicomImage) -> NDArray[np.float64]:
    """Return the (3,) direction across the slices, of length 1."""
    row, column = np.array(image.orientation[:3]), np.array(image.orientation[3:])
    across = np.cross(row, column)
    return across / max(float(np.linalg.norm(across)), 1e-9)


def group_by_position(images: Iterable[DicomImage]) -> list[Slice]:
    """Return the images of every slice, sorted along the normal."""
    unsorted = list(images)
    normal = slice_normal(unsorted[0])
    along = [float(normal @ np.array(image.position)) for image in unsorted]
    slices: list[list[DicomImage]] = []
    last = -np.inf
    for index in np.argsort(along, kind="stable"):
        if along[index] - last > _SAME_PLACE:
            slices.append([])
        slices[-1].append(unsorted[index])
        last = along[index]
    return [tuple(of_slice) for of_slice in slices]


def sort_base_to_apex(slices: Sequence[Slice]) -> list[Slice]:
    """Return the slices in the order base to apex, whatever the order of acquisition."""
    direction = np.array(slices[-1][0].position) - np.array(slices[0][0].position)
    return list(slices) if direction @ TO_APEX >= 0 else list(reversed(slices))


def mean_slice_distance(slices: Sequence[Slice]) -> float:
    """Return the mean distance between neighbouring slices, mm.

    That of a single slice is its thickness, or 1 if this is unknown.
    """
    if len(slices) == 1:
        return slices[0][0].thickness or 1.0
    ends = [np.array(slices[index][0].position) for index in (0, -1)]
    return float(np.linalg.norm(ends[1] - ends[0])) / (len(slices) - 1)


def describe_uneven_slices(slices: Sequence[Slice]) -> str:
    """Return a clause if the slices are not evenly spaced, or ""."""
    positions = [of_slice[0].position for of_slice in slices]
    distance, _ = get_volume_positions(
        positions, slices[0][0].orientation, rtol=UNEVEN_PART, perpendicular_tol=SIDEWAYS_SHIFT
    )
    if distance is not None:
        return ""
    steps = np.linalg.norm(np.diff(np.array(positions), axis=0), axis=1)
    widest = int(steps.argmax())
    if steps[widest] > 1.5 * np.median(steps):
        return (
            f"slices {widest + 1} and {widest + 2} of {len(slices)} are {steps[widest]:.1f} mm "
            f"apart instead of {np.median(steps):.1f} mm, as if a slice were missing"
        )
    return (
        f"its {len(slices)} slices are not evenly spaced ({steps.min():.1f} to "
        f"{steps.max():.1f} mm apart) or are shifted sideways"
    )


def find_evenly_spaced(positions: Sequence[float]) -> list[int]:
    """Return the indices of the largest evenly spaced subset of ascending ``positions`` in mm.

    Each gap in the subset counts like a lost position.
    """
    along, total = np.array(positions), len(positions)
    best, most = list(range(total)), 0
    mean = (along[-1] - along[0]) / max(total - 1, 1)
    away = np.abs(along - along[0] - mean * np.arange(total))
    if away.max() <= max(UNEVEN_PART * mean, _SAME_PLACE):
        return best
    for low, high in itertools.combinations(range(total), 2):
        # With fewer parts, too many positions between the two are not in the subset.
        for parts in range(max(1, high - low - total + most + 1), high - low + 1):
            step = (along[high] - along[low]) / parts
            steps = (along - along[low]) / step
            away = np.abs(steps - steps.round()) * step
            on = np.flatnonzero(away <= max(UNEVEN_PART * step, _SAME_PLACE))
            count = 2 * len(on) - round(float(steps[on[-1]] - steps[on[0]])) - 1
            if count > most:
                best, most = [int(index) for index in on], count
    return best


def stack_affine(slices: Sequence[Slice], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return (4, 4) from voxel (x, y, z) to patient (R, A, S), mm, for ``spacing`` (z, y, x)."""
    first = slices[0][0]
    affine = create_affine_matrix_from_attributes(
        first.position, first.orientation, first.pixel_spacing, spacing[0]
    )
    if len(slices) > 1:
        direction = np.array(slices[-1][0].position) - np.array(first.position)
        # Stacks may be shifted slightly sideways, so the step need not be exactly along the normal.
        affine[:3, 2] = direction / (len(slices) - 1)
    return np.asarray(convert_affine_to_convention(affine, "LPH", "RAH"), dtype=np.float64)

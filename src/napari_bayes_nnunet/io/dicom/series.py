"""Stacks of parallel slices among DICOM images, and candidates for the short-axis cine.

A stack is found by its geometry, not by its series: many scanners write every slice of a cine as
a separate series, and some put localisers and long axes into the series of the short axis.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ...core.counts import format_count
from ...core.problems import Statement, change, statement
from .files import make_pseudonym
from .headers import DicomImage, Vector
from .slices import (
    TO_APEX,
    Slice,
    describe_missing_phases,
    describe_uneven_slices,
    find_evenly_spaced,
    group_by_position,
    join_by_time,
    latest_acquisitions,
    mean_slice_distance,
    slice_normal,
    sort_base_to_apex,
    sort_by_time,
    usual_phase_count,
)

SAME_DIRECTION: Final = 5e-3
SAME_SIZE: Final = 1e-3
"""Largest differences of direction cosines and of pixel spacings within a stack."""
SHARED: Final = ("patient", "study", "shape", "kind")
"""Attributes that are the same in all images of a stack."""
PARALLEL: Final = 0.98
"""Cosine between slices above which one may continue the stack of the other."""
SAME_SLICE: Final = 1.0
"""Distance in mm up to which two images show the same slice."""
FEWEST_SLICES: Final = 3
REPEATS_LEFT_OUT: Final = (
    "{count} of {images} DICOM images repeated the slice and time of another image. Only the "
    "latest image of each slice and time was used."
)
ACQUISITIONS_LEFT_OUT: Final = (
    "{count} of {images} DICOM images belong to other acquisitions of the same slices. Only the "
    "latest complete acquisition of each slice was used."
)
JOINED_BY_TIME: Final = (
    "{slices} of {total} began at another time of the cardiac cycle. Phases were joined by trigger "
    "time and R-R interval."
)
SPARSE_SLICES: Final = (
    "The slices are {distance:.1f} mm apart but {thickness:.1f} mm thick, as if every second slice "
    "were missing. Check that all slices of the heart are there."
)
UNKNOWN_THICKNESS: Final = (
    "The headers give no slice thickness, so missing slices may go unnoticed. Check that all "
    "slices of the heart are there."
)
ASSUMED_THICKNESS: Final = (
    "The headers give no thickness of the only slice, so 1 mm was assumed for all volumes."
)
FEWER_PHASES: Final = (
    "By the headers, slices have {expected} phases, but {found} were found. Check that no image is "
    "missing."
)
MOST_SPARSE: Final = 2
"""Ratio of slice distance to thickness from which every second slice may be missing."""
SLICES_LEFT_OUT: Final = (
    "The volumes do not include {slices} of the same series beyond the ends of the stack, whose "
    "pixel spacing, size, direction or kind differs. Check that no slice of the heart is missing."
)
REPEATS_NOT_USED: Final = (
    "Other cine images of the same slices were not used ({series}). Check that the right series "
    "was chosen."
)
ACROSS_THE_HEART: Final = 0.7
"""Cosine to the direction of the apex from which a stack lies across the heart; .96 to .99 seen."""
NOT_ACROSS: Final = 0.5
"""Cosine below which it does not, whatever its description; up to .46 in long axes."""
ALONG_THE_BODY: Final = 0.97
"""Cosine to an axis of the body above which a stack is axial, coronal or sagittal."""
PREPARED: Final = "its sequence prepares the contrast"
# Letters on either side would make "sa" part of other words, such as "sagittal".
SHORT_AXIS = re.compile(
    r"(?<![a-z])(sax|sa|short|shax|ksa|kurz\w*|petit.?axe|eje.?corto)(?![a-z])", re.IGNORECASE
)
OTHER_VIEW = re.compile(
    r"(?<![a-z])(lax|hla|vla|long|lang|[2-5].?ch|ch[2-5]|lvot|rvot|\w*chamber|\w*kammer\w*|aort\w*|"
    r"local\w*|scout|survey|axial|trans\w*|tra|cor|sag)(?![a-z])",
    re.IGNORECASE,
)
OTHER_CONTRAST = re.compile(
    r"(?<![a-z])(lge|psir|delayed|late|viab\w*|scar|molli|\w*map\w*|perf\w*|flow|tag\w*|haste|"
    r"stir|t[12]|(dark|black).?blood)(?![a-z])",
    re.IGNORECASE,
)
"""Words of series descriptions, which may also be separated by digits and underscores."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Parallel slices of one size: ``slices[z][t]``, from base to apex and in order of time.

    ``problem`` is a clause that says why the stack cannot be read as one volume, or "". ``notes``
    say which images were left out.
    """

    slices: tuple[Slice, ...]
    problem: str = ""
    notes: tuple[Statement, ...] = ()

    @property
    def first(self) -> DicomImage:
        """First image of the first slice."""
        return self.slices[0][0]

    @property
    def phases(self) -> int:
        """Number of phases that most slices have."""
        return usual_phase_count(self.slices)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """(z, y, x), mm; for a single slice, z is its thickness."""
        y, x = self.first.pixel_spacing
        return mean_slice_distance(self.slices), y, x

    @property
    def series_numbers(self) -> tuple[int, ...]:
        """Numbers of the series that contain its images."""
        images = (image for images in self.slices for image in images)
        return tuple(sorted({image.series_number or 0 for image in images}))

    @property
    def description(self) -> str:
        """Series description of the scanner, or ""."""
        return self.first.description

    @property
    def series_name(self) -> str:
        """Name such as "series 5", or "series 5 to 14" if every slice is a series."""
        numbers = self.series_numbers
        return f"series {numbers[0]}" + (f" to {numbers[-1]}" if len(numbers) > 1 else "")

    @property
    def size(self) -> str:
        """Numbers of slices and phases, and the spacing (x, y, z) in mm."""
        z, y, x = self.spacing
        count = f"{format_count(len(self.slices), 'slice')} × {format_count(self.phases, 'phase')}"
        return f"{count}, {x:.4g} × {y:.4g} × {z:.4g} mm"

    @property
    def is_short_axis_cine(self) -> bool:
        """Whether shape, direction, contrast and description fit a short-axis cine."""
        return self.phases > 1 and not self.contrast_because and self.may_be_short_axis

    @property
    def may_be_short_axis(self) -> bool:
        """Whether direction and description fit a short axis, with one phase or several."""
        # TO_APEX has the length √3.
        across = abs(float(slice_normal(self.first) @ TO_APEX)) / 3**0.5
        if len(self.slices) < FEWEST_SLICES or across < NOT_ACROSS:
            return False
        if SHORT_AXIS.search(self.description):
            return True
        return across > ACROSS_THE_HEART and not OTHER_VIEW.search(self.description)

    @property
    def contrast_because(self) -> str:
        """Clause that says which tag shows another contrast than that of a cine, or ""."""
        image = self.first
        if image.modality not in ("", "MR"):
            return f"its modality is {image.modality}"
        if image.inversion_time is not None:
            return f"it has an inversion time of {image.inversion_time:.4g} ms"
        if OTHER_CONTRAST.search(self.description):
            return "its description names another contrast"
        # The image types of flow measurements.
        if not {"P", "PHASE", "VELOCITY"}.isdisjoint(image.kind):
            return "it shows velocities"
        return PREPARED if "IR" in image.sequence or "MP" in image.variant else ""

    @property
    def no_cine_because(self) -> str:
        """Clause that says which tag contradicts a short-axis cine, or ""."""
        contrast = self.contrast_because
        if contrast and contrast != PREPARED:
            return contrast
        if not SHORT_AXIS.search(self.description):
            if OTHER_VIEW.search(self.description):
                return "its description names another view"
            if float(np.abs(slice_normal(self.first)).max()) >= ALONG_THE_BODY:
                return "its slices are axial, coronal or sagittal"
        return ""

    @property
    def doubt(self) -> str | None:
        """Clause on the sequence if it is not that of a cine, "" if it is, None if unknown."""
        image = self.first
        if self.contrast_because == PREPARED:
            return PREPARED
        if "SS" in image.variant:
            return "" if self.phases > 1 else None
        # Siemens XA writes SK alone for the steady state of a cine.
        return "its sequence spoils the steady state" if "SP" in image.variant else None

    @property
    def pseudonym(self) -> str:
        """Name that is always the same for these series and does not identify the patient."""
        images = (image for images in self.slices for image in images)
        uids = {self.first.study, *(image.series for image in images)}
        return make_pseudonym(" ".join(sorted(uids)))

    def describe_anonymously(self) -> str:
        """Return series and size only, because free descriptions may contain patients' names."""
        return f"{self.series_name}: {self.size}"

    def __str__(self) -> str:
        name = f" '{self.description}'" if self.description else ""
        return f"{self.series_name}{name}: {self.size}"


def find_stacks(images: Iterable[DicomImage]) -> list[Stack]:
    """Return all stacks: candidates for the short-axis cine first, then by decreasing size.

    Copies of an image in several files count once.
    """
    unique = {_identity(image): image for image in images}
    parts: list[list[DicomImage]] = []
    for image in sorted(unique.values(), key=lambda image: (image.series, image.acquired)):
        part = next((part for part in parts if _may_stack(image, part[0], same_series=True)), None)
        parts.append([image]) if part is None else part.append(image)
    stacks = [_make_stack(images) for group in _group_parts(parts) for images in _join_parts(group)]
    stacks = [_with_notes_on_others(stack, unique.values()) for stack in stacks]
    return sorted(stacks, key=_rank)


def _identity(image: DicomImage) -> tuple[object, ...]:
    """Return the key of an image and its copies; anonymisers may repeat the UID of an image."""
    time = image.trigger_time, image.temporal_position, image.number
    return image.instance, image.series, image.frame, image.position, *time


def _with_notes_on_others(stack: Stack, images: Iterable[DicomImage]) -> Stack:
    """Return the stack with notes on parallel images of its study that it does not have.

    They lie beyond its ends in series of its name, or are cines of its slices.
    """
    used = [image for of_slice in stack.slices for image in of_slice]
    series, ids = {image.series for image in used}, {id(image) for image in used}
    normal = slice_normal(stack.first)
    positions = np.array([normal @ np.array(of_slice[0].position) for of_slice in stack.slices])
    lowest, highest = positions.min() - SAME_SLICE, positions.max() + SAME_SLICE
    beyond, repeats = set(), defaultdict[str, list[DicomImage]](list)
    for image in images:
        along = float(normal @ np.array(image.position))
        is_parallel = float(normal @ slice_normal(image)) > PARALLEL
        # Other studies of a folder may be of other patients.
        if id(image) in ids or image.study != stack.first.study or not is_parallel:
            continue
        if np.abs(positions - along).min() < SAME_SLICE and image.series not in series:
            repeats[image.series].append(image)
        elif not lowest <= along <= highest:
            # Scanners that write a series for each slice name all of them alike, but for the
            # number.
            same = len(series) > 1 and _words(image) == _words(stack.first)
            beyond |= {round(along / SAME_SLICE)} if same or image.series in series else set()
    cines = [i for i in repeats.values() if usual_phase_count(group_by_position(i)) == stack.phases]
    names = [f"series {i[0].series_number}: {format_count(len(i), 'image')}" for i in cines]
    notes = (
        (beyond, statement(SLICES_LEFT_OUT, slices=format_count(len(beyond), "slice"))),
        (stack.phases > 1 and names, statement(REPEATS_NOT_USED, series=", ".join(names))),
    )
    return replace(stack, notes=(*stack.notes, *(note for found, note in notes if found)))


def _words(image: DicomImage) -> str:
    """Return the description of the image's series without the numbers of slices."""
    return " ".join(re.split(r"[\W\d_]+", image.description.lower()))


def _contrast(image: DicomImage) -> tuple[object, ...]:
    is_other = OTHER_CONTRAST.search(image.description) is not None
    return image.sequence, image.variant, image.inversion_time is None, is_other


def _rank(stack: Stack) -> tuple[bool, bool, int, tuple[int, ...]]:
    size = len(stack.slices) * stack.phases
    return not stack.is_short_axis_cine, bool(stack.problem), -size, stack.series_numbers


def _may_stack(image: DicomImage, other: DicomImage, *, same_series: bool) -> bool:
    """Return whether two images can be in one stack."""
    if (image.series == other.series) is not same_series:
        return False
    return (
        all(getattr(image, name) == getattr(other, name) for name in SHARED)
        and _close(image.orientation, other.orientation, SAME_DIRECTION)
        and _close(image.pixel_spacing, other.pixel_spacing, SAME_SIZE)
    )


def _close(first: Vector, second: Vector, tolerance: float) -> bool:
    return bool(np.allclose(first, second, rtol=0, atol=tolerance))


def _group_parts(parts: Sequence[list[DicomImage]]) -> list[list[list[DicomImage]]]:
    """Group parts of several series that could be one stack, in order of acquisition."""
    groups: list[list[list[DicomImage]]] = []
    # In this order a later series repeats slices, and never the reverse.
    for part in sorted(parts, key=lambda part: part[0].acquired):
        for group in groups:
            first = group[0]
            # A stress cine or a tagged one at the same positions must not replace slices.
            may_stack = _may_stack(part[0], first[0], same_series=False)
            same_contrast = _contrast(part[0]) == _contrast(first[0])
            if may_stack and same_contrast and _same_frame(part, first):
                group.append(part)
                break
        else:
            groups.append([part])
    return groups


def _same_frame(part: Sequence[DicomImage], other: Sequence[DicomImage]) -> bool:
    """Return whether two parts share the frame of reference and the number of phases.

    Some anonymisers give every image its own frame of reference, which is then ignored.
    """
    frames = [{image.frame_of_reference for image in images} for images in (part, other)]
    consistent = all(len(frame) == 1 for frame in frames)
    counts = [usual_phase_count(group_by_position(images)) for images in (part, other)]
    return counts[0] == counts[1] and (not consistent or frames[0] == frames[1])


def _join_parts(parts: Sequence[list[DicomImage]]) -> list[list[DicomImage]]:
    """Join series of different slices into stacks.

    A slice that was repeated later, in a series of the same name, replaces the first one.
    """
    groups: list[list[DicomImage]] = []
    for part in parts:
        free = (group for group in groups if not _share_position(part, group))
        group = next(free, None)
        groups.append(list(part)) if group is None else group.extend(part)
    stack, *further = sorted(groups, key=lambda images: -len(group_by_position(images)))
    for repeat in list(further):
        # A repeat of half of the slices or more is taken for another cine, not for a correction.
        smaller = len(group_by_position(repeat)) < len(group_by_position(stack)) / 2
        is_later = repeat[0].acquired > stack[0].acquired
        same = is_later and _words(repeat[0]) == _words(stack[0])
        shares = (_share_position(of_slice, stack) for of_slice in group_by_position(repeat))
        if smaller and same and all(shares):
            further.remove(repeat)
            stack = _replace_slices(stack, repeat)
    # Within one series gaps are reported, not explained away.
    if len(parts) == 1:
        return [stack, *further]
    even, odd = _split_even(stack)
    return [even, *odd, *further]


def _split_even(images: Sequence[DicomImage]) -> tuple[list[DicomImage], list[list[DicomImage]]]:
    """Separate evenly spaced slices from series between them, such as a trial slice."""
    slices = group_by_position(images)
    even = [image for index in find_evenly_spaced(_positions(images)) for image in slices[index]]
    remaining = {id(image) for image in images} - {id(image) for image in even}
    odd: dict[str, list[DicomImage]] = {}
    for image in images:
        if id(image) in remaining:
            odd.setdefault(image.series, []).append(image)
    return even, list(odd.values())


def _positions(images: Sequence[DicomImage]) -> list[float]:
    """Return the position of every slice along the normal, mm."""
    firsts = (of_slice[0] for of_slice in group_by_position(images))
    return [float(slice_normal(image) @ np.array(image.position)) for image in firsts]


def _share_position(images: Sequence[DicomImage], others: Sequence[DicomImage]) -> bool:
    other_positions = _positions(others)
    return any(
        min(abs(mm - position) for position in other_positions) < SAME_SLICE
        for mm in _positions(images)
    )


def _replace_slices(stack: Sequence[DicomImage], repeat: Sequence[DicomImage]) -> list[DicomImage]:
    unchanged = (s for s in group_by_position(stack) if not _share_position(s, repeat))
    return [*(image for of_slice in unchanged for image in of_slice), *repeat]


def _make_stack(images: Sequence[DicomImage]) -> Stack:
    latest = latest_acquisitions(group_by_position(images))
    ordered = sort_base_to_apex(sort_by_time(latest))
    slices, moved, contradiction = join_by_time(ordered)
    total = len(images)
    used = sum(map(len, latest))
    repeats = used - sum(map(len, ordered))
    expected, found = slices[0][0].phases or 0, usual_phase_count(slices)
    notes = (
        (expected > found, statement(FEWER_PHASES, expected=expected, found=found)),
        (total - used, statement(ACQUISITIONS_LEFT_OUT, count=total - used, images=total)),
        (repeats, statement(REPEATS_LEFT_OUT, count=repeats, images=total)),
        (moved, statement(JOINED_BY_TIME, slices=format_count(moved, "slice"), total=len(slices))),
    )
    return Stack(
        slices=tuple(slices),
        problem=describe_missing_phases(ordered)
        or describe_uneven_slices(ordered)
        or contradiction,
        notes=(*(note for count, note in notes if count), *_notes_on_thickness(slices)),
    )


def _notes_on_thickness(slices: Sequence[Slice]) -> tuple[Statement, ...]:
    thickness, distance = slices[0][0].thickness, mean_slice_distance(slices)
    if len(slices) == 1:
        return () if thickness else (statement(ASSUMED_THICKNESS, change("spacing")),)
    if thickness is None:
        return (statement(UNKNOWN_THICKNESS),)
    is_sparse = round(distance / thickness, 2) >= MOST_SPARSE
    note = statement(SPARSE_SLICES, distance=distance, thickness=thickness)
    return (note,) if is_sparse else ()

"""Stacks of parallel slices among DICOM images, and which of them are short-axis cines.

A stack is found by its geometry, not by its series: many scanners write every slice of a cine as
a series of its own, and some put localisers and long axes into the series of the short axis.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .files import pseudonym
from .headers import DicomImage, Vector
from .phases import Slice, in_time, phases_missing, time_between, usual_count
from .slice_positions import (
    base_to_apex,
    by_place,
    evenly_stacked,
    gap_between,
    normal_of,
    slice_distance,
)

SAME_DIRECTION: Final = 5e-3
SAME_SIZE: Final = 1e-3
"""How far direction cosines and pixel spacings of one stack may differ."""
FEWEST_SLICES: Final = 3
ALONG_THE_BODY: Final = 0.97
"""Cosine to an axis of the body above which a stack is axial, coronal or sagittal."""
SHORT_AXIS = re.compile(
    r"(?<![a-z])(sax|sa|short|shax|ksa|kurz\w*|petit.?axe|eje.?corto)(?![a-z])", re.IGNORECASE
)
OTHER_VIEW = re.compile(
    r"(?<![a-z])(lax|hla|vla|long|lang|[2-5].?ch|ch[2-5]|lvot|rvot|\w*chamber|\w*kammer\w*|aort\w*|"
    r"local\w*|scout|survey|axial|trans\w*|tra|cor|sag)(?![a-z])",
    re.IGNORECASE,
)
"""Words of series descriptions; digits and underscores part them too."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Parallel slices of one size: ``slices[z][t]``, from base to apex and in time.

    ``problem`` is a sentence, without its end, where it cannot be read as one volume.
    """

    slices: tuple[Slice, ...]
    problem: str = ""

    @property
    def first(self) -> DicomImage:
        """The first slice's first image."""
        return self.slices[0][0]

    @property
    def phases(self) -> int:
        """Phases that most slices have."""
        return usual_count(self.slices)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """(z, y, x), mm; of a single slice z is its thickness."""
        z = slice_distance(self.slices) or self.first.thickness or 1.0
        return z, self.first.pixel_spacing[0], self.first.pixel_spacing[1]

    @property
    def frame_time(self) -> float | None:
        """Time between two phases, ms."""
        return time_between(self.slices)

    @property
    def series_numbers(self) -> tuple[int, ...]:
        """Numbers of the series it comes from."""
        images = (image for images in self.slices for image in images)
        return tuple(sorted({image.series_number or 0 for image in images}))

    @property
    def description(self) -> str:
        """The series description of the scanner, "" where it has none."""
        return self.first.description

    @property
    def series_name(self) -> str:
        """For example "series 5", or "series 5 to 14" where every slice is one."""
        numbers = self.series_numbers
        return f"series {numbers[0]}" + (f" to {numbers[-1]}" if len(numbers) > 1 else "")

    @property
    def size(self) -> str:
        """Slices × phases, and the spacing."""
        z, y, x = self.spacing
        count = f"{len(self.slices)} slices × {self.phases} phases"
        return f"{count}, {x:.4g} × {y:.4g} × {z:.4g} mm"

    @property
    def is_short_axis_cine(self) -> bool:
        """Whether it may be the short-axis cine: by its shape, direction and description."""
        return self.phases > 1 and self.may_be_short_axis

    @property
    def may_be_short_axis(self) -> bool:
        """The same of a stack that may have a single phase."""
        if len(self.slices) < FEWEST_SLICES:
            return False
        if SHORT_AXIS.search(self.description):
            return True
        oblique = float(np.abs(normal_of(self.first)).max()) < ALONG_THE_BODY
        return oblique and not OTHER_VIEW.search(self.description)

    @property
    def pseudonym(self) -> str:
        """A name that is the same whenever these series are read, and names nobody."""
        images = (image for images in self.slices for image in images)
        uids = {self.first.study, *(image.series for image in images)}
        return pseudonym(" ".join(sorted(uids)))

    def in_numbers(self) -> str:
        """Series and size: a description is free text, in which names of patients are found."""
        return f"{self.series_name}: {self.size}"

    def __str__(self) -> str:
        name = f" '{self.description}'" if self.description else ""
        return f"{self.series_name}{name}: {self.size}"


def find_stacks(images: Iterable[DicomImage]) -> list[Stack]:
    """All stacks, the candidates for the short-axis cine first, then the larger ones.

    An image that is there in two files is taken once.
    """
    once = {(image.instance, image.frame): image for image in images}
    parts: list[list[DicomImage]] = []
    for image in sorted(once.values(), key=lambda image: (image.series, image.acquired)):
        part = next((one for one in parts if _belongs(image, one[0], same_series=True)), None)
        parts.append([image]) if part is None else part.append(image)
    stacks = [_stack(group) for together in _alike(parts) for group in _joined(together)]
    return sorted(stacks, key=_rank)


def _rank(stack: Stack) -> tuple[bool, bool, int, tuple[int, ...]]:
    size = len(stack.slices) * stack.phases
    return not stack.is_short_axis_cine, bool(stack.problem), -size, stack.series_numbers


def _belongs(image: DicomImage, other: DicomImage, *, same_series: bool) -> bool:
    """Whether two images can be of one stack."""
    if (image.series == other.series) is not same_series:
        return False
    same = (image.study, image.shape, image.kind) == (other.study, other.shape, other.kind)
    return (
        same
        and _close(image.orientation, other.orientation, SAME_DIRECTION)
        and _close(image.pixel_spacing, other.pixel_spacing, SAME_SIZE)
    )


def _close(one: Vector, other: Vector, tolerance: float) -> bool:
    return bool(np.allclose(one, other, rtol=0, atol=tolerance))


def _alike(parts: Sequence[list[DicomImage]]) -> list[list[list[DicomImage]]]:
    """Parts of several series, in the order they were taken, that could be one stack."""
    found: list[list[list[DicomImage]]] = []
    for part in sorted(parts, key=lambda part: part[0].acquired):
        for group in found:
            first = group[0]
            if _belongs(part[0], first[0], same_series=False) and _same_room(part, first):
                group.append(part)
                break
        else:
            found.append([part])
    return found


def _same_room(part: Sequence[DicomImage], other: Sequence[DicomImage]) -> bool:
    """Whether they share a frame of reference, and the number of phases.

    Some anonymisers give every image its own frame of reference: then it says nothing.
    """
    rooms = [{image.frame_of_reference for image in images} for images in (part, other)]
    told = all(len(room) == 1 for room in rooms)
    counts = [usual_count(by_place(images)) for images in (part, other)]
    return counts[0] == counts[1] and (not told or rooms[0] == rooms[1])


def _joined(parts: Sequence[list[DicomImage]]) -> list[list[DicomImage]]:
    """Join series of different slices into stacks; a slice taken again replaces the first one."""
    groups: list[list[DicomImage]] = []
    for part in parts:
        free = (group for group in groups if not _share_a_place(part, group))
        group = next(free, None)
        groups.append(list(part)) if group is None else group.extend(part)
    whole, *further = sorted(groups, key=lambda images: -len(by_place(images)))
    for again in list(further):
        if len(by_place(again)) < len(by_place(whole)) / 2 and _all_shared(again, whole):
            further.remove(again)
            whole = _replaced(whole, again)
    if len(parts) == 1:
        return [whole, *further]
    even, odd = _apart(whole)
    return [even, *odd, *further]


def _apart(images: Sequence[DicomImage]) -> tuple[list[DicomImage], list[list[DicomImage]]]:
    """What is evenly stacked, and the series between: a trial slice, a stack moved a little."""
    slices = by_place(images)
    kept = evenly_stacked(_places(images))
    even = [image for place in kept for image in slices[place]]
    left = {id(image) for image in images} - {id(image) for image in even}
    odd: dict[str, list[DicomImage]] = {}
    for image in images:
        if id(image) in left:
            odd.setdefault(image.series, []).append(image)
    return even, list(odd.values())


def _places(images: Sequence[DicomImage]) -> list[float]:
    return [_place(one[0]) for one in by_place(images)]


def _place(image: DicomImage) -> float:
    return float(normal_of(image) @ np.array(image.position))


def _share_a_place(images: Sequence[DicomImage], others: Sequence[DicomImage]) -> bool:
    taken = _places(others)
    return any(min(abs(place - other) for other in taken) < 1 for place in _places(images))


def _all_shared(images: Sequence[DicomImage], others: Sequence[DicomImage]) -> bool:
    return all(_share_a_place(list(one), others) for one in by_place(images))


def _replaced(whole: Sequence[DicomImage], again: Sequence[DicomImage]) -> list[DicomImage]:
    kept = [one for one in by_place(whole) if not _share_a_place(list(one), again)]
    return [*(image for images in kept for image in images), *again]


def _stack(images: Sequence[DicomImage]) -> Stack:
    slices = tuple(base_to_apex(in_time(by_place(images))))
    return Stack(slices=slices, problem=phases_missing(slices) or gap_between(slices))

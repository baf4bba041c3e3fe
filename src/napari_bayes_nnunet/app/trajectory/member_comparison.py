"""What single members make of an image: an easy and a hard slice, as in Fig. 1 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...core.steps import drain
from ...io.ensemble.ensemble_folder import Member
from ...io.images.nifti import Volume, case_name, read_channels
from .. import AppError
from ..segmentation.ensemble import Ensemble
from ..segmentation.result import Snapshot
from ..segmentation.settings import SegmentationSettings

SHOWN: Final = 6
"""Members side by side, from all cycles."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberSlice:
    """One slice, ``z`` from 1: (Y, X) ``image``, (k, Y, X) ``labels`` of the members shown.

    ``pooled`` (Y, X) are the labels of all members together, ``entropy`` (Y, X) theirs, bit, and
    ``disagreement`` their mutual information summed over the slice, bit. ``heart`` (Y, X) is what
    they found, without islands elsewhere.
    """

    z: int
    is_hard: bool
    image: NDArray[Any]
    labels: NDArray[np.uint8]
    pooled: NDArray[np.uint8]
    heart: NDArray[np.bool_]
    entropy: NDArray[np.float32]
    disagreement: float


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberCase:
    """The ``shown`` slices of an image, hard before easy; none where nothing was segmented.

    ``members`` (k,) are those shown, of ``count``; ``structures`` name → label; ``spacing`` (y, x)
    in mm; ``depth`` slices in all; ``notes`` say what is to be known of the members.
    """

    case: str
    shown: tuple[MemberSlice, ...]
    members: tuple[Member, ...]
    count: int
    notes: tuple[str, ...] = ()
    structures: dict[str, int]
    spacing: tuple[float, float]
    depth: int


def read_image(image: Path) -> tuple[Volume, ...]:
    """The channels of a 3D image. Raises AppError for a cine, DataError for what is no image."""
    channels = read_channels(image)
    if channels[0].is_cine:
        raise AppError(f"{image} is a cine of {channels[0].phases} phases: name single phases.")
    return channels


def member_case(
    ensemble: Ensemble,
    image: Path,
    *,
    on_member: Callable[[Snapshot], None] = lambda snapshot: None,
) -> MemberCase:
    """Segment ``image``, a 3D NIfTI file, with the members of all cycles, and choose two slices.

    Raises AppError for a cine, and what reading and segmenting raise.
    """
    channels = read_image(image)
    voxels = np.stack([channel.voxels for channel in channels])
    result = drain(
        ensemble.steps(voxels, channels[0].spacing, SegmentationSettings(), keep_members=True),
        on_member,
    )
    assert result.member_labels is not None
    chosen, heart = shown_members(result.members), largest_part(result.labels > 0)
    return MemberCase(
        case=case_name(image),
        shown=tuple(
            MemberSlice(
                z=z + 1,
                is_hard=is_hard,
                image=voxels[0, z],
                labels=result.member_labels[chosen, z],
                pooled=result.labels[z],
                heart=heart[z],
                entropy=result.entropy[z],
                disagreement=float(result.mutual_information[z].sum()),
            )
            for z, is_hard in chosen_slices(heart, result.mutual_information)
        ),
        members=tuple(result.members[place] for place in chosen),
        count=len(result.members),
        notes=result.notes,
        structures=ensemble.structures,
        spacing=channels[0].spacing[1:],
        depth=len(result.labels),
    )


def shown_members(members: Sequence[Member]) -> list[int]:
    """Places of at most ``SHOWN`` members, from every cycle as many, and far apart within it.

    With one left for each, that is the last of the cycle; of more cycles than can be shown, the
    latest.
    """
    places: dict[int, list[int]] = {}
    for place, member in enumerate(members):
        places.setdefault(-1 if member.cycle is None else member.cycle, []).append(place)
    cycles = sorted(places)[-SHOWN:]
    shares = dict.fromkeys(cycles, 0)
    for _ in range(SHOWN):  # one after the other, the latest cycle first
        open_ = [c for c in reversed(cycles) if shares[c] < len(places[c])]
        if open_:
            shares[min(open_, key=lambda cycle: shares[cycle])] += 1
    return sorted(place for c in cycles for place in _far_apart(places[c], shares[c]))


def _far_apart(places: Sequence[int], count: int) -> list[int]:
    """``count`` of the places, the last among them, and the first if there are two or more."""
    if count == 1:
        return [places[-1]]
    spread = np.linspace(0, len(places) - 1, count).round().astype(int)
    return [places[n] for n in spread]


def chosen_slices(
    heart: NDArray[np.bool_], mutual_information: NDArray[np.floating]
) -> list[tuple[int, bool]]:
    """Slice on which the members disagree most, True, and least, False; (Z, Y, X) each.

    By the sum of the mutual information, among the slices of the ``heart``. One where there is but
    one, none where there is none.
    """
    (there,) = np.nonzero(heart.any(axis=(1, 2)))
    if not len(there):
        return []
    sums = mutual_information[there].sum(axis=(1, 2))
    hard, easy = int(there[np.argmax(sums)]), int(there[np.argmin(sums)])
    return [(hard, True), (easy, False)] if hard != easy else [(hard, True)]


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(Z, Y, X) the largest connected part of a mask, all of it where that is empty."""
    parts, count = ndimage.label(mask)
    return np.asarray(parts == 1 + np.argmax(np.bincount(parts.flat)[1:])) if count else mask

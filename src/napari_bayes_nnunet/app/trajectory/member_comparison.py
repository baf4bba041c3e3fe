"""Comparison of single members on an easy and a hard slice, as in Fig. 1 of the paper."""

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
"""Maximum number of members side by side."""
IMAGE_IS_CINE: Final = "{image} is a cine of {phases} phases. Choose images of single phases."


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberSlice:
    """One slice, ``z`` from 1: (Y, X) ``image``, (k, Y, X) ``labels`` of the members shown.

    ``pooled`` (Y, X) are the labels of the ensemble, ``entropy`` (Y, X) is its entropy, bit, and
    ``disagreement`` the sum of the mutual information in the slice, bit. ``heart`` (Y, X) is the
    largest connected part of the labels.
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
    """The ``shown`` slices of an image, hard before easy; none if nothing was segmented.

    ``members`` (k,) are those shown, of ``count``. ``structures``: name → label. ``spacing`` (y, x)
    in mm. ``depth``: number of slices in all. ``notes`` are remarks on the members.
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
    """Return the channels of a 3D image. Raises AppError for a cine, DataError if unreadable."""
    channels = read_channels(image)
    if channels[0].is_cine:
        raise AppError(IMAGE_IS_CINE, image=image, phases=channels[0].phases)
    return channels


def compare_members(
    ensemble: Ensemble,
    image: Path,
    *,
    on_member: Callable[[Snapshot], None] = lambda snapshot: None,
) -> MemberCase:
    """Segment ``image``, a 3D NIfTI file, with members of all cycles, and choose two slices.

    Raises AppError for a cine, and any error of reading and segmenting.
    """
    channels = read_image(image)
    voxels = np.stack([channel.voxels for channel in channels])
    result = drain(
        ensemble.steps(voxels, channels[0].spacing, SegmentationSettings(), keep_members=True),
        on_member,
    )
    assert result.member_labels is not None
    chosen, heart = choose_shown_members(result.members), largest_part(result.labels > 0)
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
            for z, is_hard in choose_slices(heart, result.mutual_information)
        ),
        members=tuple(result.members[index] for index in chosen),
        count=len(result.members),
        notes=result.notes,
        structures=ensemble.structures,
        spacing=channels[0].spacing[1:],
        depth=len(result.labels),
    )


def choose_shown_members(members: Sequence[Member]) -> list[int]:
    """Return indices of at most ``SHOWN`` members, shared equally among cycles, spread within them.

    A cycle with a single member shown has its last. If there are more cycles than can be shown, the
    latest are.
    """
    indices: dict[int, list[int]] = {}
    for index, member in enumerate(members):
        indices.setdefault(-1 if member.cycle is None else member.cycle, []).append(index)
    cycles = sorted(indices)[-SHOWN:]
    shares = dict.fromkeys(cycles, 0)
    for _ in range(SHOWN):  # one by one, beginning with the latest cycle
        open_ = [c for c in reversed(cycles) if shares[c] < len(indices[c])]
        if open_:
            shares[min(open_, key=lambda cycle: shares[cycle])] += 1
    return sorted(index for c in cycles for index in _spread(indices[c], shares[c]))


def _spread(indices: Sequence[int], count: int) -> list[int]:
    """Return ``count`` of the indices: always the last, and with two or more the first."""
    if count == 1:
        return [indices[-1]]
    chosen = np.linspace(0, len(indices) - 1, count).round().astype(int)
    return [indices[n] for n in chosen]


def choose_slices(
    heart: NDArray[np.bool_], mutual_information: NDArray[np.floating]
) -> list[tuple[int, bool]]:
    """Return the slice of most disagreement, True, and of least, False; arrays are (Z, Y, X).

    The sum of the mutual information decides among the slices of the ``heart``. The result has one
    slice if the heart has only one, none if it has none.
    """
    (slices,) = np.nonzero(heart.any(axis=(1, 2)))
    if not len(slices):
        return []
    sums = mutual_information[slices].sum(axis=(1, 2))
    hard, easy = int(slices[np.argmax(sums)]), int(slices[np.argmin(sums)])
    return [(hard, True), (easy, False)] if hard != easy else [(hard, True)]


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the (Z, Y, X) largest connected part of a mask; an empty mask unchanged."""
    parts, count = ndimage.label(mask)
    return np.asarray(parts == 1 + np.argmax(np.bincount(parts.flat)[1:])) if count else mask

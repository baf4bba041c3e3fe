"""Findings in a segmented heart that contradict anatomy or the cardiac cycle.

Each leads to a slice. They are computed from labels and volumes alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

from ..types import LabelMap, Phase, Place
from .measurements import Structure
from .slice_volumes import Values, VolumesByPhase, heart_structures, label_volumes

PIECE_MM2: Final = 15.0
"""Area from which a separate piece counts. In the training references of ACDC it is 11 or less."""
OPEN_SHARE: Final = 0.05
"""Share of the border of the LV without myocardium that counts.

It is 0 in 99 % of the slices of the training references of ACDC.
"""
JUMP_SHARE: Final = 0.2
"""Difference from the mean of the neighbouring phases, as a share of the stroke volume."""
EXTREME_SHARE: Final = 0.1
"""Difference of the LV at ED or ES from its extreme volume, as a share of the stroke volume."""
REMOVED_ML: Final = 2.0
"""Volume apart from the heart from which its removal counts, mL."""
LEAST_PHASES: Final = 6
"""Phases that a curve needs."""
STROKE_SHARE: Final = 1 / 3
"""Smallest ratio of the smaller to the larger stroke volume of LV and RV without a shunt.

The references of 77 of 80 patients of ACDC, none of whom has a shunt, are above it.
"""
MASS_PATIENTS: Final = 20
"""Training patients that the usual range of the mass needs."""
_ALL_AROUND: Final = np.ones((3, 3), bool)
_USUAL: Final = (2.5, 97.5)
"""Percentiles of the training patients that bound the usual range, 95 % of them."""


class Fault(StrEnum):
    """Kind of a finding."""

    GAP = "gap"
    """A structure is missing between two slices that have it."""
    PIECES = "pieces"
    """A structure has separate pieces in a slice."""
    OPEN_WALL = "open wall"
    """The LV reaches out of its myocardium."""
    MASS = "mass"
    """The myocardial mass differs too much from that at end-diastole."""
    JUMP = "jump"
    """The volume of a ventricle jumps in one phase."""
    NOT_ED = "not ED"
    """The LV is larger than at end-diastole."""
    NOT_ES = "not ES"
    """The LV is smaller than at end-systole."""
    REMOVED = "removed"
    """Pieces that lie apart from the heart were removed."""
    ATRIUM = "atrium"
    """Most of a ventricle in a slice lies beyond its valve."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Finding about a ``structure``, to be looked at in the slice ``place``.

    ``amount`` is the area of the smaller piece in mm², the share of the border that is open, the
    number of missing slices, the removed volume or that beyond the valve in mL, or a difference of
    volumes as a share of the stroke volume, for `Fault.MASS` of the mass.
    """

    fault: Fault
    place: Place
    structure: Structure
    amount: float = field(default=0.0, compare=False)


@dataclass(frozen=True, kw_only=True)
class MassRange:
    """Usual (mass at end-systole − mass at end-diastole) / their mean, of the training patients.

    Masses differ between the phases because of the labels, not of the heart.
    """

    low: float
    high: float


def fit_mass_range(masses: Sequence[tuple[float, float]]) -> MassRange | None:
    """Return the usual range from the volumes of the myocardium at ED and ES of each patient.

    None for fewer than `MASS_PATIENTS`.
    """
    changes = [relative_change(ed, es) for ed, es in masses if ed > 0 and es > 0]
    if len(changes) < MASS_PATIENTS:
        return None
    low, high = np.percentile(changes, _USUAL)
    # Rounded outwards, so that rounding adds no finding.
    return MassRange(low=math.floor(1000 * low) / 1000, high=math.ceil(1000 * high) / 1000)


def slice_findings(
    labels: NDArray[Any], spacing: Sequence[float], structures: Mapping[str, int], place: Place
) -> list[Finding]:
    """Return separate pieces, and an LV that reaches out of its myocardium, in (Y, X) labels.

    ``spacing`` (y, x) in mm; ``structures`` maps names to labels.
    """
    heart = heart_structures(structures)
    drawn = scipy.ndimage.find_objects((labels > 0).astype(np.uint8))
    if not drawn:
        return []
    # A cavity at the edge of the box would lack its surroundings.
    inside = np.pad(labels[drawn[0]], 1)
    found = [
        Finding(fault=Fault.PIECES, place=place, structure=name, amount=area)
        for name, label in heart.items()
        if (area := _second_piece(inside == label) * spacing[0] * spacing[1]) > PIECE_MM2
    ]
    if "LV" in heart and "MYO" in heart:
        share = open_share(inside == heart["LV"], inside == heart["MYO"])
        if share > OPEN_SHARE:
            found.append(Finding(fault=Fault.OPEN_WALL, place=place, structure="LV", amount=share))
    return found


def removal_findings(
    removed: NDArray[Any], spacing: Sequence[float], structures: Mapping[str, int], phase: Phase
) -> list[Finding]:
    """Return a finding in the slice with most of the ``removed`` (Z, Y, X) labels.

    ``spacing`` (z, y, x) in mm; ``structures`` maps names to labels. The finding names the
    structure with the largest removed volume. None up to `REMOVED_ML` in all.
    """
    volumes = label_volumes(removed, spacing, structures)
    total = np.sum([*volumes.values()], axis=0)
    if not volumes or total.sum() <= REMOVED_ML:
        return []
    structure = max(volumes, key=lambda name: volumes[name].sum())
    place, amount = (phase, int(total.argmax())), float(total.sum())
    return [Finding(fault=Fault.REMOVED, place=place, structure=structure, amount=amount)]


def volume_findings(
    phases: VolumesByPhase,
    *,
    ed: int | None = None,
    es: int | None = None,
    mass_range: MassRange | None = None,
) -> list[Finding]:
    """Return gaps, unusual mass, and faults of the volume curves of LV and RV.

    ``ed`` and ``es`` are phases of ``phases``, None if unknown. A curve needs `LEAST_PHASES` phases
    without a gap between them.
    """
    found = [finding for phase in phases for finding in _gaps(phases, phase)]
    if ed in phases and ed is not None and mass_range is not None:
        found += _unusual_mass(phases, ed, es, mass_range)
    for side in ("LV", "RV"):
        table = _table(phases, side)
        if table is not None:
            found += _jumps(table, side)
    table = _table(phases, "LV")
    if table is not None and ed in phases and es in phases and ed is not None and es is not None:
        found += _other_extremes(table, ed, es)
    return found


def _second_piece(mask: NDArray[np.bool_]) -> int:
    """Return the voxels of the second largest connected piece of a (Y, X) mask."""
    parts, count = scipy.ndimage.label(mask, structure=_ALL_AROUND)
    return 0 if count < 2 else int(np.sort(np.bincount(parts[mask]))[-2])


def open_share(cavity: NDArray[np.bool_], wall: NDArray[np.bool_]) -> float:
    """Return the share of the voxels around the cavity that are not wall; 0 without a cavity."""
    around = scipy.ndimage.binary_dilation(cavity) & ~cavity
    return float(np.mean(~wall[around])) if around.any() else 0.0


def _gaps(phases: VolumesByPhase, phase: int | None) -> Iterator[Finding]:
    for name, volumes in phases[phase].labels.items():
        drawn = np.flatnonzero(volumes)
        missing = np.flatnonzero(np.diff(drawn) > 1)
        for before in missing:
            first, count = int(drawn[before]) + 1, int(drawn[before + 1] - drawn[before]) - 1
            place = (phase, first)
            yield Finding(fault=Fault.GAP, place=place, structure=name, amount=count)


def _unusual_mass(
    phases: VolumesByPhase, ed: int, es: int | None, usual: MassRange
) -> list[Finding]:
    """Return the phase whose myocardium differs most from that at end-diastole, if too much.

    Between the two phases, for which no training patient has labels, the larger end of the usual
    range counts in both directions.
    """
    walls = {p: v.labels["MYO"] for p, v in phases.items() if "MYO" in v.labels}
    if ed not in walls or not walls[ed].any():
        return []
    most = max(-usual.low, usual.high)
    changes, excess = {}, {}
    for phase, wall in walls.items():
        low, high = (usual.low, usual.high) if phase == es != ed else (-most, most)
        changes[phase] = change = relative_change(walls[ed].sum(), wall.sum())
        excess[phase] = max(low - change, change - high)
    worst = max(excess, key=lambda phase: excess[phase])
    if excess[worst] <= 0:
        return []
    place = (worst, int(np.abs(walls[worst] - walls[ed]).argmax()))
    return [Finding(fault=Fault.MASS, place=place, structure="MYO", amount=changes[worst])]


def relative_change(first: float, second: float) -> float:
    """Return (second − first) / their mean, −2 … 2, for volumes that are not both 0."""
    return float(2 * (second - first) / (second + first))


@dataclass(frozen=True, eq=False)
class _Table:
    """Volumes (T, Z) of a ventricle in consecutive ``phases``."""

    phases: tuple[int, ...]
    slices: Values

    @property
    def totals(self) -> Values:
        return np.asarray(self.slices.sum(axis=1))

    @property
    def stroke(self) -> float:
        return float(np.ptp(self.totals))

    def finding(self, fault: Fault, side: Structure, t: int, expected: Values) -> Finding:
        """Return the finding in the slice that differs most from its (Z,) expected volumes."""
        difference = self.slices[t] - expected
        place = (self.phases[t], int(np.abs(difference).argmax()))
        amount = float(difference.sum()) / self.stroke
        return Finding(fault=fault, place=place, structure=side, amount=amount)


def _table(phases: VolumesByPhase, side: Structure) -> _Table | None:
    """Return the volumes of all phases of a cine; None for too few, or if some are missing."""
    known = {p: v.labels[side] for p, v in phases.items() if p is not None and side in v.labels}
    numbers = tuple(sorted(known))
    if len(numbers) < LEAST_PHASES or numbers[-1] - numbers[0] != len(numbers) - 1:
        return None
    table = _Table(numbers, np.array([known[phase] for phase in numbers]))
    return table if table.stroke > 0 else None


def _jumps(table: _Table, side: Structure) -> Iterator[Finding]:
    """Yield the phases whose volume is far from the mean of both neighbours.

    The first and the last phase are left out, because not every cine covers the whole cycle.
    """
    neighbours = (table.slices[:-2] + table.slices[2:]) / 2
    shares = np.abs(table.totals[1:-1] - neighbours.sum(axis=1)) / table.stroke
    for t in np.flatnonzero(shares > JUMP_SHARE):
        if shares[t] >= shares[max(t - 1, 0) : t + 2].max():  # its neighbours are near to it
            yield table.finding(Fault.JUMP, side, int(t) + 1, neighbours[t])


def _other_extremes(table: _Table, ed: int, es: int) -> Iterator[Finding]:
    """Yield the phases in which the LV is clearly larger than at ED, or smaller than at ES."""
    totals = table.totals
    for fault, phase, t in (
        (Fault.NOT_ED, ed, int(totals.argmax())),
        (Fault.NOT_ES, es, int(totals.argmin())),
    ):
        chosen = table.slices[table.phases.index(phase)]
        if abs(totals[t] - chosen.sum()) > EXTREME_SHARE * table.stroke:
            yield table.finding(fault, "LV", t, chosen)


def fragment_share(labels: LabelMap, structures: Iterable[int]) -> float:
    """Return the share 0 … 1 of the structures' voxels that lie in separate pieces.

    ``labels`` (Z, Y, X). Pieces are voxels outside the largest connected part of their structure,
    such as those beyond a slice without the structure. 0 if no structure is drawn.
    """
    separate = drawn = 0
    for label in structures:
        mask = labels == label
        touching = scipy.ndimage.generate_binary_structure(3, 2)  # share a face or an edge
        parts, count = scipy.ndimage.label(mask, touching)
        if count:
            # The number 0 stands for voxels outside the mask, which are not counted here.
            sizes = np.bincount(parts[mask])
            separate += int(sizes.sum() - sizes.max())
            drawn += int(sizes.sum())
    return separate / drawn if drawn else 0.0


def open_wall_share(labels: LabelMap, cavity: int, wall: int) -> float:
    """Return the share 0 … 1 of the cavity's contour that does not touch the wall.

    ``labels`` (Z, Y, X); the contour runs between voxels of one slice. 0 without a cavity.
    """
    touching = contour = 0
    for axis in (1, 2):
        first = labels.take(range(labels.shape[axis] - 1), axis)
        second = labels.take(range(1, labels.shape[axis]), axis)
        for inside, outside in ((first, second), (second, first)):
            beside = outside[(inside == cavity) & (outside != cavity)]
            contour += beside.size
            touching += int(np.count_nonzero(beside == wall))
    return 1 - touching / contour if contour else 0.0

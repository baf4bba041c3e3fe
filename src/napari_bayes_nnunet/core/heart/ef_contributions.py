"""Contributions of single slices to the members' spread of the EF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .function import ejection_fraction
from .slice_volumes import PhaseVolumes, Values, VolumesByPhase, standard_deviation

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """Contribution of a slice ``z`` (from 0) of a phase to the spread of the EF, in points."""

    phase: int
    z: int
    points: float


def ef_contributions(phases: VolumesByPhase, *, ed: int, es: int) -> list[Contribution]:
    """Return the slices whose review would narrow the spread of the LV EF, the largest first.

    ``points`` is the current spread minus the spread after reviewing only this slice and keeping
    its labels. Slices that add nothing are left out. So are slices whose review would widen the
    spread: there, errors of the members compensate for another slice, which is not a reason to
    review them. Therefore the points need not add up to the spread.

    The list is empty without an EF or a spread: for one member, different numbers of members in ED
    and ES, or without the LV or a phase.
    """
    known = [phase for phase in (ed, es) if phase in phases]
    if ed == es or len(known) < 2 or any(phases[p].total("LV") is None for p in known):
        return []
    open_ed, open_es = (_if_reviewed(phases[phase]) for phase in (ed, es))
    if len(open_ed) != len(open_es):
        return []
    # The last column has no slice reviewed.
    edv, esv = open_ed[:, -1:], open_es[:, -1:]
    spread_now = standard_deviation(ejection_fraction(edv, esv))
    parts = {
        ed: spread_now - standard_deviation(ejection_fraction(open_ed[:, :-1], esv)),
        es: spread_now - standard_deviation(ejection_fraction(edv, open_es[:, :-1])),
    }
    contributions = [
        Contribution(phase=phase, z=z, points=float(points))
        for phase, by_slice in parts.items()
        for z, points in enumerate(by_slice)
        if points > _ROUNDING
    ]
    return sorted(contributions, key=lambda part: -part.points)


def _if_reviewed(volumes: PhaseVolumes) -> Values:
    """Return (n, Z + 1) mL of each member if slice z were reviewed, and at the end as now."""
    members = volumes.of_members("LV")
    total = members.sum(axis=1, keepdims=True)
    # A review of slice z replaces each member's volume there by that of the labels.
    return np.hstack([total + volumes.labels["LV"] - members, total])

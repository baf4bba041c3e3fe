"""Which slices leave the EF open: where the models' spread of it comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .function import ejection_fraction
from .measurements import Structure
from .slice_volumes import Values, VolumesByPhase, standard_deviation

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """What a slice ``z`` (from 0) of a phase adds to the spread of the EF, in points of EF."""

    phase: int
    z: int
    points: float


def ef_contributions(
    phases: VolumesByPhase, *, ed: int, es: int, structure: Structure = "LV"
) -> list[Contribution]:
    """The slices whose review would narrow the spread of the EF, the most first.

    ``points`` is the spread now minus the spread if, of all that is left, this slice alone were
    reviewed and its labels kept. Slices that add nothing are left out, and so are those that would
    widen the spread: the members are wrong there in a way that makes up for another slice, which
    is no reason to review it. So the points need not add up to the spread.

    [] where there is no EF or no spread: one member, ED and ES of unequal numbers of members, a
    structure or phase that is not there.
    """
    if ed == es or not all(_is_found(phases, phase, structure) for phase in (ed, es)):
        return []
    open_ed, open_es = (_if_reviewed(phases, phase, structure) for phase in (ed, es))
    if len(open_ed) != len(open_es):
        return []
    edv, esv = open_ed[:, -1:], open_es[:, -1:]
    now = standard_deviation(ejection_fraction(edv, esv))
    parts = {
        ed: now - standard_deviation(ejection_fraction(open_ed[:, :-1], esv)),
        es: now - standard_deviation(ejection_fraction(edv, open_es[:, :-1])),
    }
    found = [
        Contribution(phase=phase, z=z, points=float(points))
        for phase, by_slice in parts.items()
        for z, points in enumerate(by_slice)
        if points > _ROUNDING
    ]
    return sorted(found, key=lambda part: -part.points)


def _is_found(phases: VolumesByPhase, phase: int, structure: Structure) -> bool:
    return phase in phases and phases[phase].total(structure) is not None


def _if_reviewed(phases: VolumesByPhase, phase: int, structure: Structure) -> Values:
    """(n, Z + 1) mL of each member, if slice z were reviewed; last as things are."""
    volumes = phases[phase]
    members = volumes.of_members(structure)
    total = members.sum(axis=1, keepdims=True)
    return np.hstack([total + volumes.labels[structure] - members, total])

"""Volume of a ventricle over the cardiac cycle, with end-diastole and end-systole."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from ..types import Phase
from .measurements import Structure, end_diastole_and_systole
from .slice_volumes import VolumesByPhase


@dataclass(frozen=True, kw_only=True)
class VolumeCurve:
    """Volume of ``structure`` in each of ``phases`` (from 1), mL.

    ``ed`` and ``es`` are proposals, the phases of the largest and the smallest volume. They are
    None if fewer than two phases have the structure. ``provisional`` phases were not segmented by
    all members yet.
    """

    structure: Structure
    phases: tuple[int, ...]
    volumes: tuple[float, ...]
    ed: int | None
    es: int | None
    provisional: frozenset[int] = frozenset()


def volume_curve(
    phases: VolumesByPhase,
    *,
    structure: Structure = "LV",
    provisional: Collection[Phase] = (),
) -> VolumeCurve:
    """Return the curve through the ``phases`` that have the structure; empty for a 3D image."""
    totals = {
        phase: total
        for phase, volumes in sorted(phases.items(), key=lambda item: item[0] or 0)
        if phase is not None and (total := volumes.total(structure)) is not None
    }
    values = {phase: float(total[0]) for phase, total in totals.items()}
    ed, es = _proposal(values)
    return VolumeCurve(
        structure=structure,
        phases=tuple(values),
        volumes=tuple(values.values()),
        ed=ed,
        es=es,
        provisional=frozenset(values).intersection(provisional),
    )


def _proposal(values: dict[int, float]) -> tuple[int, int] | tuple[None, None]:
    if len(values) < 2:
        return None, None
    # The places in the list are the phases, also of those that are missing.
    every_phase = [values.get(phase, math.nan) for phase in range(1, max(values) + 1)]
    ed, es = end_diastole_and_systole(every_phase)
    return (ed, es) if ed != es else (None, None)

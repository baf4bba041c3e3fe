"""Values that stand beside the numbers of a review: normal ranges, or those by another rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from ...core.heart.function import Comparison, Measured, heart_function
from ...core.heart.measurements import volumes_ml
from ...core.heart.normal_ranges import compare
from ...core.heart.papillary import papillary_muscles
from ...core.heart.slice_volumes import PhaseVolumes, VolumesByPhase
from ...core.types import Phase
from ...io.study.arrays import select_phase
from .report_numbers import MUSCLE, OF_SITE, VALVE
from .session import ReviewSession

PAPILLARY: Final = (
    "Papillary muscles count as blood, unless the ensemble was trained on labels with another rule."
)
AS_MUSCLE: Final = (
    "“Muscle”: voxels of the LV cavity that are as dark in the image as the myocardium (Otsu's "
    "threshold, slice by slice) count as muscle. These are papillary muscles and trabeculae."
)
BY_VALVE_PLANE: Final = (
    "“Now”: whole slices. “Valve”: each slice counts with its share on the ventricle's side of the "
    "mitral (LV, myocardium) or tricuspid (RV) valve plane. The basal slice reaches up to the "
    "plane, at most one slice further."
)
NO_VALVE_PLANE: Final = (
    "“Valve” needs the points of a valve at ED and at ES. Mark them on a long axis."
)
NOTHING_BY_RULE: Final = "There are no intervals and no normal ranges by this rule."


def describe_rules(session: ReviewSession) -> list[str]:
    """Return sentences on the papillary rule, the normal ranges and the intervals of a review."""
    ranges = session.ranges.describe(session.state.patient)
    if session.state.papillary_as_muscle:
        return [PAPILLARY, AS_MUSCLE, NOTHING_BY_RULE]
    if session.state.by_valve_plane:
        known = _measure_by_valve(session)
        return [PAPILLARY, BY_VALVE_PLANE, NOTHING_BY_RULE, *(() if known else (NO_VALVE_PLANE,))]
    return [PAPILLARY, *ranges, *([OF_SITE.format(site=session.site)] if session.site else [])]


def add_comparisons(session: ReviewSession, numbers: Mapping[str, Measured]) -> dict[str, Measured]:
    """Return the numbers with their normal ranges.

    If the reader wants another rule, papillary muscles as muscle or volumes that end at the valve
    planes, they have the values by that rule instead.
    """
    if session.state.papillary_as_muscle:
        beside = _measure_as_muscle(session)
    elif session.state.by_valve_plane:
        beside = _measure_by_valve(session)
    else:
        patient, ranges = session.state.patient, session.ranges
        beside = {name: compare(n, patient, ranges) for name, n in numbers.items()}
    return {name: replace(n, comparison=beside.get(name)) for name, n in numbers.items()}


def _measure_as_muscle(session: ReviewSession) -> dict[str, Comparison | None]:
    """Return the numbers of the LV with its papillary muscles as muscle; {} without the image."""
    voxels = session.voxels
    labels = {str(n): label for n, label in session.heart_labels.items() if n != "RV"}
    # Muscles move from the cavity to the myocardium, so both are needed.
    if voxels is None or len(labels) < 2:
        return {}
    phases: dict[Phase, PhaseVolumes] = {}
    labels_now = session.labels_to_save()  # looking at an answer changes no number
    for phase in session.end_phases:
        image, drawn = select_phase(voxels, phase), select_phase(labels_now, phase)
        muscle = papillary_muscles(image, drawn, lv=labels["LV"], myo=labels["MYO"])
        by_rule = np.where(muscle, labels["MYO"], drawn)
        phases[phase] = PhaseVolumes.from_totals(volumes_ml(by_rule, session.spacing, labels))
    return _by_rule(session, phases, MUSCLE, "Papillary muscles as muscle", AS_MUSCLE)


def _measure_by_valve(session: ReviewSession) -> dict[str, Comparison | None]:
    """Return the numbers whose phases have the planes of their valve."""
    phases: dict[Phase, PhaseVolumes] = {}
    for phase in [p for p in session.end_phases if p in session.numbers.volumes]:
        volumes = session.numbers.volumes[phase].labels
        kept = {name: session.kept_in(phase, name) for name in volumes}
        phases[phase] = PhaseVolumes.from_totals(
            {name: float(k @ volumes[name]) for name, k in kept.items() if k is not None}
        )
    return _by_rule(session, phases, VALVE, "By the valve plane", BY_VALVE_PLANE)


def _by_rule(
    session: ReviewSession, phases: VolumesByPhase, title: str, lead: str, note: str
) -> dict[str, Comparison | None]:
    """Return the numbers of these volumes under a short ``title``, with a ``lead`` in full."""
    state = session.state
    numbers = heart_function(phases, ed=state.ed, es=state.es, patient=state.patient)
    return {
        name: Comparison(
            title=title, text=f"{number.value:.1f}", value=number.value, notes=(note,),
            lines=(f"{lead}: {number.value:.1f} {number.unit}.",),
        ) for name, number in numbers.items()
    }  # fmt: skip

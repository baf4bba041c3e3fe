"""Values that stand beside the numbers of a review: normal ranges, or another papillary rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from ...core.heart.function import Comparison, Measured, heart_function
from ...core.heart.measurements import volumes_ml
from ...core.heart.normal_ranges import compare
from ...core.heart.papillary import papillary_muscles
from ...core.heart.slice_volumes import PhaseVolumes
from ...core.types import Phase
from ...io.study.arrays import select_phase
from .session import ReviewSession

PAPILLARY: Final = (
    "Papillary muscles count as blood, unless the ensemble was trained on labels with another rule."
)
AS_MUSCLE: Final = (
    "“Muscle”: voxels of the LV cavity that are as dark in the image as the myocardium (Otsu's "
    "threshold, slice by slice) count as muscle. These are papillary muscles and trabeculae."
)
NOT_AS_MUSCLE: Final = "There are no intervals and no normal ranges by this rule."


def describe_rules(session: ReviewSession) -> list[str]:
    """Return sentences on the papillary rule and on the normal ranges of a review."""
    ranges = session.ranges.describe(session.state.patient)
    as_muscle = session.state.papillary_as_muscle
    return [PAPILLARY, *((AS_MUSCLE, NOT_AS_MUSCLE) if as_muscle else ranges)]


def add_comparisons(session: ReviewSession, numbers: Mapping[str, Measured]) -> dict[str, Measured]:
    """Return the numbers with their normal ranges.

    If the reader wants papillary muscles as muscle, they have the values by that rule instead.
    """
    if session.state.papillary_as_muscle:
        beside = _measure_as_muscle(session)
    else:
        patient, ranges = session.state.patient, session.ranges
        beside = {name: compare(n, patient, ranges) for name, n in numbers.items()}
    return {name: replace(n, comparison=beside.get(name)) for name, n in numbers.items()}


def _measure_as_muscle(session: ReviewSession) -> dict[str, Comparison | None]:
    """Return the numbers of the LV with its papillary muscles as muscle; {} without the image."""
    voxels, state = session.voxels, session.state
    labels = {str(n): label for n, label in session.heart_labels.items() if n != "RV"}
    if voxels is None or len(labels) < 2:
        return {}
    phases: dict[Phase, PhaseVolumes] = {}
    labels_now = session.labels_to_save()  # looking at an answer changes no number
    for phase in session.end_phases:
        image, drawn = select_phase(voxels, phase), select_phase(labels_now, phase)
        muscle = papillary_muscles(image, drawn, lv=labels["LV"], myo=labels["MYO"])
        by_rule = np.where(muscle, labels["MYO"], drawn)
        phases[phase] = PhaseVolumes.from_totals(volumes_ml(by_rule, session.spacing, labels))
    numbers = heart_function(phases, ed=state.ed, es=state.es, patient=state.patient)
    return {
        name: Comparison(
            title="Muscle", text=f"{number.value:.1f}", value=number.value, notes=(AS_MUSCLE,),
            lines=(f"Papillary muscles as muscle: {number.value:.1f} {number.unit}.",),
        ) for name, number in numbers.items()
    }  # fmt: skip

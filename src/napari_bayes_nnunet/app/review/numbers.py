"""Numbers of a study under review, updated slice by slice."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.stored_posterior import StoredPosterior
from ...core.heart.ef_contributions import Contribution, ef_contributions
from ...core.heart.function import Measured, Patient, heart_function
from ...core.heart.measurements import voxel_ml
from ...core.heart.slice_volumes import (
    PhaseVolumes,
    VolumesByPhase,
    heart_structures,
    label_volumes,
)
from ...core.heart.volume_curve import VolumeCurve, volume_curve
from ...core.metrics.conformal import IntervalRule
from ...core.review.progress import ReviewProgress, measure_progress, slice_uncertainty
from ...core.types import Phase, Place


class StudyNumbers:
    """Volumes, function and progress for the prediction and for the edited labels.

    ``labels``: phase (from 1, or None) → edited (Z, Y, X); ``spacing`` (z, y, x) in mm. ``rules``
    give the prediction intervals.
    """

    def __init__(
        self,
        posteriors: Mapping[Phase, StoredPosterior],
        labels: Mapping[Phase, NDArray[np.uint8]],
        spacing: Sequence[float],
        structures: Mapping[str, int],
        rules: Mapping[str, IntervalRule] | None = None,
    ) -> None:
        self._rules = rules or {}
        self._spacing = tuple(spacing)
        self._labels = heart_structures(structures)
        self._predicted = {
            phase: PhaseVolumes.from_labels(posterior.prediction, posterior, spacing, structures)
            for phase, posterior in posteriors.items()
        }
        self._edited = {
            phase: replace(
                volumes,
                labels=label_volumes(labels[phase], spacing, structures),
                reviewed=volumes.reviewed.copy(),
            )
            for phase, volumes in self._predicted.items()
        }
        self._uncertainty = {
            phase: slice_uncertainty(posterior, spacing) for phase, posterior in posteriors.items()
        }

    def recount(self, phase: Phase, z: int, labels: NDArray[np.uint8]) -> None:
        """Update the volumes for the new (Y, X) ``labels`` of slice ``z``."""
        ml = voxel_ml(self._spacing)
        for structure, label in self._labels.items():
            counts = self._edited[phase].labels[structure]
            counts[z] = np.count_nonzero(labels == label) * ml

    def snapshot(self) -> StudyNumbers:
        """Return a copy that later changes do not affect."""
        other = copy.copy(self)
        other._edited = {
            phase: replace(
                volumes,
                labels={name: values.copy() for name, values in volumes.labels.items()},
                reviewed=volumes.reviewed.copy(),
            )
            for phase, volumes in self._edited.items()
        }
        return other

    def set_reviewed(self, phase: Phase, z: int, reviewed: bool) -> None:
        """Set whether slice ``z`` is reviewed, so that its labels have no spread."""
        self._edited[phase].reviewed[z] = reviewed

    @property
    def volumes(self) -> VolumesByPhase:
        """Volumes in the edited labels."""
        return self._edited

    def measured(self, ed: Phase, es: Phase, patient: Patient) -> dict[str, Measured]:
        """Return the heart's function from the edited labels, by name.

        Numbers that are still those of the prediction have its intervals.
        """
        before = self.predicted(ed, es, patient)
        after = heart_function(self._edited, ed=ed, es=es, patient=patient)
        return {
            name: replace(measured, intervals=before[name].intervals)
            if name in before and measured.value == before[name].value
            else measured
            for name, measured in after.items()
        }

    def spreads_during(
        self, places: Sequence[Place], name: str, *, ed: Phase, es: Phase
    ) -> list[float]:
        """Return the spreads of a number after 0, 1 … of these slices, with the labels as now.

        None of them counts as reviewed before. NaN where the number is unknown.
        """
        phases = {
            phase: replace(volumes, reviewed=volumes.reviewed.copy())
            for phase, volumes in self._edited.items()
        }
        for phase, z in places:
            phases[phase].reviewed[z] = False
        spreads = [_spread_of(name, phases, ed=ed, es=es)]
        for phase, z in places:
            phases[phase].reviewed[z] = True
            spreads.append(_spread_of(name, phases, ed=ed, es=es))
        return spreads

    def predicted(self, ed: Phase, es: Phase, patient: Patient) -> dict[str, Measured]:
        """Return the heart's function from the prediction, with nothing reviewed."""
        return heart_function(self._predicted, ed=ed, es=es, patient=patient, rules=self._rules)

    def curves(self) -> list[VolumeCurve]:
        """Return the volume curves of LV and RV that have at least two phases."""
        curves = [volume_curve(self._edited, structure=side) for side in ("LV", "RV")]
        return [curve for curve in curves if len(curve.phases) > 1]

    def contributions(self, ed: Phase, es: Phase) -> list[Contribution]:
        """Return the slices that make the EF of the LV uncertain, largest contribution first."""
        if ed is None or es is None:
            return []
        return ef_contributions(self._edited, ed=ed, es=es)

    def progress(self, queue: Iterable[tuple[Phase, int]]) -> ReviewProgress:
        """Return how much of the queue and of the uncertain volume of its phases is reviewed."""
        cells = list(queue)
        phases = {phase for phase, _ in cells}
        return measure_progress(
            cells,
            reviewed={phase: self._edited[phase].reviewed for phase in phases},
            uncertainty={phase: self._uncertainty[phase] for phase in phases},
        )


def _spread_of(name: str, volumes: VolumesByPhase, *, ed: Phase, es: Phase) -> float:
    measured = heart_function(volumes, ed=ed, es=es).get(name)
    return math.nan if measured is None else measured.spread

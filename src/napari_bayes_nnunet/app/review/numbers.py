"""Numbers of a study under review, updated slice by slice."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.stored_posterior import StoredPosterior
from ...core.heart.ef_contributions import Contribution, ef_contributions
from ...core.heart.function import Intervals, Measured, Patient, heart_function
from ...core.heart.measurements import volumes_ml, voxel_ml
from ...core.heart.slice_volumes import (
    PhaseVolumes,
    heart_structures,
    label_volumes,
)
from ...core.heart.volume_curve import VolumeCurve, volume_curve
from ...core.metrics.conformal import NumberRule
from ...core.review.progress import ReviewProgress, measure_progress, slice_uncertainty
from ...core.types import Phase, Place


class StudyNumbers:
    """Volumes, function and progress for the prediction and for the edited labels.

    ``labels``: phase (from 1, or None) → edited (Z, Y, X); ``spacing`` (z, y, x) in mm. ``rules``
    give the intervals. ``volumes`` are those in the edited labels. ``looks`` (phase → labels) are
    provisional, and only in `shown_curves`.
    """

    def __init__(
        self,
        posteriors: Mapping[Phase, StoredPosterior],
        labels: Mapping[Phase, NDArray[np.uint8]],
        spacing: Sequence[float],
        structures: Mapping[str, int],
        rules: Mapping[str, NumberRule] | None = None,
        looks: Mapping[Phase, NDArray[Any]] | None = None,
    ) -> None:
        self.rules = rules or {}
        self._spacing = tuple(spacing)
        self._labels = heart_structures(structures)
        self._predicted = {
            phase: PhaseVolumes.from_labels(posterior.prediction, posterior, spacing, structures)
            for phase, posterior in posteriors.items()
        }
        self.volumes = {
            phase: replace(
                volumes,
                labels=label_volumes(labels[phase], spacing, structures),
                reviewed=volumes.reviewed.copy(),
            )
            for phase, volumes in self._predicted.items()
        }
        self._looks = {
            phase: PhaseVolumes.from_totals(volumes_ml(volume, spacing, structures))
            for phase, volume in (looks or {}).items()
        }
        self._uncertainty = {
            phase: slice_uncertainty(posterior, spacing) for phase, posterior in posteriors.items()
        }

    def recount(self, phase: Phase, z: int, labels: NDArray[np.uint8]) -> None:
        """Update the volumes for the new (Y, X) ``labels`` of slice ``z``."""
        ml = voxel_ml(self._spacing)
        for structure, label in self._labels.items():
            counts = self.volumes[phase].labels[structure]
            counts[z] = np.count_nonzero(labels == label) * ml

    def snapshot(self) -> StudyNumbers:
        """Return a copy that later changes do not affect."""
        other = copy.copy(self)
        # Nothing else changes during a review.
        other.volumes = {
            phase: replace(
                volumes,
                labels={name: values.copy() for name, values in volumes.labels.items()},
                reviewed=volumes.reviewed.copy(),
            )
            for phase, volumes in self.volumes.items()
        }
        return other

    def set_reviewed(self, phase: Phase, z: int, reviewed: bool) -> None:
        """Set whether slice ``z`` is reviewed, so that its labels have no spread."""
        self.volumes[phase].reviewed[z] = reviewed

    def measured(
        self, ed: Phase, es: Phase, patient: Patient, accepted: Sequence[Place] = ()
    ) -> dict[str, Measured]:
        """Return the heart's function from the edited labels, by name.

        An interval is the narrowest since the first of the ``accepted`` slices: it never widens
        when a slice is accepted, although the spread may rise, as deviations can cancel.
        """
        *before, now = self.during(accepted, ed, es, patient)
        return {
            name: replace(number, intervals=_narrowest([*(step[name] for step in before), number]))
            for name, number in now.items()
        }

    def during(
        self, places: Sequence[Place], ed: Phase, es: Phase, patient: Patient
    ) -> list[dict[str, Measured]]:
        """Return the numbers after 0, 1 … of these slices were reviewed, with the labels as now."""
        # The numbers need no other phases, of which a cine has many.
        volumes = {p: v for p, v in self.volumes.items() if p in (ed, es, None)}
        phases = {p: replace(v, reviewed=v.reviewed.copy()) for p, v in volumes.items()}
        measure = partial(heart_function, phases, ed=ed, es=es, patient=patient, rules=self.rules)
        measured = [place for place in places if place[0] in phases]
        for phase, z in measured:
            # The labels stay as now, so only the spread goes back.
            phases[phase].reviewed[z] = False
        steps = [measure()]
        for phase, z in measured:
            phases[phase].reviewed[z] = True
            steps.append(measure())
        return steps

    def predicted(self, ed: Phase, es: Phase, patient: Patient) -> dict[str, Measured]:
        """Return the heart's function from the prediction, with nothing reviewed."""
        return heart_function(self._predicted, ed=ed, es=es, patient=patient, rules=self.rules)

    def curves(self) -> list[VolumeCurve]:
        """Return the volume curves of LV and RV that have at least two phases."""
        curves = [volume_curve(self.volumes, structure=side) for side in ("LV", "RV")]
        return [curve for curve in curves if len(curve.phases) > 1]

    def shown_curves(self) -> list[VolumeCurve]:
        """Return the curves through the provisional phases too, which are never ED or ES."""
        # A phase that was segmented since it was looked at is no longer provisional.
        every = {**self._looks, **self.volumes}
        return [
            replace(
                volume_curve(every, structure=curve.structure, provisional=self._looks),
                ed=curve.ed,
                es=curve.es,
            )
            for curve in self.curves()
        ]

    def contributions(self, ed: Phase, es: Phase) -> list[Contribution]:
        """Return the slices that make the EF of the LV uncertain, largest contribution first."""
        if ed is None or es is None:
            return []
        return ef_contributions(self.volumes, ed=ed, es=es)

    def progress(self, queue: Iterable[tuple[Phase, int]]) -> ReviewProgress:
        """Return how much of the queue and of the uncertain volume of its phases is reviewed."""
        cells = list(queue)
        phases = {phase for phase, _ in cells}
        return measure_progress(
            cells,
            reviewed={phase: self.volumes[phase].reviewed for phase in phases},
            uncertainty={phase: self._uncertainty[phase] for phase in phases},
        )


def _narrowest(steps: Sequence[Measured]) -> Intervals:
    """Return the narrowest interval of a number at each level; all have the same value."""
    return {
        level: min(
            (step.intervals[level] for step in steps if level in step.intervals),
            key=lambda ends: ends[1] - ends[0],
        )
        for level in steps[-1].intervals
    }

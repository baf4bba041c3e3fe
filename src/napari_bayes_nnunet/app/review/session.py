"""Session of a review: queue, decisions, edits, numbers and usage log."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from time import monotonic
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.editing.alternatives import Alternative, find_alternatives
from ...core.editing.closed_curve import Points
from ...core.editing.presence import presence
from ...core.editing.smooth_contours import smooth_contours
from ...core.ensemble.stored_posterior import SlicePosterior
from ...core.heart.function import Measured
from ...core.heart.measurements import Structure, voxel_ml
from ...core.heart.normal_ranges import NormalRanges
from ...core.heart.plausibility import (
    Fault,
    Finding,
    removal_findings,
    slice_findings,
    volume_findings,
)
from ...core.heart.slice_volumes import base_is_first, heart_structures, is_basal
from ...core.heart.structures import HEART_STRUCTURES
from ...core.heart.surroundings import find_heart, find_surroundings
from ...core.heart.valve_plane import (
    ATRIAL_SHARE,
    VALVE_OF,
    Hinges,
    HingesKey,
    Valve,
    ValvePlane,
    fit_plane,
    hinges_in_phase,
    kept_share,
)
from ...core.heart.wall import Insertions, SliceWall, measure_wall
from ...core.review.progress import ReviewProgress
from ...core.review.queue import (
    DEFAULT_SCORE,
    REVIEW_SCORES,
    QueueItem,
    review_queue,
    slice_scores,
    usable_score,
)
from ...core.types import Phase, Place
from ...io.study.arrays import select_phase
from ...io.study.case_report import interval_rules, mass_range
from ...io.study.review_state import Decision, ReviewState, State
from ...io.study.study import Study
from ...io.study.usage_log import UseRow, changed_voxels
from ..prediction.output_files import FOUND_AMONG_CHOSEN
from ..report.number_warnings import number_warnings
from .numbers import StudyNumbers

LONGEST_LOOK_S: Final = 300.0
"""Longest viewing time that is logged; after it the reader was probably away."""
ScoresByPhase: TypeAlias = dict[Phase, dict[str, NDArray[np.float64]]]
"""Phase → structure → (Z,)."""


AllHinges: TypeAlias = Mapping[HingesKey, Hinges]
Decided: TypeAlias = tuple[Decision | None, State | None, Insertions | None, AllHinges]
"""Decision on a slice, its state before it was flagged, its moved insertions of the RV, and the
hinges of the valves."""


class UseRecorder:
    """Clock of a review, with the ``rows`` not written yet and the ``seconds`` of every slice."""

    def __init__(self, seconds: Mapping[Place, float]) -> None:
        self.rows: list[UseRow] = []
        self.seconds = dict(seconds)
        self._since = monotonic()

    def record(
        self,
        place: Place | None,
        tool: str,
        state: str,
        *,
        counts: tuple[int, int] = (0, 0),
        decided: bool = False,
    ) -> None:
        """Record work on a slice that has ended, with a tool or by viewing ("").

        ``counts``: voxels changed inside and outside the uncertain region. Views shorter than a
        second are left out, unless the reader has ``decided`` about the slice.
        """
        now = monotonic()
        seconds = min(now - self._since, LONGEST_LOOK_S)
        self._since = now
        if place is None or not (tool or decided or math.floor(seconds)):
            return
        self.seconds[place] = self.seconds.get(place, 0.0) + seconds
        self.rows.append(
            UseRow(
                time=datetime.now().astimezone(),
                phase=place[0],
                z=place[1],
                seconds=round(seconds, 1),
                tool=tool,
                inside=counts[0],
                outside=counts[1],
                state=state,
            )
        )


class ReviewSession:
    """Work of one reader on one study, fast enough for a call after every edit; no files, no Qt.

    ``labels`` are the corrected labels, (Z, Y, X) or (T, Z, Y, X), in the array that the window
    paints in. Call ``note_change`` after changing them. ``ranges`` are the normal ranges for its
    numbers, ``voxels`` those of the image, None if it is missing.
    """

    def __init__(self, study: Study, voxels: NDArray[Any] | None = None) -> None:
        self.study, self.voxels, self.ranges = study, voxels, NormalRanges()
        self.labels: NDArray[Any] = study.edited
        self.spacing = study.info.geometry.spacing
        self.structures = dict(study.info.structures)
        self.numbers = StudyNumbers(
            study.posteriors,
            {phase: select_phase(self.labels, phase) for phase in study.posteriors},
            self.spacing,
            self.structures,
            interval_rules(study.info.reports.values()),
            study.looks,
        )
        self.state = self._with_landmarks(study.review)
        if self.state.structure not in (None, *self.structures):
            self.change(structure=None)
        self._edited = self._find_edited()
        self.preview: tuple[Place, NDArray[Any]] | None = None
        """A slice with previewed labels, which count for nothing, and its (Y, X) labels to save."""
        self._alternatives: tuple[Place, list[Alternative]] | None = None
        self._presence: dict[tuple[Phase, int], NDArray[np.float64]] = {}
        self._scores: dict[tuple[Phase, str, bool], dict[str, NDArray[np.float64]]] = {}
        self._checked: dict[Place, list[Finding]] = {}
        self._removals: dict[Phase, list[Finding]] = {}
        self.walls: dict[Place, SliceWall | None] = {}
        """Walls with found insertions in the slices measured by `wall_in` as they are now."""
        self._kept: dict[tuple[Phase, Structure], tuple[AllHinges, NDArray[Any] | None]] = {}
        self.heart_labels = heart_structures(self.structures)
        self._mass_range = mass_range(study.info.reports.values())
        self._before_flag: dict[Place, State | None] = {}
        self._flagged_by_comment: set[Place] = set()
        self._withdrawn: dict[Place, tuple[Decision, NDArray[Any], Decision | None]] = {}
        """Acceptances that an edit withdrew, their (Y, X) labels, and what is left of them."""
        self._use = UseRecorder({p: d.seconds for p, d in self.state.decisions.items()})
        for place, decision in self.state.decisions.items():
            self._set_reviewed(place, decision)

    def snapshot(self) -> ReviewSession:
        """Return a copy for a thread, which later changes do not affect."""
        other = copy.copy(self)
        other.labels, other.numbers = self.labels_to_save(), self.numbers.snapshot()
        # No preview, because these labels are without it.
        other._edited, other.preview = set(self._edited), None
        other._checked, other._removals = dict(self._checked), dict(self._removals)
        other.walls, other._kept = dict(self.walls), dict(self._kept)
        other._use = copy.copy(self._use)
        other._use.rows = list(self._use.rows)
        return other

    def as_shown(self) -> ReviewSession:
        """Return this session, or a copy in which the preview counts if there is one."""
        if self.preview is None:
            return self
        (place, _), other = self.preview, self.snapshot()
        # A previewed slice is not accepted yet.
        other.labels, other.state = self.labels, self.state.with_decision(place, None)
        other.recount([place])
        return other

    # Phases and slices

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Phases that were segmented, even if their posterior is missing."""
        return self.study.info.phases

    @property
    def slices(self) -> int:
        """Number of slices of a phase."""
        return int(self.labels.shape[-3])

    @property
    def end_phases(self) -> tuple[Phase, ...]:
        """ED and ES, as far as they were segmented; all phases if both are unknown."""
        chosen = [phase for phase in (self.state.ed, self.state.es) if phase in self.phases]
        return tuple(dict.fromkeys(chosen)) or self.phases

    @property
    def queue_phases(self) -> tuple[Phase, ...]:
        """Phases in the queue: ED and ES, or all if they are unknown or the reader wants all."""
        return self.phases if self.state.all_phases else self.end_phases

    @cached_property
    def base_is_first(self) -> bool | None:
        """Whether the first slice is at the base, by position or shape; None if unknown."""
        # The shape alone had base and apex exchanged in a cine of six slices.
        by_position = self.study.info.geometry.starts_at_base
        return base_is_first(self.study.prediction) if by_position is None else by_position

    @property
    def seen_from_apex(self) -> bool | None:
        """Whether slices, as stored, are seen from the apex; None if the file does not say."""
        right_handed = self.study.info.geometry.is_right_handed
        if right_handed is None or self.base_is_first is None:
            return None
        return right_handed != self.base_is_first

    def has_place(self, place: Place) -> bool:
        """Return whether the image has this slice, segmented or not."""
        phase, z = place
        phases = [None] if self.labels.ndim == 3 else range(1, len(self.labels) + 1)
        return phase in phases and 0 <= z < self.slices

    def title_of(self, place: Place) -> str:
        """Return a slice as a reader says it: "Slice 5, ED", or "Slice 5" of a 3D image."""
        return f"S{self.name_of_slice(place)[1:]}"

    def name_of_slice(self, place: Place) -> str:
        """Return a slice within a sentence: "slice 5, ED", or "slice 5" of a 3D image."""
        phase, z = place
        name = f"slice {z + 1}"
        return name if phase is None else f"{name}, {self.name_of(phase)}"

    def name_of(self, phase: Phase) -> str:
        """Return "ED", "ES" or the number of another phase: "phase 7"."""
        names = {self.state.ed: "ED", self.state.es: "ES"}
        return names.get(phase, f"phase {phase}")

    def neighbour(self, place: Place, where: str) -> Place | None:
        """Return the place of the "slice above" or "below", "previous phase" or "next phase"."""
        phase, z = place
        found = {
            "slice above": (phase, z - 1),
            "slice below": (phase, z + 1),
            "previous phase": (phase - 1 if phase else None, z),
            "next phase": (phase + 1 if phase else None, z),
        }[where]
        is_there = found[0] in self.phases and 0 <= found[1] < self.slices
        return found if is_there else None

    def is_basal(self, place: Place) -> bool:
        """Return whether a slice is in the basal half of the heart or beyond; False if unknown."""
        phase, z = place
        predicted = select_phase(self.study.prediction, phase)
        return is_basal(predicted, z, base_first=self.base_is_first)

    def labels_in(self, place: Place) -> NDArray[Any]:
        """Return the corrected (Y, X) labels of a slice, not a copy."""
        plane: NDArray[Any] = select_phase(self.labels, place[0])[place[1]]
        return plane

    def predicted_in(self, place: Place) -> NDArray[np.uint8]:
        """Return the predicted (Y, X) labels of a slice."""
        plane: NDArray[np.uint8] = select_phase(self.study.prediction, place[0])[place[1]]
        return plane

    def posterior_in(self, place: Place) -> SlicePosterior | None:
        """Return the posterior of a slice; None if it is missing."""
        posterior = self.study.posteriors.get(place[0])
        return posterior.slice_at(place[1]) if posterior is not None else None

    def entropy_in(self, place: Place) -> NDArray[np.float32]:
        """Return the (Y, X) entropy of a slice, bit."""
        plane: NDArray[np.float32] = select_phase(self.study.entropy, place[0])[place[1]]
        return plane

    def removed_in(self, phase: Phase) -> NDArray[np.uint8]:
        """Return the (Z, Y, X) labels of a segmented phase that were removed and are not drawn.

        They lie apart from the heart.
        """
        posterior = self.study.posteriors[phase]
        return np.where(select_phase(self.labels, phase) == 0, posterior.removed, np.uint8(0))

    def alternatives_in(self, place: Place) -> list[Alternative]:
        """Return the alternatives for a slice; those of the last slice are cached."""
        if self._alternatives is None or self._alternatives[0] != place:
            posterior = self.posterior_in(place)
            self._alternatives = (
                place,
                find_alternatives(posterior, self.structures) if posterior is not None else [],
            )
        return self._alternatives[1]

    def contours_in(self, place: Place, labels: NDArray[Any]) -> dict[int, list[Points]]:
        """Return the contours of a slice with these (Y, X) labels, as the window draws them."""
        posterior, plane = self.study.posteriors.get(place[0]), None
        if posterior is not None:
            plane = posterior.plane_at((place[1], slice(None), slice(None)))
        return smooth_contours(labels, self.structures.values(), plane)

    def presence_in(self, phase: Phase, label: int) -> NDArray[np.float64] | None:
        """Return the (Z,) share of the members that see a structure; None without a posterior."""
        posterior = self.study.posteriors.get(phase)
        if posterior is None:
            return None
        if (phase, label) not in self._presence:
            self._presence[phase, label] = presence(posterior, label)
        return self._presence[phase, label]

    def wall_in(self, place: Place) -> SliceWall | None:
        """Return the wall of a slice without its preview, cached until its labels change.

        Insertions are those that the reader has moved. Slices are taken as seen from the apex, as
        scanners show them, if the file does not say otherwise. None if RV, MYO or LV are not
        structures of the study.
        """
        if len(self.heart_labels) < len(HEART_STRUCTURES):
            return None
        if place not in self.walls:
            is_shown = self.preview is not None and self.preview[0] == place
            labels = self.preview[1] if self.preview and is_shown else self.labels_in(place)
            from_apex = self.seen_from_apex is not False
            self.walls[place] = measure_wall(
                labels, self.spacing[1:], self.heart_labels, from_apex=from_apex
            )
        wall, moved = self.walls[place], self.state.insertions.get(place)
        return replace(wall, insertions=moved) if wall and moved else wall

    def hinges_in(self, phase: Phase, valve: Valve) -> dict[str, Hinges]:
        """Return the hinges of a valve in a phase on each long-axis plane that gives them."""
        known: dict[str, dict[Phase, Hinges]] = {}
        for (marked, of, view), hinges in self.state.hinges.items():
            if of == valve:
                known.setdefault(view, {})[marked] = hinges
        count = 1 if self.labels.ndim == 3 else len(self.labels)
        moved = {v: hinges_in_phase(phases, phase, count=count) for v, phases in known.items()}
        return {view: hinges for view, hinges in moved.items() if hinges is not None}

    def valve_plane(self, phase: Phase, valve: Valve) -> ValvePlane | None:
        """Return the plane of a valve in a phase, by the hinges that the reader has marked.

        None if they do not give it, or if the place or the base of the stack is unknown.
        """
        geometry, hinges = self.study.info.geometry, self.hinges_in(phase, valve).values()
        if not hinges or geometry.letters is None or self.base_is_first is None:
            return None
        to_base = geometry.affine[:3, 2] * (-1 if self.base_is_first else 1)
        return fit_plane(hinges, to_base=to_base)

    def kept_in(self, phase: Phase, structure: Structure) -> NDArray[np.float64] | None:
        """Return the (Z,) share of a structure in each slice on the ventricle's side of its valve.

        The basal slice may have up to 2, see `kept_share`. Previews do not count. None without the
        plane of the valve. Cached until labels of the phase or hinges change.
        """
        hinges, kept = self._kept.get((phase, structure), (None, None))
        # By identity, as every change of hinges makes a new mapping.
        if hinges is not self.state.hinges:
            kept = self._measure_kept(phase, structure)
            self._kept[phase, structure] = self.state.hinges, kept
        return kept

    def _measure_kept(self, phase: Phase, structure: Structure) -> NDArray[np.float64] | None:
        plane = self.valve_plane(phase, VALVE_OF[structure])
        if plane is None:
            return None
        drawn = select_phase(self.labels, phase) == self.heart_labels[structure]
        if self.preview is not None and self.preview[0][0] == phase:
            drawn[self.preview[0][1]] = self.preview[1] == self.heart_labels[structure]
        slices = np.flatnonzero(drawn.any(axis=(1, 2)))
        affine, kept = self.study.info.geometry.affine_in_mm, np.ones(len(drawn))
        for z in slices.tolist():
            # The basal slice may end below the valve, which is up to one slice further.
            most = 2 if z == slices[0 if self.base_is_first else -1] else 1
            kept[z] = kept_share(drawn[z], z, plane, affine, most=most)
        return kept

    def move_hinges(self, key: HingesKey, hinges: Hinges) -> None:
        """Set the hinges of a valve in a phase on a long-axis plane."""
        self.change(hinges={**self.state.hinges, key: hinges})

    def structure_name(self, label: int) -> str:
        """Return the name of a structure."""
        return next(name for name, value in self.structures.items() if value == label)

    @property
    def protected_labels(self) -> set[int]:
        """Labels of the locked structures."""
        return {self.structures[n] for n in self.state.protected if n in self.structures}

    def volume_in(self, place: Place, label: int) -> float:
        """Return the volume of a structure in one slice, mL."""
        voxels = int(np.count_nonzero(self.labels_in(place) == label))
        return voxels * voxel_ml(self.spacing)

    @cached_property
    def heart(self) -> NDArray[np.bool_]:
        """(Y, X) projection of the heart when the study was opened; empty if there is none."""
        # Once only: after edits, zoom and small pictures would jump.
        return find_heart(self.labels)

    @cached_property
    def _surroundings(self) -> NDArray[np.bool_]:
        return find_surroundings(self.heart, self.spacing[1:])

    def most_uncertain_in(self, place: Place) -> tuple[int, int]:
        """Return (y, x) of the highest mutual information, or entropy with a single model.

        Only the heart and its surroundings are searched, because other organs do not matter.
        """
        posterior = self.study.posteriors.get(place[0])
        maps = self.study.mutual_information, self.study.entropy
        several = posterior is not None and posterior.count > 1
        plane = select_phase(maps[0] if several else maps[1], place[0])[place[1]]
        # Below any uncertainty, so that a place near the heart is found even if all are 0.
        near = np.where(self._surroundings, plane, -1)
        y, x = np.unravel_index(int(near.argmax()), near.shape)
        return int(y), int(x)

    def corrected_slices(self, phase: Phase) -> set[int]:
        """Return the slices of a phase, from 0, that were edited or accepted."""
        accepted = {
            z
            for (p, z), decision in self.state.decisions.items()
            if p == phase and decision.state == "accepted"
        }
        return accepted | {z for p, z in self._edited if p == phase}

    # The queue

    @property
    def score(self) -> str:
        """Score that sorts the queue."""
        return self._usable[0]

    @property
    def score_sentence(self) -> str:
        """Reason why the queue is not sorted by the chosen score, else ""."""
        return self._usable[1]

    @property
    def _usable(self) -> tuple[str, str]:
        chosen = self.state.score if self.state.score in REVIEW_SCORES else DEFAULT_SCORE
        return usable_score(self.study.posteriors.values(), chosen)

    def scores(self) -> ScoresByPhase:
        """Return phase → structure → (Z,) scores of all phases with a posterior; cached."""
        inner = self.state.leave_out_border
        return {p: self._scores_of(p, self.score, inner) for p in self.study.posteriors}

    def default_scores(self, phases: Iterable[Phase] | None = None) -> ScoresByPhase:
        """Return the default scores, for which reviews are calibrated, by default of ED and ES."""
        ends = self.state.ed, self.state.es
        phases = [p for p in (ends if phases is None else phases) if p in self.study.posteriors]
        score, _ = usable_score(self.study.posteriors.values(), DEFAULT_SCORE)
        return {phase: self._scores_of(phase, score, False) for phase in phases}

    def _scores_of(self, phase: Phase, score: str, inner: bool) -> dict[str, NDArray[np.float64]]:
        """Return structure → (Z,) scores of a phase; ``inner`` ones leave the borders out."""
        key = phase, score, inner
        if key not in self._scores:
            self._scores[key] = slice_scores(
                self.study.posteriors[phase],
                self.structures,
                self.spacing,
                score=score,
                leave_out_border=inner,
            )
        return self._scores[key]

    def queue(self, scores: ScoresByPhase) -> list[QueueItem]:
        """Return the slices to review, the worst first."""
        known = {phase: scores[phase] for phase in self.queue_phases if phase in scores}
        structure = self.state.structure
        return self.with_findings(review_queue(known, structure=structure), structure)

    def to_accept(self, phases: Iterable[Phase] | None = None) -> list[Place]:
        """Return the slices to accept in ``phases``, whatever the reader sorts by or has chosen.

        They are those of the queue by the default score, the worst first, and those with findings
        or flags. All slices of a phase count if none is queued, because the posterior is missing
        or the members agree everywhere.
        """
        phases = [*(self.queue_phases if phases is None else phases)]
        queue = self.with_findings(review_queue(self.default_scores(phases)))
        queued = [(item.phase, item.z) for item in queue]
        whole = [phase for phase in phases if phase not in {place[0] for place in queued}]
        flagged = [p for p, d in self.state.decisions.items() if d.state == "flagged"]
        rest = [(phase, z) for phase in whole for z in range(self.slices)]
        places = dict.fromkeys([*queued, *flagged, *rest])
        return [place for place in places if place[0] in phases]

    def with_findings(
        self, queue: Sequence[QueueItem], structure: str | None = None
    ) -> list[QueueItem]:
        """Return a queue that starts with the slices of findings, in the order of the queue.

        They name the structure of their first finding. Slices that were not queued follow them,
        with a score of 0. With a ``structure``, only its findings count.
        """
        found: dict[Place, str] = {}
        for finding in self.findings():
            name = self.structure_name(self.heart_labels[finding.structure])
            if structure in (None, name):
                found.setdefault(finding.place, name)
        queued = {(item.phase, item.z) for item in queue}
        return [
            *(
                replace(item, structure=found[item.phase, item.z])
                for item in queue
                if (item.phase, item.z) in found
            ),
            *(
                QueueItem(phase=place[0], z=place[1], structure=name, score=0.0)
                for place, name in found.items()
                if place not in queued
            ),
            *(item for item in queue if (item.phase, item.z) not in found),
        ]

    def findings(self) -> list[Finding]:
        """Return what contradicts anatomy or the cardiac cycle in slices that are not accepted.

        Separate slices are checked in the phases of the queue, curves over all phases.
        """
        phases = [phase for phase in self.queue_phases if phase in self.study.posteriors]
        places = [(phase, z) for phase in phases for z in range(self.slices)]
        volumes = volume_findings(
            self.numbers.volumes, ed=self.state.ed, es=self.state.es, mass_range=self._mass_range
        )
        removals = map(self._removal_findings, phases)
        atria = map(self.atrial_findings, phases)
        # Gaps are faults of single slices, so only those in the queue count.
        return [
            finding
            for found in (volumes, *removals, *atria, *map(self._slice_findings, places))
            for finding in found
            if (finding.fault is not Fault.GAP or finding.place[0] in phases)
            and self.state_of(finding.place) != "accepted"
        ]

    def _removal_findings(self, phase: Phase) -> list[Finding]:
        """Return the findings on what was removed from a phase, cached until its labels change."""
        if phase not in self._removals:
            removed = self.removed_in(phase)
            self._removals[phase] = removal_findings(removed, self.spacing, self.structures, phase)
        return self._removals[phase]

    def atrial_findings(self, phase: Phase) -> list[Finding]:
        """Return the slices of a phase in which most of the LV or RV lies beyond its valve.

        The phase has a posterior. Their amount is the volume beyond, mL.
        """
        found: list[Finding] = []
        for structure in self.heart_labels if self.state.hinges else ():
            kept = self.kept_in(phase, structure) if structure != "MYO" else None
            if kept is not None:
                volumes = self.numbers.volumes[phase].labels[structure]
                beyond = np.flatnonzero(kept < 1 - ATRIAL_SHARE).tolist()
                found += [
                    Finding(
                        fault=Fault.ATRIUM,
                        place=(phase, z),
                        structure=structure,
                        amount=(1 - kept[z]) * volumes[z],
                    )
                    for z in beyond
                ]
        return found

    def _slice_findings(self, place: Place) -> list[Finding]:
        """Return the findings in the labels of a slice, cached until they change."""
        if place not in self._checked:
            labels, spacing = self.labels_in(place), self.spacing[1:]
            self._checked[place] = slice_findings(labels, spacing, self.structures, place)
        return self._checked[place]

    def first_place(self, queue: list[QueueItem]) -> Place:
        """Return where the reader stopped, else the first place of the queue, else the middle."""
        place = self.state.current
        if place is not None and self.has_place(place):
            return place
        return self.after(None, queue) or (self.phases[0], self.slices // 2)

    def after(self, place: Place | None, queue: list[QueueItem], *, step: int = 1) -> Place | None:
        """Return the place ``step`` further in the queue, or the first; None at the end."""
        places = [(item.phase, item.z) for item in queue]
        if place not in places:
            return places[0] if places else None
        index = places.index(place) + step
        return places[index] if 0 <= index < len(places) else None

    def next_open(self, place: Place, queue: list[QueueItem]) -> Place | None:
        """Return the next place that is not accepted; None if all are.

        After the end of the queue it is at its beginning, then among the other slices to accept.
        """
        places = [(item.phase, item.z) for item in queue]
        start = places.index(place) + 1 if place in places else 0

        def first(candidates: Iterable[Place]) -> Place | None:
            still_open = (p for p in candidates if p != place and self.state_of(p) != "accepted")
            return next(still_open, None)

        return first([*places[start:], *places[:start]]) or first(self.to_accept())

    def edited_places(self) -> list[Place]:
        """Return the slices whose labels differ from the prediction, in order."""
        return sorted(self._edited, key=lambda place: (place[0] or 0, place[1]))

    def marks(self) -> dict[Place, set[str]]:
        """Return the marks of each slice: "accepted", "flagged", "edited"."""
        marks: dict[Place, set[str]] = {place: {"edited"} for place in self._edited}
        for place, decision in self.state.decisions.items():
            marks.setdefault(place, set()).add(decision.state)
        return marks

    def state_of(self, place: Place | None) -> str:
        """Return "accepted" or "flagged"; "" for a slice without a decision, or for no slice."""
        decision = self.state.decisions.get(place) if place is not None else None
        return decision.state if decision is not None else ""

    # Actions of the reader

    def change(self, **changes: Any) -> None:
        """Change fields of the ReviewState."""
        self.state = replace(self.state, **changes)

    def finish(self) -> None:
        """Note that the review is finished, and when."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        self.change(finished=True, finished_on=now)

    def look_at(self, place: Place) -> None:
        """Note that a slice is on screen."""
        if place != self.state.current:
            self._use.record(self.state.current, "", self.state_of(self.state.current))
            self.change(current=place)

    def decide(self, place: Place, state: State | None) -> None:
        """Accept or flag a slice and keep its comment; None removes decision and comment."""
        self._use.record(place, "", state or self.state_of(place), decided=True)
        before = self.state.decisions.get(place)
        if state == "flagged" and before is not None:
            self._before_flag[place] = before.state
        comment = before.comment if before is not None else ""
        decision = self._decision(place, state, comment) if state is not None else None
        if decision is not None and before is not None and before.state == state:
            decision = replace(decision, when=before.when)  # the order of the accepted slices stays
        self.state = self.state.with_decision(place, decision)
        self._set_reviewed(place, decision)

    def decided(self, place: Place) -> Decided:
        """Return what is decided on a slice, for `put_back`."""
        state = self.state
        before_flag = self._before_flag.get(place)
        insertions = state.insertions.get(place)
        return state.decisions.get(place), before_flag, insertions, state.hinges

    def put_back(self, place: Place, decided: Decided, *, tool: str) -> None:
        """Undo or redo with ``tool`` what was decided on a slice: set an earlier decision."""
        before = self.state.decisions.get(place)
        decision, self._before_flag[place], insertions, hinges = decided
        stays = getattr(decision, "state", None) == getattr(before, "state", None)
        self.move_insertions(place, insertions)
        # Only another decision opens a finished review again.
        self.change(finished=self.state.finished and stays, hinges=hinges)
        self.state = self.state.with_decision(place, decision)
        self._set_reviewed(place, decision)
        self._use.record(place, tool, self.state_of(place))

    def move_insertions(self, place: Place, insertions: Insertions | None) -> None:
        """Set the insertions of the RV in a slice; None for those that are found."""
        moved = {p: known for p, known in self.state.insertions.items() if p != place}
        self.change(insertions=moved if insertions is None else {**moved, place: insertions})

    def unflag(self, place: Place) -> None:
        """Remove a flag; a slice that was accepted before becomes accepted again."""
        self.decide(place, self._before_flag.pop(place, None))

    def comment_on(self, place: Place, text: str) -> None:
        """Set the comment on a slice; a slice without a decision is flagged while it has one."""
        before = self.state.decisions.get(place)
        decision: Decision | None
        if before is None:
            self._flagged_by_comment.add(place)
            decision = self._decision(place, "flagged", text)
        elif not text and before.state == "flagged" and place in self._flagged_by_comment:
            decision = None
        else:
            decision = replace(before, comment=text)
        self.state = self.state.with_decision(place, decision)

    def _decision(self, place: Place, state: State, comment: str) -> Decision:
        return Decision(
            state=state,
            comment=comment,
            seconds=round(self._use.seconds.get(place, 0.0), 1),
            # Fine enough for the order of slices that are accepted in one second.
            when=datetime.now().astimezone().isoformat(timespec="microseconds"),
            edited=place in self._edited,
        )

    def note_change(
        self, places: Iterable[Place], *, tool: str, before: dict[Place, NDArray[Any]] | None = None
    ) -> list[Place]:
        """Note changed labels of slices; return those that are no longer accepted.

        ``before``: their earlier (Y, X) labels, for the log.
        """
        places = list(places)
        accepted = [place for place in places if self.state_of(place) == "accepted"]
        self.recount(places)
        for place in places:
            counts = (0, 0)
            if before is not None and place in before:
                labels = self.labels_in(place)
                counts = changed_voxels(before[place], labels, self.entropy_in(place))
            self._use.record(place, tool, self.state_of(place), counts=counts)
            if not self._accept_again(place):
                self._reopen(place, (before or {}).get(place))
        return [place for place in accepted if self.state_of(place) != "accepted"]

    def _reopen(self, place: Place, labels: NDArray[Any] | None) -> None:
        """Withdraw the acceptance of a changed slice; one with a comment becomes flagged.

        ``labels`` (Y, X) are those before the change; None if they are unknown.
        """
        before = self.state.decisions.get(place)
        if before is None:
            return
        self._before_flag.pop(place, None)
        stays = before.state == "flagged" or before.comment
        decision = replace(before, state="flagged", edited=place in self._edited) if stays else None
        if before.state == "accepted" and labels is not None:
            self._withdrawn[place] = before, labels, decision
        self.state = replace(self.state.with_decision(place, decision), finished=False)
        self._set_reviewed(place, decision)

    def _accept_again(self, place: Place) -> bool:
        """Return whether a slice has its accepted labels again and so is accepted again.

        It is not if the reader has decided otherwise since.
        """
        if place not in self._withdrawn:
            return False
        decision, labels, left = self._withdrawn[place]
        is_as_left = self.state.decisions.get(place) == left
        if not is_as_left or not np.array_equal(self.labels_in(place), labels):
            return False
        del self._withdrawn[place]
        self.state = self.state.with_decision(place, decision)
        self._set_reviewed(place, decision)
        return True

    def recount(self, places: Iterable[Place]) -> None:
        """Measure changed slices again."""
        for place in places:
            labels = self.labels_in(place)
            self._checked.pop(place, None)
            self.walls.pop(place, None)
            self._removals.pop(place[0], None)
            for structure in self.heart_labels:
                self._kept.pop((place[0], structure), None)
            if place[0] in self.study.posteriors:
                self.numbers.recount(*place, labels)
            if np.array_equal(labels, self.predicted_in(place)):
                self._edited.discard(place)
            else:
                self._edited.add(place)

    def labels_to_save(self) -> NDArray[Any]:
        """Return a copy of the labels without the preview."""
        # A thread writes them while the reader paints on.
        labels = self.labels.copy()
        if self.preview is not None:
            (phase, z), base = self.preview
            select_phase(labels, phase)[z] = base
        return labels

    def take_log(self) -> list[UseRow]:
        """Return the rows to be written and forget them."""
        rows, self._use.rows = self._use.rows, []
        return rows

    def peek_log(self) -> list[UseRow]:
        """Return the rows that are not written yet."""
        return list(self._use.rows)

    def give_back_log(self, rows: list[UseRow]) -> None:
        """Put back rows that could not be written."""
        # Before those recorded meanwhile, so that the log stays in the order of time.
        self._use.rows = [*rows, *self._use.rows]

    # The numbers

    @property
    def accepted(self) -> list[Place]:
        """Accepted slices with a posterior, the first accepted one first."""
        when = {p: d.when for p, d in self.state.decisions.items() if d.state == "accepted"}
        return sorted(filter(self._counts, when), key=lambda p: (when[p], p[0] or 0, p[1]))

    def measured(self) -> dict[str, Measured]:
        """Return the numbers of the edited labels."""
        state = self.state
        measured = self.numbers.measured(state.ed, state.es, state.patient, self.accepted)
        return self._by_rule(measured)

    def predicted(self) -> dict[str, Measured]:
        """Return the numbers of the prediction."""
        state = self.state
        return self._by_rule(self.numbers.predicted(state.ed, state.es, state.patient))

    def _by_rule(self, numbers: dict[str, Measured]) -> dict[str, Measured]:
        """Return numbers without intervals and spread if they are also given by another rule."""
        if not (self.state.papillary_as_muscle or self.state.by_valve_plane):
            return {name: replace(n, site=self.site) for name, n in numbers.items()}
        return {name: replace(n, intervals={}, spread=math.nan) for name, n in numbers.items()}

    @property
    def site(self) -> str:
        """Name of the profile whose intervals the numbers have, "" for those of the ensemble."""
        profiles = (report.get("profile", {}) for report in self.study.info.reports.values())
        return next((str(p["name"]) for p in profiles if "intervals" in p), "")

    def progress(self, queue: list[QueueItem]) -> ReviewProgress:
        """Return the progress of the review."""
        places = [(item.phase, item.z) for item in queue]
        return self.numbers.progress(places)

    def number_warnings(self) -> tuple[str, ...]:
        """Return warnings about numbers that no heart has, see `number_warnings`."""
        same_phase = self.state.ed is not None and self.state.ed == self.state.es
        numbers = {name: number.value for name, number in self.measured().items()}
        return tuple(number_warnings(numbers, same_phase=same_phase))

    @property
    def compared(self) -> int:
        """Number of phases in which ED and ES were looked for; 0 if in all, or known otherwise."""
        info, count = self.study.info, len(self.phases) + len(self.study.info.unfinished)
        if self.labels.ndim == 3 or count == len(self.labels):
            return 0
        found = {(info.ed, info.es)}
        if info.phases_from != FOUND_AMONG_CHOSEN:
            is_known = info.phases_from or {info.ed, info.es} <= {*self.phases}
            # The first curve is that of the LV, if there is one.
            found = set() if is_known else {(c.ed, c.es) for c in self.numbers.curves()[:1]}
        return count if (self.state.ed, self.state.es) in found else 0

    def _with_landmarks(self, state: ReviewState) -> ReviewState:
        """Return the state with ED and ES of the volume curve, unless it has its own.

        Its own are segmented, or of a source that the study names: other phases have another EF.
        """
        curve = next(iter(self.numbers.curves()), None)
        ends = {state.ed, state.es}
        known = ends <= {*self.phases} or (None not in ends and self.study.info.phases_from)
        if curve is None or curve.ed is None or known:
            return state
        return replace(state, ed=curve.ed, es=curve.es)

    def _find_edited(self) -> set[Place]:
        """Return the edited slices, including those of phases that were not segmented."""
        changed = (self.labels != self.study.prediction).any(axis=(-2, -1))
        places = np.argwhere(changed).tolist()
        return {(None, p[0]) if len(p) == 1 else (p[0] + 1, p[1]) for p in places}

    def _counts(self, place: Place) -> bool:
        """Return whether a slice has a part in the numbers."""
        return place[0] in self.study.posteriors and place[1] < self.slices

    def _set_reviewed(self, place: Place, decision: Decision | None) -> None:
        if self._counts(place):
            accepted = decision is not None and decision.state == "accepted"
            self.numbers.set_reviewed(*place, accepted)

"""Result of an ensemble for one image, which grows by member and phase."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...app.messages import FirstLookReady, PhaseDone, SnapshotReady
from ...app.prediction.output_files import FOUND_BY_VOLUME, with_geometry
from ...app.segmentation.settings import SegmentationSettings
from ...core.counts import phase_names
from ...core.ensemble.maps import MAPS, HasMaps
from ...core.ensemble.stored_posterior import StoredPosterior
from ...core.heart.function import Measured, heart_function
from ...core.heart.long_axis import LongAxis
from ...core.heart.measurements import Structure
from ...core.heart.patient_record import PatientRecord
from ...core.heart.slice_volumes import PhaseVolumes
from ...core.heart.volume_curve import VolumeCurve, volume_curve
from ...core.types import Phase
from ...io.ensemble.ensemble_folder import EnsembleFolder
from ...io.images.geometry import Geometry
from ...io.images.nifti import CardiacPhases
from ...io.study.arrays import read_posterior, round_map
from ...io.study.case_report import interval_rules
from ...io.study.study import Study
from ..common.wording import in_the_window
from .image_input import ImageInput

SIDES: Final[tuple[Structure, Structure]] = ("LV", "RV")


@dataclass(frozen=True)
class PhaseState:
    """Number of members that have segmented a phase, and the report after the last one.

    A ``provisional`` phase has only the first look of one network.
    """

    done: int
    total: int
    report: Mapping[str, Any] | None = None
    provisional: bool = False


@dataclass(frozen=True, kw_only=True)
class ResultNumbers:
    """Measurements by name, with the phases taken as ED and ES, None if unknown.

    ``curves`` also go through provisional phases of the ``count`` phases of the cine. ``compared``
    is the number of phases in which ED and ES were looked for, 0 if in all.
    """

    measured: Mapping[str, Measured]
    ed: Phase = None
    es: Phase = None
    curves: tuple[VolumeCurve, ...] = ()
    count: int = 0
    compared: int = 0


@dataclass(kw_only=True, eq=False)
class SegmentationResult(HasMaps):
    """Labels and uncertainty of an image on its grid, (Z, Y, X) or for a cine (T, Z, Y, X).

    ``labels`` is uint8, ``maps`` name → float32; all are 0 in phases that were not segmented. Maps
    that are not streamed are also 0 until all members are done. ``structures`` maps names to
    labels, without background.
    ``folder`` is that of the ensemble named ``ensemble``, ``made_by`` its content; for a study they
    are the study's folder and None, and only method and members of the ``settings`` are known.
    ``phase_cases`` are the names of all phases if they were joined from files of their own,
    ``image_notes`` what was noticed when the image was read, ``patient`` whose heart it shows.
    ``long_axes`` are of the same examination, as the user has last chosen them.
    ``phases`` has the state of each phase (from 1; None for a 3D image), ``requested`` the phases
    of a cine to segment last. ``looks`` are the (Z, Y, X) labels of the provisional phases: parts
    of ``labels``, or those of a study. ``posteriors`` has the members' results of finished phases,
    as copies, so that later results cannot change a study made from them. ``spacing`` (z, y, x) in
    mm is the one that the ensemble received, ``channels`` are the unique ids of the image's layers.
    """

    case: str
    shape: tuple[int, ...]
    classes: int
    structures: Mapping[str, int]
    folder: Path
    ensemble: str
    settings: SegmentationSettings
    made_by: EnsembleFolder | None = None
    source: Path | None = None
    geometry: Geometry | None = None
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: tuple[str, ...] = ()
    known_phases: CardiacPhases | None = None
    phases_from: str = ""
    phase_cases: tuple[str, ...] = ()
    image_notes: tuple[str, ...] = ()
    patient: PatientRecord | None = None
    long_axes: tuple[LongAxis, ...] = ()
    phases: dict[int | None, PhaseState] = field(default_factory=dict)
    requested: set[int] = field(default_factory=set)
    posteriors: dict[int | None, StoredPosterior] = field(default_factory=dict)
    _volumes: dict[int | None, tuple[StoredPosterior, PhaseVolumes]] = field(
        default_factory=dict, init=False
    )
    looks: dict[Phase, NDArray[np.uint8]] = field(default_factory=dict)
    _look_volumes: dict[Phase, PhaseVolumes] = field(default_factory=dict, init=False)
    labels: NDArray[np.uint8] = field(init=False)
    maps: Mapping[str, NDArray[np.float32]] = field(init=False)

    def __post_init__(self) -> None:
        # Untouched zeros take no memory, so only segmented phases do.
        self.labels = np.zeros(self.shape, np.uint8)
        self.maps = {name: np.zeros(self.shape, np.float32) for name in MAPS}

    @classmethod
    def from_study(cls, study: Study) -> SegmentationResult:
        """Return the result of a study; it shares the study's arrays."""
        info = study.info
        members = max((posterior.count for posterior in study.posteriors.values()), default=0)
        result = cls(
            case=info.case,
            shape=info.shape,
            classes=info.classes,
            structures=info.structures,
            folder=study.folder,
            ensemble=info.ensemble,
            settings=SegmentationSettings(method=info.method, members=members),
            source=Path(info.image.path) if info.image is not None else None,
            geometry=info.geometry,
            spacing=info.geometry.spacing,
            known_phases=CardiacPhases(info.ed, info.es) if info.ed and info.es else None,
            phase_cases=info.phase_cases,
            phases={phase: PhaseState(1, 1, info.reports[phase]) for phase in info.phases},
            posteriors=dict(study.posteriors),
            looks=dict(study.looks),
        )
        result.labels = study.prediction
        result.maps = study.maps
        return result

    def is_of(
        self, image: ImageInput, folder: EnsembleFolder, settings: SegmentationSettings
    ) -> bool:
        """Return whether new phases belong to this result; the job compares their reports, too."""
        requested = (image.shape, image.spacing, image.layers, folder, settings)
        known = (self.shape, self.spacing, self.channels, self.made_by, self.settings)
        return known == requested

    @property
    def warnings(self) -> list[str]:
        """Warnings of the reports, each once, with its phases unless it is in all."""
        return self._sentences("warnings")

    @property
    def notes(self) -> list[str]:
        """Notes of the reports, each once, with its phases unless it is in all."""
        return self._sentences("notes")

    def _sentences(self, entry: str) -> list[str]:
        phases_by_text: dict[str, list[int | None]] = {}
        for phase, state in self.phases.items():
            for sentence in dict.fromkeys((state.report or {}).get(entry, ())):
                phases_by_text.setdefault(sentence, []).append(phase)
        # Phases that have only a look have no report.
        total = sum(not state.provisional for state in self.phases.values())
        return [
            text if len(phases) == total else f"{phase_names(phases).capitalize()}: {text}"
            for text, phases in phases_by_text.items()
        ]

    @property
    def known_ends(self) -> tuple[CardiacPhases | None, str]:
        """``known_phases`` and ``phases_from``, or (None, "") if the curve decides.

        It decides once all members have segmented every phase: they know more than the one model
        that found ED and ES before, and the numbers are those of all phases segmented at once.
        """
        count = self.shape[0] if len(self.shape) == 4 else 0
        is_whole = self.posteriors.keys() >= {*range(1, count + 1)}
        if self.phases_from == FOUND_BY_VOLUME and is_whole:
            return None, ""
        return self.known_phases, self.phases_from

    def numbers(self) -> ResultNumbers:
        """Return EF, volumes and mass of the finished phases, with the spread of the members.

        ED and ES are the known ones, or else those of the volume curve, as in a review. Provisional
        phases decide with the others, but are not measured.
        """
        volumes = {phase: self._measure(phase, p) for phase, p in self.posteriors.items()}
        every = {**self._look_volumes, **volumes}
        curves = self._curves(every, provisional=set(every) - set(volumes))
        # All members may see a smaller LV in the ED of the looks than one saw in the phase beside.
        found = [_ends(curves), _ends(self._curves(self._look_volumes))]
        known, _ = self.known_ends
        ends = [known] if known else found
        ed, es = max(ends, key=lambda pair: len(volumes.keys() & set(pair)))
        reports = [state.report for state in self.phases.values() if state.report]
        measured = heart_function(volumes, ed=ed, es=es, rules=interval_rules(reports))
        count = self.shape[0] if len(self.shape) == 4 else 0
        seen = 0 if known else len(self.phases)
        compared = seen if seen < count else 0
        return ResultNumbers(
            measured=measured,
            ed=ed,
            es=es,
            curves=curves,
            count=count,
            compared=compared,
        )

    def _curves(
        self, volumes: Mapping[Phase, PhaseVolumes], provisional: Collection[Phase] = ()
    ) -> tuple[VolumeCurve, ...]:
        """Return the curves of LV and RV, as far as these were found in a phase of a cine."""
        curves = (volume_curve(volumes, structure=s, provisional=provisional) for s in SIDES)
        return tuple(curve for curve in curves if curve.phases)

    def _measure(self, phase: int | None, posterior: StoredPosterior) -> PhaseVolumes:
        """Return the volumes of a phase, which are counted once for its posterior."""
        counted = self._volumes.get(phase)
        if counted is None or counted[0] is not posterior:
            volumes = PhaseVolumes.from_labels(
                posterior.prediction, posterior, self.spacing, self.structures
            )
            counted = self._volumes[phase] = posterior, volumes
        return counted[1]

    def read(self, message: SnapshotReady | FirstLookReady, phase: int | None) -> None:
        """Read the arrays of a message into ``phase`` and delete their files.

        Those of a first look are not read if more is known of the phase. Can run in a thread:
        nothing else changes until `count` or `count_look` is called.
        """
        if isinstance(message, SnapshotReady) or self._is_open(phase):
            self.of_phase(self.labels, phase)[...] = np.load(message.labels)
            for name, values in self.maps.items():
                file = message.maps.get(name)
                self.of_phase(values, phase)[...] = np.load(file) if file else 0
        message.delete_files()

    def count_look(self, phase: int | None, volumes: Mapping[str, float]) -> None:
        """Record the first look at ``phase``, with its ``volumes`` in mL by structure."""
        if self._is_open(phase):
            self.phases[phase] = PhaseState(1, self.settings.members, provisional=True)
            self.looks[phase] = self.of_phase(self.labels, phase)
        self._look_volumes[phase] = PhaseVolumes.from_totals(volumes)

    @property
    def provisional(self) -> list[int | None]:
        """Phases that have only a first look."""
        return [phase for phase, state in self.phases.items() if state.provisional]

    @property
    def unfinished(self) -> tuple[int, ...]:
        """Phases of a cine that were requested last and are not finished."""
        return tuple(sorted(self.requested - self.posteriors.keys()))

    def _is_open(self, phase: int | None) -> bool:
        """Return whether at most a first look is known of a phase."""
        return phase not in self.phases or self.phases[phase].provisional

    def count(self, phase: int | None, done: int, total: int) -> None:
        """Record that the arrays of ``phase`` include ``done`` of ``total`` members."""
        self.phases[phase] = PhaseState(done, total)
        # The members' own labels replace what one of them showed first.
        self.looks.pop(phase, None)
        self.posteriors.pop(phase, None)  # of an earlier segmentation

    def read_posterior(self, message: PhaseDone, phase: int | None) -> StoredPosterior | None:
        """Read the members' results of ``phase`` and delete their file; None without a file.

        Can run in a thread, after the last snapshot of the phase was read: nothing else changes.
        """
        if not message.posterior:
            return None
        file = Path(message.posterior)
        posterior = read_posterior(
            file,
            prediction=self.of_phase(self.labels, phase).copy(),
            maps={
                name: round_map(self.of_phase(values, phase)) for name, values in self.maps.items()
            },
        )
        # It was written for this window only.
        file.unlink()
        self._measure(phase, posterior)  # here, because it may take longer than a frame
        return posterior

    def finish(
        self,
        phase: int | None,
        report: Mapping[str, Any],
        posterior: StoredPosterior | None = None,
    ) -> None:
        """Store report and posterior of a phase that all members have segmented."""
        state = self.phases[phase]
        report = {**report, "notes": [*self.image_notes, *report.get("notes", ())]}
        if self.geometry is not None:
            report = with_geometry(report, self.geometry, word=in_the_window)
        self.phases[phase] = PhaseState(state.total, state.total, report)
        if posterior is not None:
            self.posteriors[phase] = posterior

    def forget(self, phases: Iterable[int | None]) -> None:
        """Remove all that is known of ``phases``."""
        for phase in phases:
            del self.phases[phase]
            self.posteriors.pop(phase, None)
            self._look_volumes.pop(phase, None)
            self.looks.pop(phase, None)
            self.requested -= {phase}
            self.of_phase(self.labels, phase)[...] = 0
            for values in self.maps.values():
                self.of_phase(values, phase)[...] = 0

    def of_phase(self, values: NDArray[Any], phase: int | None) -> NDArray[Any]:
        """Return the (Z, Y, X) part of one of the arrays."""
        return values if phase is None else values[phase - 1]


def _ends(curves: Iterable[VolumeCurve]) -> tuple[Phase, Phase]:
    """Return ED and ES of the first curve with several phases."""
    return next(((c.ed, c.es) for c in curves if len(c.phases) > 1), (None, None))

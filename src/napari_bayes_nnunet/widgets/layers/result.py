"""What an ensemble said of one image so far; grows member by member, phase by phase."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...app.messages import Message, PhaseDone, SnapshotReady
from ...app.segmentation.settings import SegmentationSettings
from ...core.ensemble.stored_posterior import StoredPosterior
from ...io.images.geometry import Geometry
from ...io.images.nifti import CardiacPhases
from ...io.study.arrays import read_posterior, rounded
from ...io.study.study import Study

PHASES_NAMED = 4
"""More phases than these are only counted in a sentence."""


@dataclass(frozen=True)
class PhaseState:
    """How many of the members have answered for a phase, and the report after the last."""

    done: int
    total: int
    report: Mapping[str, Any] | None = None


@dataclass(kw_only=True, eq=False)
class SegmentationResult:
    """Labels and uncertainty of an image, on its grid (Z, Y, X), for a cine (T, Z, Y, X).

    ``labels`` uint8, ``entropy`` and ``mutual_information`` float32 in bit; 0 in phases that were
    not segmented. ``structures``: name → label without background. ``folder`` holds the ensemble
    of the name ``ensemble``; for a study it is the study's, and of the ``settings`` only method and
    members are known. ``phases`` is the state of each phase (from 1; None is the one phase of a 3D
    image), ``posteriors`` are the members' results in finished phases: copies, so that a study made
    of them does not change. ``spacing`` (z, y, x) in mm is the one the ensemble was given.
    """

    case: str
    shape: tuple[int, ...]
    classes: int
    structures: Mapping[str, int]
    folder: Path
    ensemble: str
    settings: SegmentationSettings
    source: Path | None = None
    geometry: Geometry | None = None
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    known_phases: CardiacPhases | None = None
    phases_from: str = ""
    phases: dict[int | None, PhaseState] = field(default_factory=dict)
    posteriors: dict[int | None, StoredPosterior] = field(default_factory=dict)
    labels: NDArray[np.uint8] = field(init=False)
    entropy: NDArray[np.float32] = field(init=False)
    mutual_information: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        # Zeros take memory only where they are written to: the phases that are segmented.
        self.labels = np.zeros(self.shape, np.uint8)
        self.entropy = np.zeros(self.shape, np.float32)
        self.mutual_information = np.zeros(self.shape, np.float32)

    @classmethod
    def of_study(cls, study: Study) -> SegmentationResult:
        """What a study says, its arrays shared."""
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
            phases={phase: PhaseState(1, 1, info.reports[phase]) for phase in info.phases},
            posteriors=dict(study.posteriors),
        )
        result.labels = study.prediction
        result.entropy = study.entropy
        result.mutual_information = study.mutual_information
        return result

    @property
    def warnings(self) -> list[str]:
        """What the reports warn of and note, each once; and of which phases, if not of all."""
        said: dict[str, list[int | None]] = {}
        for phase, state in self.phases.items():
            report = state.report or {}
            found = (*report.get("warnings", ()), *report.get("notes", ()))
            for sentence in dict.fromkeys(found):
                said.setdefault(sentence, []).append(phase)
        everywhere = len(self.phases)
        return [
            text if len(phases) == everywhere else f"{phase_names(phases).capitalize()}: {text}"
            for text, phases in said.items()
        ]

    @property
    def largest_entropy(self) -> float:
        """log2 C, bit: all C classes, background included, are equally probable."""
        return math.log2(self.classes)

    def read(self, snapshot: SnapshotReady, phase: int | None) -> None:
        """Read the arrays of a snapshot into ``phase`` and delete their files.

        For a thread: nothing else changes until ``count`` is called.
        """
        place = ... if phase is None else phase - 1
        targets: tuple[NDArray[Any], ...] = (self.labels, self.entropy, self.mutual_information)
        for target, file in zip(targets, snapshot_files(snapshot), strict=True):
            target[place] = np.load(file)
            file.unlink()

    def count(self, phase: int | None, done: int, total: int) -> None:
        """Note how many members the arrays of ``phase`` stand for."""
        self.phases[phase] = PhaseState(done, total)
        self.posteriors.pop(phase, None)  # of an earlier answer

    def read_posterior(self, message: PhaseDone, phase: int | None) -> StoredPosterior | None:
        """Read what the members said of ``phase`` and delete the file; None where there is none.

        For a thread, after the last snapshot of the phase was read: nothing changes here.
        """
        if not message.posterior:
            return None
        file = Path(message.posterior)
        posterior = read_posterior(
            file,
            prediction=self.of_phase(self.labels, phase).copy(),
            entropy=rounded(self.of_phase(self.entropy, phase)),
            mutual_information=rounded(self.of_phase(self.mutual_information, phase)),
        )
        file.unlink()
        return posterior

    def finish(
        self,
        phase: int | None,
        report: Mapping[str, Any],
        posterior: StoredPosterior | None = None,
    ) -> None:
        """Keep the report, and the posterior, of a phase all members have answered for."""
        state = self.phases[phase]
        self.phases[phase] = PhaseState(state.total, state.total, report)
        if posterior is not None:
            self.posteriors[phase] = posterior

    def of_phase(self, values: NDArray[Any], phase: int | None) -> NDArray[Any]:
        """The (Z, Y, X) part of one of the arrays."""
        return values if phase is None else values[phase - 1]


def phase_names(phases: Iterable[int | None]) -> str:
    """In a sentence: phase 7; phases 7, 20; or how many they are."""
    numbers = sorted(phase for phase in phases if phase is not None)
    if len(numbers) > PHASES_NAMED:
        return f"{len(numbers)} phases"
    return f"phase{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def snapshot_files(snapshot: SnapshotReady) -> tuple[Path, Path, Path]:
    """The files of labels, entropy and mutual information."""
    return Path(snapshot.labels), Path(snapshot.entropy), Path(snapshot.mutual_information)


def delete_files(message: Message) -> None:
    """Delete the arrays of a message nobody waits for any more."""
    if isinstance(message, SnapshotReady):
        for file in snapshot_files(message):
            file.unlink(missing_ok=True)
    elif isinstance(message, PhaseDone) and message.posterior:
        Path(message.posterior).unlink(missing_ok=True)

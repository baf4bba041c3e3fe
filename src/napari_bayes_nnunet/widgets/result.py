"""What an ensemble said of one image so far; grows member by member, phase by phase."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..app.messages import SnapshotReady
from ..io.geometry import Geometry
from ..io.nifti import Phases

"""How ED and ES can be known."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """How the ensemble was asked. Results of equal questions go into the same layers."""

    folder: Path
    ensemble: str
    method: str
    members: int
    mirroring: str


@dataclass(frozen=True)
class PhaseState:
    """How many of the members have answered for a phase, and the report after the last."""

    done: int
    total: int
    report: Mapping[str, Any] | None = None


@dataclass(kw_only=True, eq=False)
class Result:
    """Labels and uncertainty of an image, on its grid (Z, Y, X), for a cine (T, Z, Y, X).

    ``labels`` uint8, ``entropy`` and ``mutual_information`` float32 in bit; 0 in phases that were
    not segmented. ``structures``: name → label without background. ``phases`` says what is known
    of each phase (from 1; None is the one phase of a 3D image).
    """

    case: str
    shape: tuple[int, ...]
    classes: int
    structures: Mapping[str, int]
    question: Question
    source: Path | None = None
    geometry: Geometry | None = None
    known_phases: Phases | None = None
    phases_from: str = ""
    phases: dict[int | None, PhaseState] = field(default_factory=dict)
    labels: NDArray[np.uint8] = field(init=False)
    entropy: NDArray[np.float32] = field(init=False)
    mutual_information: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        # Zeros take memory only where they are written to: the phases that are segmented.
        self.labels = np.zeros(self.shape, np.uint8)
        self.entropy = np.zeros(self.shape, np.float32)
        self.mutual_information = np.zeros(self.shape, np.float32)

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

    def finish(self, phase: int | None, report: Mapping[str, Any]) -> None:
        """Keep the report of a phase all members have answered for."""
        state = self.phases[phase]
        self.phases[phase] = PhaseState(state.total, state.total, report)

    def of_phase(self, values: NDArray[Any], phase: int | None) -> NDArray[Any]:
        """The (Z, Y, X) part of one of the arrays."""
        return values if phase is None else values[phase - 1]


def snapshot_files(snapshot: SnapshotReady) -> tuple[Path, Path, Path]:
    """The files of labels, entropy and mutual information."""
    return Path(snapshot.labels), Path(snapshot.entropy), Path(snapshot.mutual_information)


def delete_snapshot(snapshot: SnapshotReady) -> None:
    """Delete the arrays of a snapshot nobody waits for any more."""
    for file in snapshot_files(snapshot):
        file.unlink(missing_ok=True)

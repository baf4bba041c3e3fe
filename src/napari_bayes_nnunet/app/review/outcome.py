"""Outcome of a review, the contents of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.heart.function import Measured
from ...core.heart.volume_curve import VolumeCurve
from ...core.review.progress import ReviewProgress
from ...core.types import Place
from ...io.images.geometry import Letters
from ...io.study.review_state import Decision
from ...io.study.usage_log import UseSummary


@dataclass(frozen=True, kw_only=True, eq=False)
class CorrectedSlice:
    """A slice ``z`` (from 0) whose labels were changed; all arrays (Y, X)."""

    phase: int | None
    z: int
    image: NDArray[Any]
    before: NDArray[np.integer]
    after: NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class LabelChanges:
    """Labels that differ from the prediction now: ``voxels`` in ``slices``.

    ``uncertain`` of the voxels have an entropy above `UNCERTAIN_ABOVE`.
    """

    slices: int = 0
    voxels: int = 0
    uncertain: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class ReviewOutcome:
    """Outcome of the review of one image.

    ``study`` is the pseudonym; only the last part of a path is shown. ``spacing`` (z, y, x) in mm.
    ``before`` are the numbers of the prediction with nothing reviewed, ``after`` those of the
    edited labels, ``phase_cases`` the names of all phases if they were joined from files of their
    own, and ``open_slices`` how many slices of the phases of each are still to accept.
    ``papillary`` is a sentence on how papillary muscles count. ``predictions``:
    phase → the report of its segmentation, as in the JSON file of a case. ``corrected`` is None if
    the image is not available.
    """

    study: str
    structures: Mapping[str, int]
    spacing: tuple[float, float, float]
    before: Mapping[str, Measured]
    after: Mapping[str, Measured]
    papillary: str
    made: datetime
    ed: int | None = None
    es: int | None = None
    phase_cases: Sequence[str] = ()
    open_slices: Mapping[str, int] = field(default_factory=dict)
    curves: Sequence[VolumeCurve] = ()
    progress: ReviewProgress | None = None
    changes: LabelChanges = LabelChanges()
    corrected: Sequence[CorrectedSlice] | None = ()
    decisions: Mapping[Place, Decision] = field(default_factory=dict)
    use: UseSummary | None = None
    predictions: Mapping[int | None, Mapping[str, Any]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    letters: Letters | None = None

    @property
    def name(self) -> str:
        """Name of the study without its folder, which may contain the patient's name."""
        return self.study.replace("\\", "/").rstrip("/").rpartition("/")[2]

    def phase_title(self, phase: int | None) -> str:
        """Return a title such as "Phase 8 (ES)"; "" for a 3D image."""
        if phase is None:
            return ""
        role = " (ED)" if phase == self.ed else " (ES)" if phase == self.es else ""
        return f"Phase {phase}{role}"

    def place(self, phase: int | None, z: int) -> str:
        """Return a title such as "Phase 8 (ES), slice 3"."""
        title = self.phase_title(phase)
        return f"{title}, slice {z + 1}" if title else f"Slice {z + 1}"


def all_names(before: Mapping[str, Measured], after: Mapping[str, Measured]) -> list[str]:
    """Return the names after review in order, then those that only the prediction has."""
    return [*after, *(name for name in before if name not in after)]

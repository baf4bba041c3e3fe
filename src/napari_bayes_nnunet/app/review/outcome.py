"""What the review of one image came to: all that a report tells of it."""

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


@dataclass(frozen=True, kw_only=True, eq=False)
class ReviewOutcome:
    """The review of one image.

    ``study`` is the pseudonymous name; of a path only the last part is told. ``spacing`` (z, y, x)
    in mm. ``before`` are the numbers of the prediction with nothing reviewed, ``after`` those of
    the edited labels. ``papillary`` says in a sentence how the training labels count papillary
    muscles. ``predictions``: phase → the report of its segmentation, as in the JSON file of a case.
    ``corrected`` is None where the image that belongs under the outlines is not at hand.
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
    curves: Sequence[VolumeCurve] = ()
    progress: ReviewProgress | None = None
    corrected: Sequence[CorrectedSlice] | None = ()
    decisions: Mapping[Place, Decision] = field(default_factory=dict)
    use: UseSummary | None = None
    predictions: Mapping[int | None, Mapping[str, Any]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    letters: Letters | None = None

    @property
    def name(self) -> str:
        """The study's name without its folder, which might name the patient."""
        return self.study.replace("\\", "/").rstrip("/").rpartition("/")[2]

    def phase_title(self, phase: int | None) -> str:
        """Such as "Phase 8 (ES)"; "" for a 3D image."""
        if phase is None:
            return ""
        role = " (ED)" if phase == self.ed else " (ES)" if phase == self.es else ""
        return f"Phase {phase}{role}"

    def place(self, phase: int | None, z: int) -> str:
        """Such as "Phase 8 (ES), slice 3"."""
        title = self.phase_title(phase)
        return f"{title}, slice {z + 1}" if title else f"Slice {z + 1}"


def all_names(before: Mapping[str, Measured], after: Mapping[str, Measured]) -> list[str]:
    """The names of both in reading order: as after the review, then what is there no more."""
    return [*after, *(name for name in before if name not in after)]

"""How unsure an ensemble is of each slice of a volume, structure by structure.

Every score comes from the posterior alone. How well each finds the wrong voxels was measured: see
docs/explanation/review_queue.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..ensemble.stored_posterior import CERTAIN, StoredPosterior
from ..metrics.border import border_band, far_from_contours
from ..types import Mask

SliceScores: TypeAlias = NDArray[np.float64]
"""(Z,) one number a slice, 0 or more: the higher, the sooner it should be looked at."""


@dataclass(frozen=True, eq=False)
class Boxed:
    """A posterior inside its box, and which of its voxels count. ``spacing`` (z, y, x) in mm."""

    posterior: StoredPosterior
    spacing: tuple[float, float, float]
    leave_out_border: bool

    @property
    def voxel_mm2(self) -> float:
        """Area of a voxel in its slice, mm²."""
        return self.spacing[1] * self.spacing[2]

    @cached_property
    def prediction(self) -> NDArray[np.uint8]:
        """(z, y, x) labels of the ensemble as a whole."""
        return self.posterior.prediction[self.posterior.box]

    @cached_property
    def counted(self) -> Mask | None:
        """(z, y, x) voxels that touch no drawn contour; None where all count."""
        if not self.leave_out_border:
            return None
        return ~border_band(self.posterior.prediction)[self.posterior.box]

    @cached_property
    def far(self) -> Mask:
        """(z, y, x) voxels more than 3 mm from every drawn contour of their slice."""
        return far_from_contours(self.posterior.prediction, self.spacing)[self.posterior.box]


@dataclass(frozen=True, eq=False)
class Votes:
    """What the members say of one structure, inside the box of their posterior."""

    boxed: Boxed
    label: int

    @cached_property
    def members(self) -> Mask:
        """(n, z, y, x) counted voxels that a member labels as the structure."""
        said: Mask = self.boxed.posterior.members == self.label
        return said if self.boxed.counted is None else said & self.boxed.counted

    @cached_property
    def count(self) -> NDArray[np.uint16]:
        """(z, y, x) how many members do."""
        return np.asarray(np.add.reduce(self.members, axis=0, dtype=np.uint16))

    @cached_property
    def disputed(self) -> Mask:
        """(z, y, x) voxels that some but not all members label so."""
        return (self.count > 0) & (self.count < self.boxed.posterior.count)


def mutual_information(votes: Votes) -> SliceScores:
    """(z,) mutual information of the disputed voxels, mm²·bit."""
    posterior = votes.boxed.posterior
    return _sum(posterior.mutual_information[posterior.box], votes.disputed, votes)


def entropy_score(votes: Votes) -> SliceScores:
    """(z,) entropy of the voxels that any member or the prediction labels so, mm²·bit."""
    boxed = votes.boxed
    drawn = boxed.prediction == votes.label
    if boxed.counted is not None:
        drawn &= boxed.counted
    return _sum(boxed.posterior.entropy[boxed.posterior.box], drawn | (votes.count > 0), votes)


def gross_error_score(votes: Votes) -> SliceScores:
    """(z,) expected area that is wrong and more than 3 mm from every drawn contour, mm².

    Of a voxel drawn as the structure the probability that it is something else, of any other the
    probability that it is the structure.
    """
    boxed = votes.boxed
    stored = boxed.posterior.probabilities[votes.label]
    wrong = np.where(boxed.prediction == votes.label, CERTAIN - stored, stored)
    return _sum(wrong, boxed.far, votes) / CERTAIN


def disagreement(votes: Votes) -> SliceScores:
    """(z,) 1 − mean Dice over all pairs of members, 0 … 1; where both are empty they agree."""
    members, disputed = votes.members, votes.disputed
    sizes = np.count_nonzero(members, axis=(2, 3)).T
    unanimous = np.count_nonzero(votes.count == len(members), axis=(1, 2))
    pairs = np.triu_indices(len(members), 1)
    scores = np.zeros(len(disputed))
    for z in np.flatnonzero(disputed.any(axis=(1, 2))):
        # All members agree on most voxels: only the few others are compared pair by pair.
        differing = members[:, z][:, disputed[z]].astype(np.float32)
        common = (differing @ differing.T)[pairs] + unanimous[z]
        total = (sizes[z][:, None] + sizes[z])[pairs]
        dice = np.divide(2 * common, total, out=np.ones(len(total)), where=total > 0)
        scores[z] = 1 - dice.mean()
    return scores


def area_spread(votes: Votes) -> SliceScores:
    """(z,) standard deviation (n−1) over the members of the structure's volume in a slice, mL."""
    voxels = np.count_nonzero(votes.members, axis=(2, 3))
    # In voxels, of which equal numbers have a spread of exactly 0.
    spread = voxels.std(axis=0, ddof=1)
    return np.asarray(spread * math.prod(votes.boxed.spacing) / 1000, dtype=np.float64)


def _sum(values: NDArray[Any], mask: Mask, votes: Votes) -> SliceScores:
    """(z,) sum of ``values`` (z, y, x) where ``mask``, times the area of a voxel."""
    total = values.sum(axis=(1, 2), where=mask, dtype=np.float64)
    return np.asarray(total * votes.boxed.voxel_mm2, dtype=np.float64)

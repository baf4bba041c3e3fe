"""Scores of the uncertainty of an ensemble about each slice of a volume, per structure.

Every score is computed from the posterior alone. docs/explanation/review_queue.md reports how well
each finds the wrong voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..ensemble.stored_posterior import CERTAIN, StoredPosterior
from ..heart.measurements import voxel_ml
from ..metrics.border import border_band, far_from_contours
from ..types import Mask

SliceScores: TypeAlias = NDArray[np.float64]
"""(Z,) score of each slice, 0 or more; higher scores are reviewed first."""


@dataclass(frozen=True, eq=False)
class Boxed:
    """Posterior inside its box, with the voxels that count. ``spacing`` (z, y, x) in mm."""

    posterior: StoredPosterior
    spacing: tuple[float, float, float]
    leave_out_border: bool

    @cached_property
    def prediction(self) -> NDArray[np.uint8]:
        """Predicted labels (z, y, x)."""
        return self.posterior.prediction[self.posterior.box]

    @cached_property
    def counted(self) -> Mask | None:
        """Mask (z, y, x) of voxels that do not touch a predicted contour; None if all count."""
        if not self.leave_out_border:
            return None
        return ~border_band(self.posterior.prediction)[self.posterior.box]

    @cached_property
    def far(self) -> Mask:
        """Mask (z, y, x) of voxels more than 3 mm from every predicted contour of their slice."""
        return far_from_contours(self.posterior.prediction, self.spacing)[self.posterior.box]


@dataclass(frozen=True, eq=False)
class Votes:
    """Votes of the members for one structure, inside the box of their posterior."""

    boxed: Boxed
    label: int

    @cached_property
    def members(self) -> Mask:
        """Mask (n, z, y, x) of the counted voxels that each member labels as the structure."""
        votes: Mask = self.boxed.posterior.members == self.label
        return votes if self.boxed.counted is None else votes & self.boxed.counted

    @cached_property
    def count(self) -> NDArray[np.uint16]:
        """Number (z, y, x) of members that label a voxel as the structure."""
        # Counts of more than 255 members would overflow uint8.
        return np.asarray(np.add.reduce(self.members, axis=0, dtype=np.uint16))

    @cached_property
    def disputed(self) -> Mask:
        """Mask (z, y, x) of voxels that some but not all members label as the structure."""
        return (self.count > 0) & (self.count < self.boxed.posterior.count)


def mutual_information(votes: Votes) -> SliceScores:
    """Return the (z,) mutual information of the disputed voxels, mm²·bit."""
    posterior = votes.boxed.posterior
    return _sum(posterior.mutual_information[posterior.box], votes.disputed, votes)


def entropy_score(votes: Votes) -> SliceScores:
    """Return the (z,) entropy of voxels labelled by any member or the prediction, mm²·bit."""
    boxed = votes.boxed
    # The mean of the probabilities may be highest for a structure that no single member draws.
    drawn = boxed.prediction == votes.label
    if boxed.counted is not None:
        drawn &= boxed.counted
    return _sum(boxed.posterior.entropy[boxed.posterior.box], drawn | (votes.count > 0), votes)


def gross_error_score(votes: Votes) -> SliceScores:
    """Return the (z,) expected wrong area more than 3 mm from every predicted contour, mm².

    A voxel predicted as the structure counts with the probability of all other classes, any other
    voxel with the probability of the structure.
    """
    boxed = votes.boxed
    stored = boxed.posterior.probabilities[votes.label]
    wrong = np.where(boxed.prediction == votes.label, CERTAIN - stored, stored)
    return _sum(wrong, boxed.far, votes) / CERTAIN


def disagreement(votes: Votes) -> SliceScores:
    """Return the (z,) 1 − mean Dice over all pairs of members; two empty members agree."""
    members, disputed = votes.members, votes.disputed
    sizes = np.count_nonzero(members, axis=(2, 3)).T
    unanimous = np.count_nonzero(votes.count == len(members), axis=(1, 2))
    pairs = np.triu_indices(len(members), 1)
    scores = np.zeros(len(disputed))
    for z in np.flatnonzero(disputed.any(axis=(1, 2))):
        # Members agree on most voxels, so only the disputed ones are compared pair by pair.
        differing = members[:, z][:, disputed[z]].astype(np.float32)
        common = (differing @ differing.T)[pairs] + unanimous[z]
        total = (sizes[z][:, None] + sizes[z])[pairs]
        dice = np.divide(2 * common, total, out=np.ones(len(total)), where=total > 0)
        scores[z] = 1 - dice.mean()
    return scores


def area_spread(votes: Votes) -> SliceScores:
    """Return the (z,) standard deviation (n−1) over the members of the volume in a slice, mL."""
    voxels = np.count_nonzero(votes.members, axis=(2, 3))
    # Computed in voxels, so that equal numbers have a spread of exactly 0.
    spread = voxels.std(axis=0, ddof=1)
    return np.asarray(spread * voxel_ml(votes.boxed.spacing), dtype=np.float64)


def _sum(values: NDArray[Any], mask: Mask, votes: Votes) -> SliceScores:
    """Return the (z,) sum of ``values`` (z, y, x) inside ``mask``, times the area of a voxel."""
    total = values.sum(axis=(1, 2), where=mask, dtype=np.float64)
    _, *sides = votes.boxed.spacing
    return np.asarray(total * math.prod(sides), dtype=np.float64)

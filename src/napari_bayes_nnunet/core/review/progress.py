"""Progress of a review."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ensemble.stored_posterior import StoredPosterior
from ..heart.slice_volumes import Values


@dataclass(frozen=True, kw_only=True)
class ReviewProgress:
    """Slices ``done`` of the ``total`` in the queue.

    ``uncertain_share`` is the reviewed part, 0 … 1, of the uncertain volume.
    """

    done: int
    total: int
    uncertain_share: float


def slice_uncertainty(posterior: StoredPosterior, spacing: Sequence[float]) -> Values:
    """Return the (Z,) uncertainty of each slice, mm³·bit, for ``spacing`` (z, y, x) in mm.

    It is the sum of the mutual information, or of the entropy for a single member.
    """
    # One member disagrees with nobody, so its mutual information is 0 everywhere.
    bits = posterior.mutual_information if posterior.count > 1 else posterior.entropy
    summed: Values = bits.sum(axis=(1, 2), dtype=np.float64) * math.prod(spacing)
    return summed


def measure_progress(
    queue: Iterable[tuple[int | None, int]],
    *,
    reviewed: Mapping[int | None, NDArray[np.bool_]],
    uncertainty: Mapping[int | None, Values],
) -> ReviewProgress:
    """Return the progress of a review of the (phase, z) in the queue.

    ``reviewed`` (Z,) and ``uncertainty`` (Z,) mm³·bit, from `slice_uncertainty`, are given per
    phase. Reviewed slices outside the queue count for the uncertain volume, not as done. Without
    any uncertainty, all of it counts as reviewed.
    """
    done = [bool(reviewed[phase][z]) for phase, z in queue]
    total = sum(float(bits.sum()) for bits in uncertainty.values())
    seen = sum(float(bits[reviewed[phase]].sum()) for phase, bits in uncertainty.items())
    return ReviewProgress(
        done=sum(done),
        total=len(done),
        uncertain_share=seen / total if total > 0 else 1.0,
    )

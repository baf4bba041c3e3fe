"""How far a review has come, and whether going on is worth it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..ensemble.stored_posterior import StoredPosterior
from ..heart.slice_volumes import Values

ENOUGH_POINTS: Final = 2.0
"""Below this spread left in the EF, in points, a stop is suggested."""


@dataclass(frozen=True, kw_only=True)
class ReviewProgress:
    """Slices ``done`` of the ``total`` in the queue, and what is left.

    ``uncertain_share`` is the part, 0 … 1, of the uncertain volume that was reviewed; ``ef_spread``
    the models' spread (SD) left in the EF, points, NaN where it is unknown.
    """

    done: int
    total: int
    uncertain_share: float
    ef_spread: float

    @property
    def suggest_stop(self) -> bool:
        """Whether to suggest a stop; never where the spread is unknown."""
        return self.ef_spread < ENOUGH_POINTS

    @property
    def spread_left(self) -> str:
        """In words; "" where the spread is unknown."""
        if math.isnan(self.ef_spread):
            return ""
        return f"Models' spread left in EF: ± {self.ef_spread:.1f} points"


def slice_uncertainty(posterior: StoredPosterior, spacing: Sequence[float]) -> Values:
    """(Z,) mm³·bit: mutual information summed over each slice; entropy where one member answered.

    ``spacing`` (z, y, x) in mm.
    """
    bits = posterior.mutual_information if posterior.count > 1 else posterior.entropy
    summed: Values = bits.sum(axis=(1, 2), dtype=np.float64) * math.prod(spacing)
    return summed


def progress(
    queue: Iterable[tuple[int | None, int]],
    *,
    reviewed: Mapping[int | None, NDArray[np.bool_]],
    uncertainty: Mapping[int | None, Values],
    ef_spread: float = math.nan,
) -> ReviewProgress:
    """Of the (phase, z) in the queue, and of the uncertain volume.

    Per phase ``reviewed``, (Z,), and ``uncertainty``, (Z,) mm³·bit, from `slice_uncertainty`.
    Reviewed slices that are not in the queue count for the uncertain volume, not as done. Where
    nothing is uncertain, all of it was reviewed.
    """
    done = [bool(phase in reviewed and reviewed[phase][z]) for phase, z in queue]
    total = sum(float(bits.sum()) for bits in uncertainty.values())
    seen = sum(
        float(bits[reviewed[phase]].sum())
        for phase, bits in uncertainty.items()
        if phase in reviewed
    )
    return ReviewProgress(
        done=sum(done),
        total=len(done),
        uncertain_share=seen / total if total > 0 else 1.0,
        ef_spread=ef_spread,
    )

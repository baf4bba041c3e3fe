"""How early the ranking of the slices of each volume finds its gross errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.result import Segmentation, stored_posterior
from napari_bayes_nnunet.core.review.queue import DEFAULT_SCORE, slice_scores
from napari_bayes_nnunet.core.review.queue_yield import ReviewedSlices, queue_yield
from napari_bayes_nnunet.core.types import Spacing
from napari_bayes_nnunet.io.dataset.patients import patient_of

from .comparison import Rows


def queue_scores(
    result: Segmentation, spacing: Spacing, score: str = DEFAULT_SCORE
) -> NDArray[np.float64]:
    """Return the (Z,) scores of the review queue, summed over the structures."""
    of_structures = slice_scores(stored_posterior(result), result.structures, spacing, score=score)
    return np.sum(list(of_structures.values()), axis=0, dtype=np.float64)


def found_early(rows: Rows, name: str, errors_of: str) -> float:
    """Return the percentage of gross errors in the first slices of the ranking of ``name``."""
    reviews = [
        ReviewedSlices(
            patient=patient_of(row["case"]),
            errors=np.array(row[errors_of]["errors"]),
            order=_highest_first(row[name]["scores"]),
        )
        for row in rows
    ]
    return 100 * queue_yield(reviews).at_share.value


def _highest_first(scores: Sequence[float]) -> NDArray[np.intp]:
    return np.argsort(-np.array(scores), kind="stable")

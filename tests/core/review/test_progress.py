"""Progress of a review."""

from __future__ import annotations

import numpy as np
import pytest

from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.review.progress import measure_progress, slice_uncertainty

QUEUE = [(1, 2), (8, 0), (1, 0)]


def posterior(count: int) -> StoredPosterior:
    shape = (3, 4, 5)
    bits = np.arange(3, dtype=np.float32)[:, None, None] * np.ones(shape, np.float32)
    return StoredPosterior.from_members(
        np.ones((1, *shape), np.float32),
        np.zeros((count, *shape), np.uint8),
        prediction=np.zeros(shape, np.uint8),
        maps={"entropy": 2 * bits, "mutual-information": bits},
    )


def test_uncertainty_of_slices():
    spacing = (10.0, 1.5, 1.5)
    assert slice_uncertainty(posterior(2), spacing) == pytest.approx([0, 450, 900])
    assert slice_uncertainty(posterior(1), spacing) == pytest.approx([0, 900, 1800])


def test_slices_done_and_uncertain_volume_reviewed():
    found = measure_progress(
        QUEUE,
        reviewed={1: np.array([True, True, False]), 8: np.array([True, False, False])},
        uncertainty={1: np.array([10.0, 20, 30]), 8: np.array([40.0, 0, 0])},
    )
    assert (found.done, found.total) == (2, 3)
    assert found.uncertain_share == pytest.approx(0.7)


def test_phases_nobody_reviewed():
    nothing = {phase: np.zeros(3, bool) for phase in (1, 8)}
    found = measure_progress(QUEUE, reviewed=nothing, uncertainty={1: np.array([10.0, 20, 30])})
    assert (found.done, found.total, found.uncertain_share) == (0, 3, 0.0)


def test_where_nothing_is_uncertain_all_was_reviewed():
    found = measure_progress(
        [], reviewed={None: np.zeros(3, bool)}, uncertainty={None: np.zeros(3)}
    )
    assert (found.done, found.total, found.uncertain_share) == (0, 0, 1.0)

"""Sums over members on a device that runs out of memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_bayes_nnunet.app.segmentation.result import MemberStatistics
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior

from ...helpers.processes.full_card import FullCard

STRUCTURES = {"RV": 1, "LV": 2}
SPACING = (8.0, 1.5, 1.5)


def made_members(count: int) -> np.ndarray:
    """Return random probabilities (members, C, Z, Y, X) float32."""
    members = np.random.default_rng(0).dirichlet(np.ones(3), size=(count, 2, 5, 6))
    return np.ascontiguousarray(np.moveaxis(members, -1, 1), np.float32)


@pytest.mark.parametrize("room", [0, 1, 2])
def test_full_card_at_the_first_member_is_left(room: int) -> None:
    errors: list[Exception] = []

    def step_down(error: Exception) -> None:
        if errors:  # the retry does not ask the card again
            raise error
        errors.append(error)

    members = made_members(3)
    on_card = MemberStatistics(structures=STRUCTURES, spacing=SPACING, step_down=step_down)
    in_memory = MemberStatistics(structures=STRUCTURES, spacing=SPACING)
    with FullCard(room):
        for member in members:
            np.testing.assert_array_equal(on_card.add(torch.tensor(member)), in_memory.add(member))
    assert len(errors) == 1
    labels = members.argmax(axis=1)
    voxels = {name: (labels == label).sum(axis=(1, 2, 3)) for name, label in STRUCTURES.items()}
    for statistics in (on_card, in_memory):
        assert statistics.volumes == {
            name: pytest.approx([0.018 * count for count in counts])
            for name, counts in voxels.items()
        }
    for measure in (RunningPosterior.mean, RunningPosterior.mutual_information):
        expected = in_memory.measure(measure)
        np.testing.assert_allclose(on_card.measure(measure), expected, atol=1e-6)

"""Sums over members on a device that runs out of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from napari_bayes_nnunet.app.segmentation.member_statistics import MemberStatistics
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior

STRUCTURES = {"RV": 1, "LV": 2}
SPACING = (8.0, 1.5, 1.5)


class FullCard(TorchFunctionMode):
    """Card with ``room`` for new float32 arrays, until such an array is moved off it."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.left = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.zeros_like and kwargs.get("dtype") is torch.float32 and not self.left:
            self.room -= 1
            if self.room < 0:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        if func is torch.Tensor.cpu and args[0].dtype is torch.float32:
            self.left = True
        return func(*args, **kwargs)


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
    assert on_card.volumes == in_memory.volumes
    for measure in (RunningPosterior.mean, RunningPosterior.mutual_information):
        expected = in_memory.measure(measure)
        np.testing.assert_allclose(on_card.measure(measure), expected, atol=1e-6)

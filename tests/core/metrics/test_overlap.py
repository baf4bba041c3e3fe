"""Dice and pairwise Dice, against the plain formulas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.metrics.overlap import PairwiseDice, dice, pairwise_dice

from ...helpers.checks.problems import says, says_only

HEART = {"RV": 1, "MYO": 2, "LV": 3}
LabelMaps = NDArray[np.uint8]


def disks(n: int, shape: tuple[int, int, int] = (4, 61, 67), seed: int = 0) -> LabelMaps:
    """Return (n, Z, Y, X) label maps with three moving disks, some cut off or missing."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((n, *shape), np.uint8)
    y, x = np.ogrid[: shape[1], : shape[2]]
    for labels in maps:
        for label in HEART.values():
            centre = rng.uniform(-5, 70, size=2)
            inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < rng.uniform(0, 25) ** 2
            labels[rng.integers(shape[0]) :, inside] = label
    return maps


def test_dice_by_hand():
    prediction = np.array([[[1, 1, 1, 0], [2, 2, 0, 0]]])
    reference = np.array([[[1, 1, 0, 0], [0, 0, 2, 3]]])
    assert dice(prediction, reference, HEART) == {"RV": 0.8, "MYO": 0.0, "LV": 0.0}


def test_dice_of_a_map_with_itself_is_one():
    labels = np.arange(24, dtype=np.int16).reshape(2, 3, 4) % 4
    assert dice(labels, labels, HEART) == dict.fromkeys(HEART, 1.0)


def test_dice_counts_beyond_range_of_labels_type():
    labels = np.ones((3, 300, 300), np.uint8)
    half = labels.copy()
    half[:, :150] = 0
    assert dice(half, labels, {"RV": 1})["RV"] == pytest.approx(2 / 3)


def test_dice_refuses_different_shapes():
    with pytest.raises(InputError, check=says_only(expected=(2, 3), found=(1, 2, 3))):
        dice(np.zeros((1, 2, 3), int), np.zeros((2, 3), int), HEART)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.uint16])
def test_pairwise_dice_of_any_integers(dtype):
    maps = disks(3)
    assert pairwise_dice(maps.astype(dtype), HEART) == pairwise_dice(maps, HEART)


def test_pairwise_dice_of_one_slice():
    maps = disks(3)
    assert pairwise_dice(maps[:, 2], HEART) == pairwise_dice(maps[:, 2:3], HEART)


def test_members_that_both_lack_a_structure_agree():
    empty, lv = np.zeros((2, 3, 4), np.uint8), np.full((2, 3, 4), 3, np.uint8)
    assert pairwise_dice([empty, empty], HEART) == dict.fromkeys(HEART, 1.0)
    assert pairwise_dice([empty, lv], HEART) == {"RV": 1.0, "MYO": 1.0, "LV": 0.0}
    assert pairwise_dice([empty, empty, lv], HEART)["LV"] == pytest.approx(1 / 3)


def test_members_of_another_shape_are_refused():
    maps: Sequence[LabelMaps] = [np.ones((2, 3, 4), np.uint8), np.ones((2, 3, 5), np.uint8)]
    with pytest.raises(InputError, check=says_only(expected=(2, 3, 4), found=(2, 3, 5))):
        pairwise_dice(maps, HEART)


def test_label_maps_that_are_no_integers_are_refused():
    with pytest.raises(InputError, check=says(dtype=np.float32)):
        PairwiseDice(HEART).add(np.zeros((2, 3, 4), np.float32))


def test_background_is_no_structure():
    with pytest.raises(InputError, check=says_only(label=0, name="background")):
        PairwiseDice({"background": 0, "RV": 1})

"""Dice and pairwise Dice, against the plain formulas."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.metrics.overlap import PairwiseDice, dice, pairwise_dice

from ...helpers.checks.problems import says, says_only

HEART = {"RV": 1, "MYO": 2, "LV": 3}
LabelMaps = NDArray[np.uint8]


def test_dice_by_hand():
    prediction = np.array([[[1, 1, 1, 0], [2, 2, 0, 0]]])
    reference = np.array([[[1, 1, 0, 0], [0, 0, 2, 3]]])
    assert dice(prediction, reference, HEART) == {"RV": 0.8, "MYO": 0.0, "LV": 0.0}


def test_dice_refuses_different_shapes():
    with pytest.raises(InputError, check=says_only(expected=(2, 3), found=(1, 2, 3))):
        dice(np.zeros((1, 2, 3), int), np.zeros((2, 3), int), HEART)


def test_pairwise_dice_is_the_mean_of_all_pairs():
    maps = np.random.default_rng(0).integers(0, 4, (4, 3, 5, 7), np.uint8)
    pairs = [dice(a, b, HEART) for a, b in combinations(maps, 2)]
    expected = {name: np.mean([pair[name] for pair in pairs]) for name in HEART}
    assert pairwise_dice(maps, HEART) == pytest.approx(expected)


def test_members_that_both_lack_a_structure_agree():
    empty, lv = np.zeros((2, 3, 4), np.uint8), np.full((2, 3, 4), 3, np.uint8)
    assert pairwise_dice([empty, empty], HEART) == dict.fromkeys(HEART, 1.0)
    assert pairwise_dice([empty, lv], HEART) == {"RV": 1.0, "MYO": 1.0, "LV": 0.0}
    assert pairwise_dice([empty, empty, lv], HEART)["LV"] == pytest.approx(1 / 3)


def test_label_maps_that_are_no_integers_are_refused():
    with pytest.raises(InputError, check=says(dtype=np.float32)):
        PairwiseDice(HEART).add(np.zeros((2, 3, 4), np.float32))


def test_background_is_no_structure():
    with pytest.raises(InputError, check=says_only(label=0, name="background")):
        PairwiseDice({"background": 0, "RV": 1})

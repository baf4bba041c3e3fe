"""Guess of structures from their shape."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.structure_guess import (
    guess_structures,
    lacks_lv,
    propose_names,
    vote_structures,
)


def heart(rv: int, myo: int, lv: int, *, open_at: int = 1, gap: int = 0) -> np.ndarray:
    """Return (5, 48, 64) labels; the ring is open in the first slices, RV ``gap`` voxels away."""
    y, x = np.mgrid[:48, :64]
    labels = np.zeros((5, 48, 64), np.uint8)
    radius = np.hypot(y - 24, x - 40)
    for z, plane in enumerate(labels):
        plane[np.hypot(y - 24, x - 18 + gap) < 14] = rv
        plane[radius < 12] = myo
        plane[radius < 8] = lv
        if z < open_at:
            plane[(plane == myo) & (x > 40)] = 0
    return labels


@pytest.mark.parametrize("values", list(permutations((1, 2, 3))))
def test_structures_are_found_whatever_their_values(values) -> None:
    guess = guess_structures(heart(*values))
    assert guess == dict(zip(values, ("RV", "MYO", "LV"), strict=True))


def test_without_rv_wall_and_cavity_are_found() -> None:
    assert guess_structures(heart(0, 200, 100)) == {200: "MYO", 100: "LV"}


def test_unclear_shapes_are_not_guessed() -> None:
    assert guess_structures(heart(1, 2, 3, open_at=5)) == {}
    assert guess_structures(heart(0, 0, 3)) == {}
    assert guess_structures(np.zeros((2, 8, 8), np.uint8)) == {}


def test_many_values_are_not_guessed() -> None:
    labels = heart(1, 2, 3)
    labels[0, :2, :4] = np.arange(4, 12).reshape(2, 4)
    assert guess_structures(labels) == {}


def test_a_distant_or_second_structure_is_no_rv() -> None:
    assert guess_structures(heart(1, 2, 3, gap=10)) == {2: "MYO", 3: "LV"}
    labels = heart(1, 2, 3)
    labels[:, :4, :4] = 4
    assert guess_structures(labels) == {2: "MYO", 3: "LV"}


def test_most_cases_decide() -> None:
    usual, swapped = {1: "RV", 2: "MYO", 3: "LV"}, {1: "LV", 2: "MYO"}
    assert vote_structures([usual, {}, swapped, usual]) == usual
    assert vote_structures([{}]) == {}


def test_only_unknown_names_are_replaced() -> None:
    guess = {1: "RV", 2: "MYO", 3: "LV"}
    names = {0: "background", 1: "structure 1", 2: "wall", 3: "structure 3", 4: "scar"}
    proposed = propose_names(names, guess)
    assert proposed == {0: "background", 1: "RV", 2: "wall", 3: "LV", 4: "scar"}
    taken = {1: "LV cavity", 3: "structure 3"}
    assert propose_names(taken, guess) == taken


@pytest.mark.parametrize(("names", "lacks"), [(["RV", "Left Ventricle"], False), (["MYO"], True)])
def test_lv_is_known_by_any_of_its_names(names, lacks) -> None:
    assert lacks_lv(names) is lacks

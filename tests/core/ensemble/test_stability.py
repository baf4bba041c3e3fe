"""Stopping rule: when a result counts as stable."""

from __future__ import annotations

import numpy as np

from napari_bayes_nnunet.core.ensemble.stability import Stability

LABELS = np.zeros((4, 40, 40), np.uint8)
LABELS[:, 5:35, 5:35] = 1  # 3600 voxels
LABELS[:, 15:25, 15:25] = 2  # 400 of them
ENTROPY = np.where(LABELS > 0, 0.5, 0.0).astype(np.float32)


def rests(*answers) -> list[bool]:
    stability = Stability()
    return [stability.update(*answer) for answer in answers]


def relabelled(voxels: int, old: int, new: int) -> np.ndarray:
    labels = LABELS.copy()
    places = np.argwhere(labels == old)[:voxels]
    labels[tuple(places.T)] = new
    return labels


def test_two_quiet_looks_in_a_row_are_needed() -> None:
    same = (LABELS, ENTROPY)
    assert rests(same, same, same, same) == [False, False, True, True]
    moved = (relabelled(100, 1, 0), ENTROPY)
    assert rests(same, same, moved, same, same, same) == [False] * 5 + [True]


def test_labels_entropy_and_volumes_have_to_rest() -> None:
    same = (LABELS, ENTROPY)
    for other in (
        (relabelled(37, 1, 0), ENTROPY),  # of 3600 voxels 36 may differ
        (relabelled(9, 2, 1), ENTROPY),  # of 400 voxels 8 may go or come
        (LABELS, 1.13 * ENTROPY),
    ):
        assert rests(same, other, same, other) == [False] * 4
    for other in (
        (relabelled(35, 1, 0), ENTROPY),
        (relabelled(7, 2, 1), ENTROPY),
        (LABELS, 1.08 * ENTROPY),
    ):
        assert rests(same, other, same) == [False, False, True]


def test_a_structure_that_appears_is_no_rest() -> None:
    same = (LABELS, ENTROPY)
    assert rests(same, (relabelled(1, 1, 3), ENTROPY), same) == [False] * 3


def test_nothing_at_all_is_at_rest() -> None:
    empty = (np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3, 3), np.float32))
    assert rests(empty, empty, empty) == [False, False, True]

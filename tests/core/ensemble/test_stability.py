"""Stopping rule: when a slice counts as stable."""

import numpy as np

from napari_bayes_nnunet.core.ensemble.stability import Stability

LABELS = np.zeros((4, 40, 40), np.uint8)
LABELS[:, 5:35, 5:35] = 1  # 3600 voxels
LABELS[:, 15:25, 15:25] = 2  # 400 of them
ENTROPY = np.where(LABELS > 0, 0.5, 0.0).astype(np.float32)


EVERY, NONE = [True] * 4, [False] * 4


def rests(*answers) -> list[list[bool]]:
    stability = Stability()
    return [stability.update(*answer).tolist() for answer in answers]


def relabelled(voxels: int, old: int, new: int, *, z: int = 0) -> np.ndarray:
    labels = LABELS.copy()
    places = np.argwhere(labels[z] == old)[:voxels]
    labels[z][tuple(places.T)] = new
    return labels


def test_labels_entropy_and_areas_of_a_slice_have_to_rest():
    same = (LABELS, ENTROPY)
    only = [True, True, False, True]
    more = ENTROPY.copy()
    more[2] *= 1.23
    for other in (
        (relabelled(19, 1, 0, z=2), ENTROPY),  # of 900 voxels 18 may differ
        (relabelled(6, 2, 1, z=2), ENTROPY),  # of 100 voxels 5 may go or come
        (LABELS, more),
    ):
        assert rests(same, other, other) == [NONE, only, EVERY]
    less = ENTROPY.copy()
    less[2] *= 1.18
    for other in (
        (relabelled(18, 1, 0, z=2), ENTROPY),
        (relabelled(5, 2, 1, z=2), ENTROPY),
        (LABELS, less),
    ):
        assert rests(same, other) == [NONE, EVERY]


def test_a_structure_that_appears_is_no_rest():
    appears = (relabelled(1, 1, 3, z=1), ENTROPY)
    assert rests((LABELS, ENTROPY), appears)[1] == [True, False, True, True]

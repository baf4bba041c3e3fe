"""Stored posteriors: boxes, rounding and slices."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior, most_probable
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior

SHAPE = (4, 12, 10)


@pytest.fixture
def members():
    """Return (n, C, Z, Y, X) probabilities with a structure in slices 1 and 2."""
    rng = np.random.default_rng(3)
    logits = np.zeros((5, 3, *SHAPE), np.float32)
    logits[:, 0] = 20
    logits[:, :, 1:3, 4:9, 2:6] = rng.normal(0, 2, (5, 3, 2, 5, 4))
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture
def running(members):
    posterior = RunningPosterior()
    for probabilities in members:
        posterior.add(probabilities)
    return posterior


@pytest.fixture
def stored(members, running):
    return StoredPosterior.from_members(
        running.mean(),
        [most_probable(p) for p in members],
        prediction=running.labels(),
        maps={
            "entropy": running.total_entropy(),
            "mutual-information": running.mutual_information(),
        },
    )


def test_prediction_is_among_most_probable_after_rounding(stored):
    for z in range(SHAPE[0]):
        slice_ = stored.slice_at(z)
        chosen = np.take_along_axis(slice_.probabilities, slice_.prediction[None], 0)[0]
        np.testing.assert_array_equal(chosen, slice_.probabilities.max(axis=0))


def test_a_member_is_whole_in_the_smallest_box(stored, members):
    assert stored.box == (slice(1, 3), slice(4, 9), slice(2, 6))
    for number, probabilities in enumerate(members):
        np.testing.assert_array_equal(stored.member(number), most_probable(probabilities))


def test_nothing_found_is_an_empty_box():
    probabilities = np.zeros((3, *SHAPE), np.float32)
    probabilities[0] = 1
    zeros = np.zeros(SHAPE, np.float32)
    labels = np.zeros(SHAPE, np.uint8)
    stored = StoredPosterior.from_members(
        probabilities,
        [labels],
        prediction=labels,
        maps={"entropy": zeros, "mutual-information": zeros},
    )
    assert stored.probabilities.size == 0
    assert stored.slice_at(2).probabilities[0].min() == 1
    assert not stored.slice_at(2).members.any()
    assert not stored.member(0).any()


@pytest.mark.parametrize(("axis", "number"), [(0, 2), (0, 0), (1, 5), (2, 3)])
def test_a_plane_has_the_probabilities_of_its_voxels(stored, axis, number):
    volume = np.stack([stored.slice_at(z).probabilities for z in range(SHAPE[0])], axis=1)
    index = tuple(number if a == axis else slice(None) for a in range(3))
    plane = stored.plane_at(index)
    np.testing.assert_array_equal(plane.prediction, stored.prediction[index])
    row, column = (grid.ravel() for grid in np.indices(plane.prediction.shape))
    for label in range(3):
        found = plane.probability(np.full(len(row), label), row, column)
        expected = volume[(label, *index)].ravel() * 255
        np.testing.assert_allclose(found, expected, atol=1e-4)

"""Scores of slices, counted by hand and against the measures of whole volumes."""

import math

import numpy as np
import pytest

from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.metrics.overlap import pairwise_dice
from napari_bayes_nnunet.core.review.queue import REVIEW_SCORES, slice_scores

from ...helpers.data.posteriors import posterior_of

SPACING = (10.0, 2.0, 1.0)
STRUCTURES = {"RV": 1, "LV": 3}
SHAPE = (3, 12, 12)


def square(size, label=3, z=1, shape=SHAPE):
    labels = np.zeros(shape, np.uint8)
    labels[z, 4 : 4 + size, 4 : 4 + size] = label
    return labels


@pytest.fixture(scope="module")
def posterior():
    """Return a posterior whose slice 1 has LVs of 4, 4 and 25 voxels from three members."""
    return posterior_of([square(2), square(2), square(5)])


@pytest.fixture(scope="module")
def random_members():
    rng = np.random.default_rng(5)
    return rng.integers(0, 4, (4, 5, 9, 8)).astype(np.uint8)


def scores(posterior, score, spacing=SPACING, structures=STRUCTURES, **options):
    return slice_scores(posterior, structures, spacing, score=score, **options)


@pytest.mark.parametrize("score", REVIEW_SCORES)
def test_only_the_slice_and_structure_in_doubt_score(posterior, score):
    found = scores(posterior, score)
    assert list(found) == ["RV", "LV"]
    np.testing.assert_array_equal(found["RV"], np.zeros(3))
    np.testing.assert_array_equal(found["LV"] > 0, [False, True, False])


def test_mutual_information_is_summed_over_disputed_voxels(posterior):
    third = -(math.log2(1 / 3) / 3 + math.log2(2 / 3) * 2 / 3)
    assert scores(posterior, "mutual-information")["LV"][1] == pytest.approx(21 * third * 2.0)


def test_what_all_members_say_is_not_disputed():
    """Where all agree on the structure its voxels do not count, whatever their information."""
    agreed = posterior_of([square(3), square(3)])
    doubtful = StoredPosterior(
        prediction=agreed.prediction,
        maps={
            "entropy": np.ones(SHAPE, np.float32),
            "mutual-information": np.ones(SHAPE, np.float32),
        },
        box=agreed.box,
        probabilities=agreed.probabilities,
        members=agreed.members,
    )
    assert scores(doubtful, "mutual-information")["LV"][1] == 0
    assert scores(doubtful, "entropy")["LV"][1] == 9 * 2.0


def test_a_voxel_between_two_structures_counts_for_both():
    found = scores(posterior_of([square(2, 1), square(2, 3)]), "mutual-information")
    assert found["RV"][1] == found["LV"][1] == 4 * 2.0


def test_disagreement_is_that_of_the_case_score(random_members):
    """Slice by slice the same as the mean pairwise Dice of a volume of this slice alone."""
    structures = {"RV": 1, "MYO": 2, "LV": 3}
    found = scores(posterior_of(random_members), "disagreement", structures=structures)
    for z in range(random_members.shape[1]):
        expected = pairwise_dice(random_members[:, z : z + 1], structures)
        for name in structures:
            assert found[name][z] == pytest.approx(1 - expected[name], abs=1e-6)


def test_members_that_lack_the_structure_agree():
    nothing = np.zeros(SHAPE, np.uint8)
    found = scores(posterior_of([nothing, nothing, square(2)]), "disagreement")
    assert found["LV"][1] == pytest.approx(2 / 3)


def test_spread_of_area_is_in_ml_per_slice(posterior):
    voxels = np.array([4, 4, 25])
    expected = voxels.std(ddof=1) * 10 * 2 * 1 / 1000
    assert scores(posterior, "area-spread")["LV"][1] == pytest.approx(expected)


def test_entropy_counts_what_any_member_labels_so(posterior):
    entropy = posterior.entropy[1, 4:9, 4:9].sum()
    assert scores(posterior, "entropy")["LV"][1] == pytest.approx(entropy * 2.0)


def test_gross_errors_are_expected_far_from_drawn_contour():
    """The prediction is the left half; one of four members goes on for 6 voxels of 1 mm."""
    members = np.zeros((4, 1, 6, 20), np.uint8)
    members[..., :10] = 3
    members[3, ..., 10:16] = 3
    found = scores(posterior_of(members), "gross-errors")
    # The first 3 of them are within 3 mm of the last voxel drawn as LV.
    assert found["LV"][0] == pytest.approx(3 * 6 * 0.25 * 2.0, rel=0.01)


def test_what_is_probably_missing_inside_is_expected_too():
    members = np.full((3, 1, 12, 20), 3, np.uint8)
    members[2, 0, 6, 10] = 0
    found = scores(posterior_of(members), "gross-errors")
    assert found["LV"][0] == pytest.approx(2.0 / 3, rel=0.01)


def test_structure_without_prediction_is_far_everywhere():
    nothing = np.zeros(SHAPE, np.uint8)
    found = scores(posterior_of([nothing, nothing, square(3)]), "gross-errors")
    assert found["LV"][1] == pytest.approx(9 * 2.0 / 3, rel=0.01)


@pytest.mark.parametrize("score", sorted(set(REVIEW_SCORES) - {"gross-errors"}))
def test_border_of_prediction_can_be_left_out(score):
    """The members differ by one column beside the predicted contour, and nowhere else."""
    members = np.zeros((3, 1, 8, 12), np.uint8)
    members[..., :6] = 3
    members[2, ..., 6] = 3
    blurred = posterior_of(members)
    assert scores(blurred, score)["LV"][0] > 0
    assert scores(blurred, score, leave_out_border=True)["LV"][0] == 0


@pytest.mark.parametrize("score", REVIEW_SCORES)
def test_a_single_member_has_no_spread(score):
    found = scores(posterior_of([square(3)]), score)["LV"]
    assert np.isnan(found).all() == REVIEW_SCORES[score].needs_members
    assert len(found) == 3


@pytest.mark.parametrize("score", REVIEW_SCORES)
def test_a_volume_in_which_nothing_was_found(score):
    nothing = np.zeros(SHAPE, np.uint8)
    found = scores(posterior_of([nothing, nothing]), score)
    np.testing.assert_array_equal(found["LV"], np.zeros(3))


def test_every_score_is_of_whole_slice_whatever_box(posterior):
    """The same posterior, its box as large as the volume."""
    whole = StoredPosterior(
        prediction=posterior.prediction,
        maps={"entropy": posterior.entropy, "mutual-information": posterior.mutual_information},
        box=(slice(0, 3), slice(0, 12), slice(0, 12)),
        probabilities=np.stack(
            [np.rint(255 * posterior.slice_at(z).probabilities) for z in range(3)], axis=1
        ).astype(np.uint8),
        members=np.stack([posterior.member(n) for n in range(posterior.count)]),
    )
    for score in REVIEW_SCORES:
        for border in (False, True):
            expected = scores(posterior, score, leave_out_border=border)
            found = scores(whole, score, leave_out_border=border)
            np.testing.assert_allclose(found["LV"], expected["LV"])

"""A structure grown and shrunk along the posterior: exact at 0, nested, protected."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.editing.level import LEVEL_STEPS, apply_level
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior

from ...helpers.data.slices import (
    LV,
    MYO,
    RV,
    disk,
    heart,
    random_labels,
    random_slice,
    slice_of,
    slice_of_members,
)

# Few steps make ties nearly everywhere, 255 is what is stored.
STEPS_AND_SEEDS = [(steps, seed) for steps in (2, 3, 10, 255) for seed in range(8)]


@pytest.mark.parametrize(("steps", "seed"), STEPS_AND_SEEDS)
def test_at_margin_0_structure_is_exactly_predicted_one(steps, seed):
    rng = np.random.default_rng(seed)
    slice_, labels = random_slice(rng, steps=steps), random_labels(rng)
    for label in (RV, MYO, LV):
        result = apply_level(slice_, labels, label=label, margin=0)
        np.testing.assert_array_equal(result == label, slice_.prediction == label)
        same = apply_level(slice_, slice_.prediction, label=label, margin=0.0)
        assert same.dtype == np.uint8
        np.testing.assert_array_equal(same, slice_.prediction)


def test_margin_0_is_prediction_despite_rounding():
    probabilities = np.full((4, 1, 2), 0.0, np.float32)
    probabilities[[RV, LV], 0, 0] = 0.4995, 0.4999
    probabilities[[RV, LV], 0, 1] = 0.4999, 0.4995
    slice_ = slice_of(probabilities, [np.zeros((1, 2), np.uint8)])
    assert slice_.probabilities[RV].tolist() == slice_.probabilities[LV].tolist()
    assert slice_.prediction.tolist() == [[LV, RV]]
    for label in (RV, LV):
        result = apply_level(slice_, slice_.prediction, label=label, margin=0)
        np.testing.assert_array_equal(result, slice_.prediction)


@pytest.mark.parametrize(("steps", "seed"), STEPS_AND_SEEDS)
def test_structure_at_lower_margin_contains_higher_one(steps, seed):
    rng = np.random.default_rng(seed)
    slice_, labels = random_slice(rng, steps=steps), random_labels(rng)
    for protected in ((), {LV}):
        before = np.ones(labels.shape, bool)
        for margin in np.linspace(-1, 1, 41):
            result = apply_level(slice_, labels, label=MYO, margin=margin, protected=protected)
            assert not ((result == MYO) & ~before).any()
            before = result == MYO


@pytest.mark.parametrize(("steps", "seed"), STEPS_AND_SEEDS)
def test_the_rule_is_that_of_the_margin(steps, seed):
    slice_ = random_slice(np.random.default_rng(seed), steps=steps)
    stored = np.rint(slice_.probabilities * 255).astype(int)
    difference = stored[LV] - np.delete(stored, LV, axis=0).max(axis=0)
    for step in (-200, -77, -1, 1, 50, 255):
        result = apply_level(slice_, slice_.prediction, label=LV, margin=step / 255)
        expected = (difference >= step) & (stored[LV] >= 5)
        np.testing.assert_array_equal(result == LV, expected)


def test_margin_just_below_0_gains_ties():
    slice_ = slice_of_members([np.full((1, 2), RV, np.uint8), np.full((1, 2), LV, np.uint8)])
    assert (slice_.prediction == RV).all()
    at_zero = apply_level(slice_, slice_.prediction, label=LV, margin=0)
    assert (at_zero == RV).all()
    assert (apply_level(slice_, slice_.prediction, label=LV, margin=-1 / LEVEL_STEPS) == LV).all()


def test_voxels_below_2_percent_are_never_gained():
    probabilities = np.zeros((4, 1, 3), np.float32)
    # Between RV and background, no rival is much more probable than an LV of nearly 0.
    probabilities[:, 0, 0] = 0.495, 0.5, 0, 0.005
    probabilities[:, 0, 1] = 0.49, 0.48, 0, 0.03
    probabilities[:, 0, 2] = 0, 0, 0, 1
    slice_ = slice_of(probabilities, [np.zeros((1, 3), np.uint8)])
    grown = apply_level(slice_, slice_.prediction, label=LV, margin=-1)
    assert (grown == LV).tolist() == [[False, True, True]]


def test_voxels_given_up_take_their_second_class():
    probabilities = np.zeros((4, 1, 3), np.float32)
    probabilities[:, 0, 0] = 0.1, 0.15, 0.2, 0.55
    probabilities[:, 0, 1] = 0.2, 0.15, 0.1, 0.55
    probabilities[:, 0, 2] = 0, 0, 0, 1
    slice_ = slice_of(probabilities, [np.zeros((1, 3), np.uint8)])
    shrunk = apply_level(slice_, slice_.prediction, label=LV, margin=0.5)
    assert shrunk.tolist() == [[MYO, 0, LV]]
    allowed = apply_level(slice_, slice_.prediction, label=LV, margin=0.5, protected={MYO})
    assert allowed.tolist() == [[RV, 0, LV]]
    none = apply_level(slice_, slice_.prediction, label=LV, margin=0.5, protected={MYO, RV})
    assert none.tolist() == [[0, 0, LV]]


def test_of_equal_second_classes_predicted_one_is_taken():
    rng = np.random.default_rng(1)
    slice_ = random_slice(rng, steps=2)
    everywhere = np.full(slice_.prediction.shape, LV, np.uint8)
    result = apply_level(slice_, everywhere, label=LV, margin=0)
    np.testing.assert_array_equal(result, slice_.prediction)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("margin", [-1, -0.4, 0, 0.4, 1])
def test_protected_structures_neither_change_nor_are_gained(seed, margin):
    rng = np.random.default_rng(seed)
    slice_, labels = random_slice(rng), random_labels(rng)
    result = apply_level(slice_, labels, label=LV, margin=margin, protected={RV, MYO})
    for protected in (RV, MYO):
        np.testing.assert_array_equal(result == protected, labels == protected)


def test_a_protected_structure_has_no_level():
    slice_ = random_slice(np.random.default_rng(0))
    result = apply_level(slice_, slice_.prediction, label=LV, margin=-1, protected={LV})
    np.testing.assert_array_equal(result, slice_.prediction)
    assert result is not slice_.prediction


@pytest.mark.parametrize("seed", range(4))
def test_only_what_is_gained_or_given_up_changes(seed):
    rng = np.random.default_rng(seed)
    slice_, labels = random_slice(rng), random_labels(rng)
    kept = labels.copy()
    result = apply_level(slice_, labels, label=LV, margin=-0.2)
    np.testing.assert_array_equal(labels, kept)
    changed = result != labels
    assert ((result == LV) | (labels == LV))[changed].all()


def test_an_lv_grows_into_its_myocardium_and_back():
    members = [heart(lv=radius) for radius in (6, 7, 8, 9, 10)]
    slice_ = slice_of_members(members)
    areas = []
    for margin in (-0.8, 0, 0.8):
        result = apply_level(slice_, slice_.prediction, label=LV, margin=margin)
        areas.append(np.count_nonzero(result == LV))
        assert ((result == MYO) | (result == LV))[disk(10)].all()
    assert areas == [np.count_nonzero(m == LV) for m in (members[4], members[2], members[0])]


def test_at_highest_only_what_is_certain_is_left():
    slice_ = slice_of_members([heart(lv=8), heart(lv=6)])
    result = apply_level(slice_, slice_.prediction, label=LV, margin=1)
    np.testing.assert_array_equal(result == LV, disk(6))


def test_level_is_same_before_probabilities_were_stored():
    rng = np.random.default_rng(5)
    probabilities = np.moveaxis(rng.dirichlet(np.ones(4), (20, 20)), -1, 0).astype(np.float32)
    reopened = slice_of(probabilities, [random_labels(rng, (20, 20))])
    assert not np.array_equal(reopened.probabilities, probabilities)
    fresh = type(reopened)(**{**vars(reopened), "probabilities": probabilities})
    for margin in (-0.5, -0.001, 0, 0.3):
        results = [
            apply_level(slice_, slice_.prediction, label=LV, margin=margin)
            for slice_ in (fresh, reopened)
        ]
        np.testing.assert_array_equal(*results)


def test_level_applies_to_slice_of_stored_volume():
    labels = np.stack([np.zeros((64, 64), np.uint8), heart()])
    probabilities = np.stack([labels == c for c in range(4)]).astype(np.float32)
    nothing = np.zeros(labels.shape, np.float32)
    stored = StoredPosterior.from_members(
        probabilities,
        [labels],
        prediction=labels,
        maps={"entropy": nothing, "mutual-information": nothing},
    )
    for z in (0, 1):
        result = apply_level(stored.slice_at(z), labels[z], label=LV, margin=-1)
        np.testing.assert_array_equal(result, labels[z])


def test_removed_piece_is_never_gained():
    probabilities = np.full((4, 1, 3), 0.0, np.float32)
    probabilities[RV] = 0.9, 0.45, 0.9
    probabilities[0] = 0.1, 0.55, 0.1
    slice_ = slice_of(probabilities, [np.zeros((1, 3), np.uint8)])
    slice_.prediction[0, 2] = 0  # it lies apart from the heart
    result = apply_level(slice_, slice_.prediction, label=RV, margin=-1)
    assert result.tolist() == [[RV, RV, 0]]

"""Corrections carried to another phase: motion, agreement of a member, and what stays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_bayes_nnunet.core.editing.carried_change import (
    PhaseSlice,
    carry_change,
    estimate_motion,
    move_change,
)

SHAPE = (48, 56)
SPACING = (8.0, 1.5, 1.5)
SHIFT = (3, -2)
RV, MYO, LV = 1, 2, 3


def disc(y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    return np.hypot(rows - y, columns - x) < radius


def heart(y: float, x: float) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[disc(y, x, 11)] = MYO
    labels[disc(y, x, 7)] = LV
    return labels


def image_of(labels: np.ndarray) -> np.ndarray:
    grey = np.choose(labels, [100.0, 0.0, 20.0, 300.0])
    return ndimage.gaussian_filter(grey, 1.5)


def phase(y: float, x: float, labels: np.ndarray | None = None) -> PhaseSlice:
    predicted = heart(y, x)
    return PhaseSlice(
        image=image_of(predicted),
        predicted=predicted,
        labels=predicted if labels is None else labels,
    )


@pytest.fixture
def source() -> PhaseSlice:
    """Return a phase whose LV lacks a corner of its prediction, which is now myocardium."""
    corrected = heart(22, 28)
    corrected[disc(17, 28, 3) & (corrected == LV)] = MYO
    return phase(22, 28, corrected)


TARGET = phase(22 + SHIFT[0], 28 + SHIFT[1])


def carry(source: PhaseSlice, *members: np.ndarray, target: PhaseSlice = TARGET, **options):
    return carry_change(source, target, np.array(members), spacing=SPACING, **options)


def anything(label: int) -> np.ndarray:
    return np.full(SHAPE, label, np.uint8)


def test_motion_finds_the_place_of_a_moved_heart(source):
    motion = estimate_motion(source.image, TARGET.image)
    wall = TARGET.predicted == MYO
    moved = motion[:, wall].mean(axis=1) - np.indices(SHAPE)[:, wall].mean(axis=1)
    np.testing.assert_allclose(moved, [-SHIFT[0], -SHIFT[1]], atol=0.3)


def test_motion_ignores_how_bright_the_brightest_are(source):
    """The 1st and the 99th percentile are the darkest and the brightest."""
    glaring = source.image.copy()
    low, high = np.percentile(glaring, (1, 99))
    glaring[glaring > high] *= 100
    glaring[glaring < low] -= 1e4
    expected = estimate_motion(source.image, TARGET.image)
    np.testing.assert_array_equal(estimate_motion(glaring, TARGET.image), expected)


def test_image_beyond_20_mm_of_heart_does_not_matter(source):
    options = {"spacing": (8.0, 4.0, 4.0)}  # a margin of 5 voxels around the columns 17 to 38
    expected = carry_change(source, TARGET, anything(MYO)[None], **options)
    images = [shown.image.copy() for shown in (source, TARGET)]
    for image in images:
        image[:, 45:] = 1e6
    far = [
        PhaseSlice(image=image, predicted=shown.predicted, labels=shown.labels)
        for image, shown in zip(images, (source, TARGET), strict=True)
    ]
    assert np.array_equal(carry_change(*far, anything(MYO)[None], **options), expected)
    assert not np.array_equal(expected, TARGET.predicted)


def test_a_change_moves_with_the_heart(source):
    result = carry(source, TARGET.predicted, anything(MYO))
    expected = np.roll(source.labels, SHIFT, (0, 1))
    assert np.count_nonzero(expected != TARGET.predicted) > 15
    assert np.count_nonzero(result != expected) <= 3
    assert (result[TARGET.predicted != LV] == TARGET.predicted[TARGET.predicted != LV]).all()


def test_a_voxel_changes_only_if_a_member_agrees(source):
    agreeing = TARGET.predicted.copy()
    agreeing[:, : 28 + SHIFT[1]] = MYO
    result = carry(source, TARGET.predicted, agreeing)
    changed = result != TARGET.predicted
    assert changed[:, : 28 + SHIFT[1]].any()
    assert not changed[:, 28 + SHIFT[1] :].any()
    assert np.array_equal(carry(source, TARGET.predicted), TARGET.predicted)


def test_voxels_that_a_reader_corrected_stay(source):
    everywhere = carry(source, anything(MYO))
    row, column = np.argwhere(everywhere != TARGET.predicted)[0]
    edited = TARGET.predicted.copy()
    edited[row, column] = RV
    target = PhaseSlice(image=TARGET.image, predicted=TARGET.predicted, labels=edited)
    result = carry(source, anything(MYO), target=target)
    assert result[row, column] == RV
    everywhere[row, column] = RV
    assert np.array_equal(result, everywhere)
    assert np.count_nonzero(edited != TARGET.predicted) == 1  # the given labels are not changed


@pytest.mark.parametrize("protected", [LV, MYO])
def test_protected_structures_neither_lose_nor_gain(source, protected):
    result = carry(source, anything(MYO), protected=[protected])
    assert np.array_equal(result, TARGET.predicted)


def test_each_changed_voxel_takes_its_own_label():
    before, after = np.zeros((2, 6, 6), np.uint8)
    after[1, 1:3], after[4, 4] = RV, LV
    changed, labels = move_change(before, after, np.indices((6, 6)).astype(float))
    assert np.array_equal(changed, after > 0)
    assert np.array_equal(np.where(changed, labels, 0), after)


@pytest.mark.parametrize(("away", "moves"), [(0.29, True), (0.3, False)])
def test_a_voxel_changes_if_more_than_half_did(away, moves):
    before, after = np.zeros((2, 6, 6), np.uint8)
    after[3, 2] = LV  # of which 0.71² lies at this voxel, or 0.7²
    changed, _ = move_change(before, after, np.indices((6, 6)) + away)
    assert changed.any() == changed[3, 2] == moves


def test_nothing_is_carried_without_change_or_heart():
    assert np.array_equal(carry(phase(22, 28), anything(MYO)), TARGET.predicted)
    empty = np.zeros(SHAPE, np.uint8)
    nothing = PhaseSlice(image=TARGET.image, predicted=empty, labels=empty)
    assert not carry(nothing, anything(MYO), target=nothing).any()

"""Images that cannot be segmented, and single voxels that are far outside."""

from __future__ import annotations

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.segmentation.image_check import (
    BLANK_PHASES,
    CLIPPED,
    CONSTANT_IMAGE,
    ODD_SLICES,
    checked_image,
    note_on_left_out,
    odd_slice_warnings,
    usable_phases,
)

from ...helpers.checks.problems import says_only
from ...helpers.data.models import made_image

SPACING = (8.0, 1.5, 1.5)


@pytest.mark.parametrize("value", [1, -1024, 0.5])
def test_constant_image_is_refused(value: float) -> None:
    for image in (np.full((3, 20, 20), value), np.full((2, 3, 20, 20), value)):
        with pytest.raises(AppError, check=says_only(CONSTANT_IMAGE, value=value)):
            checked_image(image, SPACING)


@pytest.mark.parametrize("value", [0, 7])
def test_one_constant_channel_is_accepted(value: float) -> None:
    image = np.stack([made_image((3, 20, 20)), np.full((3, 20, 20), value, np.float32)])
    assert checked_image(image, SPACING)[1] == ()


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8])
def test_ordinary_image_is_returned_as_it_is(dtype: type) -> None:
    image = made_image((3, 40, 40)).clip(0, 255).astype(dtype)
    image[1, 20, 20] = 255  # a bright vessel
    channels, notes = checked_image(image, SPACING)
    assert np.shares_memory(channels, image)
    assert notes == ()


@pytest.mark.parametrize("value", [1e9, -1e9])
def test_voxel_far_outside_is_clipped(value: float) -> None:
    image = made_image((3, 40, 40))
    expected = image.copy()
    inside = np.delete(image.ravel(), 500)
    expected.flat[500] = limit = inside.max() if value > 0 else inside.min()
    image.flat[500] = value
    channels, notes = checked_image(image, SPACING)
    np.testing.assert_array_equal(channels[0], expected)
    assert channels.dtype == image.dtype
    assert notes == (CLIPPED.format(count="1 voxel", furthest=value, limit=limit),)
    assert image.flat[500] == value  # the caller's array is left alone


def test_large_bright_region_is_no_outlier() -> None:
    image = made_image((3, 40, 40))
    image[:, :5, :5] = np.linspace(5e5, 1e6, 25).reshape(5, 5)
    assert checked_image(image, SPACING)[1] == ()


@pytest.mark.parametrize("value", [-32768, -100, 250, 32767])  # others: 0 to 81
def test_padding_far_outside_is_clipped(value: int) -> None:
    image = made_image((3, 40, 40)).astype(np.int16)
    inside = image[:, :, 3:]
    limit = inside.max() if value > 0 else inside.min()
    expected = image.copy()
    image[:, :, :3], expected[:, :, :3] = value, limit
    channels, notes = checked_image(image, SPACING)
    np.testing.assert_array_equal(channels[0], expected)
    assert notes == (CLIPPED.format(count="360 voxels", furthest=value, limit=limit),)


def test_saturated_and_black_voxels_are_kept() -> None:
    image = made_image((3, 40, 40)).clip(40, 60).astype(np.int16)
    assert min((image == 40).mean(), (image == 60).mean()) > 0.01
    assert checked_image(image, SPACING)[1] == ()


def test_phases_without_an_image_are_named() -> None:
    cine = np.stack([made_image((3, 20, 20), seed=seed) for seed in range(5)])[None]
    assert usable_phases(cine, SPACING) == [1, 2, 3, 4, 5]
    cine[:, 1], cine[0, 3, 0, 0, 0] = 7, np.inf
    assert usable_phases(cine, SPACING) == [1, 3, 5]
    assert note_on_left_out([1, 3, 5], 5) == BLANK_PHASES.format(phases="phases 2, 4")
    assert note_on_left_out([1, 2], 2) == note_on_left_out([], 2) == ""


@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize(("odd", "numbers"), [((), None), ((2,), "3"), ((2, 4), "3, 5")])
def test_blank_and_repeated_slices_warn(odd: tuple[int, ...], numbers: str, axis: int) -> None:
    planes = np.random.default_rng(0).normal(size=(7, 20, 20)).astype(np.float32)
    planes[[0, 6]] = 0  # padding
    for z in odd:
        planes[z] = 0 if z == 2 else planes[z - 1]
    image = np.moveaxis(planes, 0, axis)[None]
    spacing = np.roll(SPACING, axis)
    expected = (ODD_SLICES.format(numbers=numbers),) if numbers else ()
    assert odd_slice_warnings(image, (spacing[0], spacing[1], spacing[2])) == expected


def test_phase_with_a_blank_slice_is_not_chosen() -> None:
    cine = np.random.default_rng(0).normal(size=(1, 3, 5, 20, 20))
    cine[0, 1, 2] = 0
    assert usable_phases(cine, SPACING) == [1, 3]

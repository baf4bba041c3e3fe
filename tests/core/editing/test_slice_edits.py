"""A structure removed from a slice, copied or interpolated."""

import numpy as np
import pytest

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.editing.interpolation import blend_slices
from napari_bayes_nnunet.core.editing.slice_edits import (
    IN_NEITHER_SOURCE,
    TOO_SMALL,
    copy_structures,
    interpolate_slice,
    nearest_sources,
    remove_structure,
)

from ...helpers.checks.problems import says
from ...helpers.data.slices import LV, MYO, RV, disk, heart, random_labels

# Absent


@pytest.mark.parametrize("labels", [heart(), heart(rv=0)], ids=["present", "absent"])
def test_an_absent_rv_is_background(labels):
    np.testing.assert_array_equal(remove_structure(labels, RV), np.where(labels == RV, 0, labels))


def test_without_lv_the_myocardium_is_a_cap():
    labels = heart()
    absent = remove_structure(labels, LV)
    np.testing.assert_array_equal(absent, np.where(labels == LV, MYO, labels))
    protected = remove_structure(labels, LV, protected={MYO})
    np.testing.assert_array_equal(protected, np.where(labels == LV, 0, labels))


def test_protected_structures_stay():
    labels = heart()
    np.testing.assert_array_equal(remove_structure(labels, LV, protected={LV}), labels)


# Copy


def test_all_is_copied():
    source, target = heart(lv=5), heart(lv=9)
    result = copy_structures(source, target)
    np.testing.assert_array_equal(result, source)
    assert result is not source


def test_a_larger_lv_is_copied_over_the_myocardium():
    result = copy_structures(heart(lv=10), heart(lv=6, wall=6), label=LV)
    np.testing.assert_array_equal(result == LV, disk(10))
    np.testing.assert_array_equal(result == MYO, disk(12) & ~disk(10))


def test_smaller_lv_is_copied_and_myocardium_follows():
    result = copy_structures(heart(lv=5), heart(lv=8), label=LV)
    np.testing.assert_array_equal(result == LV, disk(5))
    np.testing.assert_array_equal(result == MYO, disk(13) & ~disk(5))
    np.testing.assert_array_equal(result == RV, heart(lv=8) == RV)


def test_a_structure_absent_there_is_absent_here():
    result = copy_structures(heart(rv=0), heart(), label=RV)
    assert not (result == RV).any()
    assert (result[disk(13)] > 0).all()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("label", [None, LV])
def test_copying_neither_changes_nor_gains_what_is_protected(seed, label):
    rng = np.random.default_rng(seed)
    source, target = random_labels(rng), random_labels(rng)
    kept = source.copy(), target.copy()
    result = copy_structures(source, target, label=label, protected={MYO})
    np.testing.assert_array_equal([source, target], kept)
    np.testing.assert_array_equal(result == MYO, target == MYO)
    free = target != MYO
    np.testing.assert_array_equal((result == LV)[free], (source == LV)[free])
    same = copy_structures(source, target, label=LV, protected={LV})
    np.testing.assert_array_equal(same, target)


# Interpolate


def test_the_nearest_corrected_slices():
    assert nearest_sources(5, {0, 2, 4, 8, 9}) == (4, 8)
    assert nearest_sources(4, {0, 2, 4, 8, 9}) == (2, 8)
    assert nearest_sources(1, [2, 0]) == (0, 2)


@pytest.mark.parametrize("corrected", [(), (4,), (1, 2), (6, 7)])
def test_interpolation_needs_corrected_slices_on_both_sides(corrected):
    with pytest.raises(InputError, check=says(slice=5)):
        nearest_sources(4, corrected)


def volume():
    """Return five slices, of which the middle ones are random."""
    rng = np.random.default_rng(0)
    slices = [heart(lv=5), *random_labels(rng, (3, 64, 64)), heart(lv=9)]
    return np.stack(slices)


@pytest.mark.parametrize("z", [1, 2, 3])
def test_a_slice_becomes_what_lies_between_its_sources(z):
    stack = volume()
    kept = stack.copy()
    result = interpolate_slice(stack, z, sources=(0, 4), structures={RV, MYO, LV})
    expected = blend_slices(stack[0], stack[4], z / 4)
    np.testing.assert_array_equal(stack, kept)
    np.testing.assert_array_equal(result[expected > 0], expected[expected > 0])


def test_interpolated_slice_is_nothing_but_what_lies_between():
    stack = volume()
    stack[2] = heart(lv=12, rv=16, at=(30, 30))
    result = interpolate_slice(stack, 2, sources=(0, 4), structures={RV, MYO, LV})
    np.testing.assert_array_equal(result, blend_slices(stack[0], stack[4], 0.5))


def test_one_structure_is_interpolated_and_the_others_stay():
    stack = volume()
    stack[2] = heart(lv=10)
    result = interpolate_slice(stack, 2, sources=(0, 4), structures={LV})
    np.testing.assert_array_equal(result == LV, blend_slices(stack[0], stack[4], 0.5) == LV)
    np.testing.assert_array_equal(result == RV, stack[2] == RV)
    np.testing.assert_array_equal(result > 0, stack[2] > 0)


@pytest.mark.parametrize("structures", [{RV, MYO, LV}, {MYO}, {LV}])
def test_interpolating_neither_changes_nor_gains_what_is_protected(structures):
    stack = volume()
    result = interpolate_slice(stack, 2, sources=(0, 4), structures=structures, protected={MYO})
    np.testing.assert_array_equal(result == MYO, stack[2] == MYO)


def test_towards_an_empty_source_a_heart_tapers():
    stack = volume()
    stack[4] = 0
    sizes = [
        np.count_nonzero(interpolate_slice(stack, z, sources=(0, 4), structures={1, 2, 3}))
        for z in (1, 2, 3)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] > 0


def crossed():
    """Return three slices: a bar, nothing, and a bar across, of which a blend leaves a spot."""
    stack = np.zeros((3, 64, 64), np.uint8)
    stack[0, 30:33, 10:50] = stack[2, 10:50, 30:33] = RV
    return stack


def test_a_structure_that_would_almost_vanish_is_refused():
    with pytest.raises(InputError) as error:
        interpolate_slice(crossed(), 1, sources=(0, 2), structures={RV})
    values = error.value.values
    assert error.value.statement.template == TOO_SMALL
    assert (values["slice"], values["below"], values["above"]) == (2, 1, 3)
    assert (values["size_below"], values["size_above"]) == (120, 120)
    assert values["found"] < 108


def test_a_structure_covered_by_protected_ones_is_refused():
    stack = volume()
    stack[2] = MYO
    with pytest.raises(InputError, check=says(found=0)):
        interpolate_slice(stack, 2, sources=(0, 4), structures={LV}, protected={MYO})


def test_a_structure_that_neither_source_has_is_refused():
    stack = volume()
    stack[[0, 4]] = heart(rv=0)
    with pytest.raises(InputError, check=says(IN_NEITHER_SOURCE)):
        interpolate_slice(stack, 2, sources=(0, 4), structures={RV})

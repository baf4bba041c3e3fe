"""Tests of a structure that appears in a slice, or ends before it."""

import numpy as np

from napari_bayes_nnunet.core.editing.alternatives import Alternative
from napari_bayes_nnunet.core.editing.presence import (
    add_structure,
    find_shapes,
    presence,
    remove_at_end,
)

from ...helpers.data.posteriors import posterior_of
from ...helpers.data.slices import LV, MYO, RV, heart

NOTHING = np.zeros((64, 64), np.uint8)


def test_presence_is_the_share_of_members():
    first = [heart(), heart(), heart(rv=0), NOTHING]
    second = [heart(), heart(rv=0), heart(rv=0), NOTHING]
    posterior = posterior_of(np.asarray([first, second]))
    np.testing.assert_array_equal(presence(posterior, RV), [1, 0.5, 0, 0])
    np.testing.assert_array_equal(presence(posterior, LV), [1, 1, 1, 0])


def test_shapes_are_those_of_most_members_then_the_nearest_slices():
    volume = np.stack([heart(rv=9), heart(rv=0), heart(rv=0), heart(rv=13)])
    alternatives = [
        Alternative(labels=heart(rv=0), members=(0, 1, 2)),
        Alternative(labels=heart(rv=9), members=(3, 4)),
        Alternative(labels=heart(rv=12), members=(5,)),
    ]
    *seen, nearest, last = find_shapes(RV, alternatives, volume, 1)
    assert seen == alternatives[1:]
    np.testing.assert_array_equal([nearest.labels, last.labels], [volume[0], volume[3]])
    assert find_shapes(RV, alternatives[:1], volume[1:3], 0) == []


def test_added_structure_is_that_of_its_source():
    added = add_structure(heart(), source=heart(rv=9), label=RV)
    np.testing.assert_array_equal(added == RV, heart(rv=9) == RV)
    np.testing.assert_array_equal(added[added != RV], heart(rv=0)[added != RV])


def test_protected_structures_stay_when_one_appears():
    apex = heart(lv=0)
    added = add_structure(apex, source=heart(lv=9), label=LV, protected={MYO})
    np.testing.assert_array_equal(added == MYO, apex == MYO)


def test_cavity_appears_with_its_wall():
    bare = np.where(heart() == RV, heart(), 0).astype(np.uint8)
    np.testing.assert_array_equal(
        add_structure(bare, source=heart(), label=LV, walls=[MYO]), heart()
    )
    walled = heart(lv=0, wall=20)
    kept = add_structure(walled, source=heart(lv=8), label=LV, walls=[MYO])
    np.testing.assert_array_equal(kept[kept != LV], walled[kept != LV])


def test_cavity_ends_with_its_wall_at_base():
    basal = remove_at_end(heart(), LV, walls=[MYO])
    assert set(np.unique(basal)) == {0, RV}
    apical = remove_at_end(heart(), LV)
    assert set(np.unique(apical)) == {0, RV, MYO}
    kept = remove_at_end(heart(), LV, walls=[MYO], protected={MYO})
    np.testing.assert_array_equal(kept == MYO, heart() == MYO)

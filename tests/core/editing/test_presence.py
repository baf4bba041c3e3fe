"""Tests of a structure that appears in a slice, or ends before it."""

import numpy as np
import pytest

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.editing.alternatives import Alternative
from napari_bayes_nnunet.core.editing.presence import add_structure, presence, remove_at_end

from ...helpers.data.posteriors import posterior_of
from ...helpers.data.slices import LV, MYO, RV, heart

NOTHING = np.zeros((64, 64), np.uint8)


def test_presence_is_the_share_of_members():
    first = [heart(), heart(), heart(rv=0), NOTHING]
    second = [heart(), heart(rv=0), heart(rv=0), NOTHING]
    posterior = posterior_of(np.asarray([first, second]))
    np.testing.assert_array_equal(presence(posterior, RV), [1, 0.5, 0, 0])
    np.testing.assert_array_equal(presence(posterior, LV), [1, 1, 1, 0])


def test_added_structure_is_that_of_most_members():
    volume = np.stack([heart(), heart(rv=0), heart()])
    alternatives = [
        Alternative(labels=heart(rv=0), members=(0, 1, 2)),
        Alternative(labels=heart(rv=9), members=(3, 4)),
        Alternative(labels=heart(rv=12), members=(5,)),
    ]
    added = add_structure(volume, 1, label=RV, alternatives=alternatives)
    np.testing.assert_array_equal(added == RV, heart(rv=9) == RV)
    np.testing.assert_array_equal(added[added != RV], heart(rv=0)[added != RV])


def test_structure_no_member_sees_is_interpolated_or_copied():
    volume = np.stack([heart(rv=9), heart(rv=0), heart(rv=13), heart(rv=0)])
    between = add_structure(volume, 1, label=RV, alternatives=[])
    area = np.count_nonzero(between == RV)
    assert np.count_nonzero(volume[0] == RV) < area < np.count_nonzero(volume[2] == RV)
    beyond = add_structure(volume, 3, label=RV, alternatives=[])
    np.testing.assert_array_equal(beyond == RV, volume[2] == RV)
    with pytest.raises(InputError):
        add_structure(np.stack([heart(rv=0)] * 2), 0, label=RV, alternatives=[])


def test_protected_structures_stay_when_one_appears():
    volume = np.stack([heart(lv=9), heart(lv=0), heart(lv=9)])
    added = add_structure(volume, 1, label=LV, alternatives=[], protected={MYO})
    np.testing.assert_array_equal(added == MYO, volume[1] == MYO)


def test_cavity_appears_with_its_wall():
    bare = np.where(heart() == RV, heart(), 0).astype(np.uint8)
    seen = Alternative(labels=heart(lv=8), members=(0,))
    copied = add_structure(np.stack([bare]), 0, label=LV, alternatives=[seen], walls=[MYO])
    np.testing.assert_array_equal(copied, heart())
    beyond = add_structure(np.stack([bare, heart()]), 0, label=LV, alternatives=[], walls=[MYO])
    np.testing.assert_array_equal(beyond, heart())
    volume = np.stack([heart(), bare, heart()])
    between = add_structure(volume, 1, label=LV, alternatives=[], walls=[MYO])
    np.testing.assert_array_equal(between, heart())
    walled = np.stack([heart(lv=0, wall=20)])
    kept = add_structure(walled, 0, label=LV, alternatives=[seen], walls=[MYO])
    np.testing.assert_array_equal(kept[kept != LV], walled[0][kept != LV])


def test_cavity_ends_with_its_wall_at_base():
    basal = remove_at_end(heart(), LV, walls=[MYO])
    assert set(np.unique(basal)) == {0, RV}
    apical = remove_at_end(heart(), LV)
    assert set(np.unique(apical)) == {0, RV, MYO}
    kept = remove_at_end(heart(), LV, walls=[MYO], protected={MYO})
    np.testing.assert_array_equal(kept == MYO, heart() == MYO)

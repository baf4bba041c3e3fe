"""Distinct segmentations of the members: grouped, real, most members first."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.editing import alternatives
from napari_bayes_nnunet.core.editing.alternatives import MOST, find_alternatives
from napari_bayes_nnunet.core.metrics.overlap import pairwise_dice

from ...helpers.data.slices import HEART, LV, heart, random_labels, slice_of_members

EMPTY = np.zeros((64, 64), np.uint8)


def answers(members, near=alternatives.NEAR):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alternatives, "NEAR", near)
        return find_alternatives(slice_of_members(members), HEART)


def test_equal_answers_are_one():
    (only,) = answers([heart()] * 5)
    np.testing.assert_array_equal(only.labels, heart())
    assert sorted(only.members) == [0, 1, 2, 3, 4]


def test_near_equal_answers_are_joined():
    small, large, without = heart(lv=5), heart(lv=10), heart(rv=0)
    found = answers([without, small, large, small, heart(lv=5.1), large, small])
    assert [set(answer.members) for answer in found] == [{1, 3, 4, 6}, {2, 5}, {0}]
    for answer, labels in zip(found, (small, large, without), strict=True):
        np.testing.assert_array_equal(answer.labels, labels)


def test_small_structure_distinguishes_answers_like_large_one():
    without = heart()
    without[without == LV] = 2
    speck = without.copy()
    speck[32, 36] = LV
    assert len(answers([without, speck])) == 2


def test_members_that_lack_a_structure_agree_on_it():
    assert len(answers([heart(rv=0), heart(rv=0)])) == 1


def test_the_nearness_can_be_stated():
    members = [heart(lv=8), heart(lv=9)]
    dice = min(pairwise_dice(members, HEART).values())
    assert len(answers(members, near=dice)) == 1
    assert len(answers(members, near=dice + 0.001)) == 2
    assert len(answers(members, near=0)) == 1


def test_members_of_group_are_near_each_other():
    members = [heart(lv=radius) for radius in np.linspace(6, 11, 12)]
    for answer in answers(members, near=0.85):
        group = [members[m] for m in answer.members]
        for other in group:
            assert min(pairwise_dice([group[0], other], HEART).values()) >= 0.85


def test_a_group_is_shown_by_its_middle():
    radii = [7.6, 8.4, 8.0, 7.8, 8.2]
    (only,) = answers([heart(lv=r) for r in radii], near=0.8)
    assert only.members[0] == 2
    np.testing.assert_array_equal(only.labels, heart(lv=8.0))


def test_group_nearest_to_all_members_is_first():
    found = answers([heart(lv=7), heart(lv=9), heart(lv=8)], near=0.99)
    assert found[0].members == (2,)


@pytest.mark.parametrize("seed", range(5))
def test_every_member_is_in_exactly_one_group(seed):
    rng = np.random.default_rng(seed)
    members = [random_labels(rng, (30, 30)) for _ in range(4)]
    members += [heart(lv=rng.uniform(4, 10), shape=(30, 30), at=(15, 18)) for _ in range(26)]
    found = answers(members)
    assert 1 <= len(found) <= MOST
    assert sorted(m for answer in found for m in answer.members) == list(range(30))
    sizes = [len(answer.members) for answer in found]
    assert sizes == sorted(sizes, reverse=True)
    for answer in found:
        np.testing.assert_array_equal(answer.labels, members[answer.members[0]])


def test_answers_are_joined_to_at_most_eight():
    rng = np.random.default_rng(0)
    found = answers([random_labels(rng) for _ in range(30)])
    assert len(found) <= MOST
    assert sum(len(answer.members) for answer in found) == 30


def test_a_single_member_is_one_answer():
    (only,) = answers([heart()])
    assert only.members == (0,)
    np.testing.assert_array_equal(only.labels, heart())


def test_members_without_structure_give_one_empty_answer():
    (only,) = answers([EMPTY] * 3)
    assert not only.labels.any()
    assert only.members == (0, 1, 2)


def test_member_without_structure_is_own_answer():
    found = answers([heart(), EMPTY, heart()])
    assert [answer.members for answer in found] == [(0, 2), (1,)]
    assert not found[1].labels.any()


def test_structures_not_asked_for_do_not_count():
    members = [heart(lv=5, wall=8), heart(lv=10, wall=3)]
    assert len(find_alternatives(slice_of_members(members), {"RV": 1})) == 1

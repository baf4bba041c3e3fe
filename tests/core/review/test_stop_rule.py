"""The rule for the end of a review."""

import numpy as np
import pytest

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.review.stop_rule import (
    ReferencedVolume,
    RemainingChange,
    count_leading,
    fit_remaining_change,
    numbers_during_review,
    remaining_changes,
    urgent_places,
)


def volume(predicted, reference, scores) -> ReferencedVolume:
    """Return a volume with only an LV, mL and scores per slice."""
    return ReferencedVolume(
        predicted={"LV": np.array(predicted, float)},
        reference={"LV": np.array(reference, float)},
        scores={"LV": np.array(scores, float)},
    )


def test_slices_take_the_reference_in_order_of_the_queue() -> None:
    end_diastole = volume([50, 40, 10], [60, 40, 20], [1, 5, 3])
    end_systole = volume([30, 20], [25, 25], [4, 0])
    numbers = numbers_during_review({1: end_diastole, 2: end_systole}, ed=1, es=2)
    # ED slice 1, ES slice 0, ED slice 2, ED slice 0; ES slice 1 is not in the queue
    assert numbers["LV EDV"] == pytest.approx([100, 100, 100, 110, 120, 120])
    assert numbers["LV ESV"] == pytest.approx([50, 50, 45, 45, 45, 50])
    assert numbers["LV EF"][-1] == pytest.approx(100 * 70 / 120)


def test_remaining_change_counts_later_changes() -> None:
    changes = remaining_changes(np.array([52.0, 50.0, 55.0, 51.0, 50.0]))
    assert changes == pytest.approx([5, 5, 5, 1])


def test_number_missing_at_a_step_is_left_out() -> None:
    vanished = volume([0, 0], [10, 10], [1, 1])
    numbers = numbers_during_review({1: volume([9], [10], [1]), 2: vanished}, ed=1, es=2)
    assert set(numbers) == {"LV EDV"}


@pytest.mark.parametrize(("patients", "known"), [(8, False), (9, True)])
def test_bounds_need_nine_patients(patients, known) -> None:
    rule = fit_remaining_change([np.array([3.0, 1.0])] * patients)
    assert (rule is not None) == known


def test_bound_is_conformal_quantile_of_patients() -> None:
    changes = [np.array([10.0 + n, float(n)]) for n in range(19)]
    rule = fit_remaining_change(changes)
    assert rule is not None
    assert rule.after_90 == (10 + 17, 17)  # 18 of 20
    assert rule.after_80 == (10 + 15, 15)
    assert rule.patients == 19


def test_short_queues_keep_their_last_change() -> None:
    rule = fit_remaining_change([np.array([8.0, 5.0])] * 8 + [np.array([9.0, 4.0, 1.0])])
    assert rule is not None
    assert rule.after_90 == (9, 5)
    assert rule.after_80 == (8, 5)
    assert [rule.bound(7, level) for level in (80, 90)] == [5, 5]


def test_slices_for_a_target() -> None:
    rule = RemainingChange(after_80=(3.0, 1.0), after_90=(6.0, 3.0, 2.0), patients=16)
    assert [rule.slices_for(target) for target in (7, 3, 2.5, 1)] == [0, 1, 2, None]
    assert [rule.slices_for(target, 80) for target in (3, 1)] == [0, 1]


@pytest.mark.parametrize("after", [(), (-1.0,), (1.0, 2.0), (float("nan"),)])
def test_impossible_bounds_are_refused(after) -> None:
    with pytest.raises(InputError):
        RemainingChange(after_80=(0.0,), after_90=after, patients=9)


def test_stopping_at_the_target_keeps_the_promise() -> None:
    """Of new patients at least 90 % are within the target when the rule says stop."""
    random = np.random.default_rng(1)
    within = []
    for _ in range(300):
        walks = np.cumsum(random.standard_normal((20, 12)) * np.linspace(3, 0.3, 12), axis=1)
        changes = [remaining_changes(walk) for walk in walks]
        rule = fit_remaining_change(changes[:19])
        assert rule is not None
        k = rule.slices_for(3.0)
        within.append(k is None or changes[19][min(k, 10)] <= 3.0)
    assert np.mean(within) >= 0.9


def test_leading_slices_end_at_the_first_open_one() -> None:
    places = [(1, 0), (2, 4), (1, 3)]
    assert count_leading(places, {(1, 0), (1, 3)}) == 1
    assert count_leading(places, set(places)) == 3


def test_urgent_slices_are_the_first_of_the_queue() -> None:
    places = [(1, z) for z in range(10)]
    assert urgent_places(places) == set(places[:3])

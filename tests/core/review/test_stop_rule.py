"""The rule for the end of a review."""

import numpy as np
import pytest

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.metrics.conformal import RemainingChange
from napari_bayes_nnunet.core.review.stop_rule import (
    ReferencedVolume,
    ReviewPath,
    fit_remaining_change,
    numbers_during_review,
    urgent_places,
)


def volume(predicted, reference, scores, spread=1.0) -> ReferencedVolume:
    """Return a volume with only an LV, mL and scores per slice, and two members."""
    labels = np.array(predicted, float)
    return ReferencedVolume(
        predicted={"LV": labels},
        members={"LV": np.array([labels - spread, labels + spread])},
        reference={"LV": np.array(reference, float)},
        scores={"LV": np.array(scores, float)},
    )


def path(changes, spreads) -> ReviewPath:
    """Return a path with these distances from its last value."""
    return ReviewPath(values=np.array([*changes, 0.0]), spreads=np.array(spreads, float))


def test_slices_take_the_reference_in_order_of_the_queue():
    end_diastole = volume([50, 40, 10], [60, 40, 20], [1, 5, 3])
    end_systole = volume([30, 20], [25, 25], [4, 0])
    numbers = numbers_during_review({1: end_diastole, 2: end_systole}, ed=1, es=2)
    # ED slice 1, ES slice 0, ED slice 2, ED slice 0; ES slice 1 is not in the queue
    assert numbers["LV EDV"].values == pytest.approx([100, 100, 100, 110, 120, 120])
    assert numbers["LV ESV"].values == pytest.approx([50, 50, 45, 45, 45, 50])
    assert numbers["LV EF"].values[-1] == pytest.approx(100 * 70 / 120)
    of_slice = 2**0.5  # the sample SD of -1 and 1
    assert numbers["LV EDV"].spreads == pytest.approx(
        [3 * of_slice] + [2 * of_slice] * 2 + [of_slice, 0]
    )
    assert numbers["LV ESV"].spreads == pytest.approx([2 * of_slice] * 2 + [of_slice] * 3)


def test_remaining_change_counts_later_changes():
    changes = path([2.0, 0.0, 5.0, 1.0], [4, 3, 2, 1]).changes
    assert changes == pytest.approx([5, 5, 5, 1])


def test_first_step_is_the_first_with_a_small_spread():
    steps = path([1.0] * 4, [4, 2, 3, 1])
    assert [steps.first_step(spread) for spread in (5, 2, 1.5, 0.5)] == [0, 1, 3, 3]


def test_number_missing_at_a_step_or_without_spread_is_left_out():
    vanished = volume([0, 0], [10, 10], [1, 1])
    numbers = numbers_during_review({1: volume([9], [10], [1]), 2: vanished}, ed=1, es=2)
    assert set(numbers) == {"LV EDV"}
    single = volume([9], [10], [1])
    single = ReferencedVolume(
        predicted=single.predicted,
        members={"LV": single.members["LV"][:1]},
        reference=single.reference,
        scores=single.scores,
    )
    assert numbers_during_review({1: single, 2: single}, ed=1, es=2) == {}


@pytest.mark.parametrize(("patients", "known"), [(8, False), (9, True)])
def test_bounds_need_nine_patients(patients, known):
    rule = fit_remaining_change([path([3.0, 1.0], [2, 1])] * patients)
    assert (rule is not None) == known


def test_bound_is_conformal_quantile_of_patients():
    rule = fit_remaining_change([path([10.0 + n, float(n)], [2, 1]) for n in range(19)])
    assert rule is not None
    assert rule.spreads == (1, 2)  # at 0 as at 1, where the queues end
    assert rule.bounds_90 == (17, 10 + 17)  # 18 of 20
    assert rule.bounds_80 == (15, 10 + 15)
    assert rule.patients == 19


def test_patients_count_from_where_their_spread_is_small():
    certain = [path([1.0, 0.5], [1, 0])] * 8
    rule = fit_remaining_change([*certain, path([9.0, 4.0, 0.0], [3, 2, 0])])
    assert rule is not None
    assert [rule.bound(spread) for spread in (0, 0.5, 1, 2, 2.5, 3, 8)] == [
        0.5, 1.0, 1.0, 4.0, 9.0, 9.0, 9.0,
    ]  # fmt: skip


def test_bound_of_the_largest_spread_is_that_of_whole_reviews():
    rule = fit_remaining_change([path([7.0, 0.0], [8**0.5, 2**0.5])] * 9)
    assert rule is not None
    assert [rule.bound(s) for s in (9, 8**0.5, 2.8)] == [7, 7, 0]


RULE = RemainingChange(
    spreads=(0.5, 1.0, 2.0), bounds_80=(1.0, 1.0, 3.0), bounds_90=(2.0, 3.0, 6.0), patients=16
)


def test_spread_for_a_target():
    assert [RULE.spread_for(target) for target in (7, 3, 2.5, 1)] == [2, 1, 0.5, None]
    assert [RULE.spread_for(target, 80) for target in (3, 1, 0.5)] == [2, 1, None]


def test_bound_of_a_spread_between_or_beyond_the_known_ones():
    assert [RULE.bound(spread) for spread in (0, 0.5, 0.7, 1, 9)] == [2, 2, 3, 3, 6]
    assert RULE.bound(0.7, 80) == 1


@pytest.mark.parametrize("bounds", [(), (1.0,), (-1.0, 1.0), (2.0, 1.0), (1.0, float("nan"))])
def test_impossible_bounds_are_refused(bounds):
    with pytest.raises(InputError):
        RemainingChange(spreads=(1.0, 2.0), bounds_80=(0.0, 0.0), bounds_90=bounds, patients=9)


@pytest.mark.parametrize("seed", range(8))
def test_stopping_at_the_target_keeps_the_promise(seed):
    """Each of ten patients follows the rule of the other nine: 90 % of them keep the promise.

    Conformal risk control says so of all sets of patients, not only on the average.
    """
    random = np.random.default_rng(seed)
    walks = np.cumsum(random.standard_normal((10, 6)) * np.linspace(3, 0.3, 6), axis=1)
    spreads = np.sort(random.random((10, 5)), axis=1)[:, ::-1]
    paths = [path(walk[:-1] - walk[-1], s) for walk, s in zip(walks, spreads, strict=True)]
    within, stopped = 0, 0
    for index, new in enumerate(paths):
        rule = fit_remaining_change(paths[:index] + paths[index + 1 :])
        assert rule is not None
        spread = rule.spread_for(3.0)
        stopped += spread is not None
        within += spread is None or new.changes[new.first_step(spread)] <= 3.0
    assert within >= 9
    assert stopped > 0


def test_urgent_slices_are_the_first_of_the_queue():
    places = [(1, z) for z in range(10)]
    assert urgent_places(places) == set(places[:3])

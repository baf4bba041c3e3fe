"""Numbers of a study under review."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from napari_bayes_nnunet.app.review.numbers import StudyNumbers
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.core.heart.slice_volumes import PhaseVolumes
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule, RemainingChange
from napari_bayes_nnunet.core.types import Place

from ...helpers.data.cines import ED, ES, LV, SPACING, STRUCTURES, posterior

NOBODY = Patient()


@pytest.fixture
def posteriors() -> dict[int | None, StoredPosterior]:
    return {phase: posterior(phase) for phase in (ED, ES)}


@pytest.fixture
def labels(posteriors) -> dict[int | None, np.ndarray]:
    return {phase: posterior.prediction.copy() for phase, posterior in posteriors.items()}


@pytest.fixture
def numbers(posteriors, labels) -> StudyNumbers:
    return StudyNumbers(posteriors, labels, SPACING, STRUCTURES)


def test_reviewed_slices_have_no_spread(labels, numbers) -> None:
    measured = numbers.measured(ED, ES, NOBODY)
    assert measured == numbers.predicted(ED, ES, NOBODY)
    assert 0 < measured["LV EF"].value < 100
    assert measured["LV EF"].spread > 0
    before = measured["LV EDV"].spread
    for z in range(4):
        numbers.set_reviewed(ED, z, True)
    assert numbers.measured(ED, ES, NOBODY)["LV EDV"].spread == 0
    for z in range(4):
        numbers.set_reviewed(ED, z, False)
    assert numbers.measured(ED, ES, NOBODY)["LV EDV"].spread == before
    numbers.recount(ED, 0, np.zeros_like(labels[ED][0]))
    numbers.set_reviewed(ED, 0, True)
    assert numbers.predicted(ED, ES, NOBODY) == measured


def test_earlier_corrections_count_at_once(posteriors, labels) -> None:
    labels[ED][1][:4, :5] = LV
    numbers = StudyNumbers(posteriors, labels, SPACING, STRUCTURES)
    added = numbers.measured(ED, ES, NOBODY)["LV EDV"].value
    added -= numbers.predicted(ED, ES, NOBODY)["LV EDV"].value
    assert added == pytest.approx(20 * math.prod(SPACING) / 1000)


def test_recount_of_one_slice_equals_full_count(posteriors, labels, numbers) -> None:
    labels[ES][2][labels[ES][2] == LV] = 0
    numbers.recount(ES, 2, labels[ES][2])
    full = StudyNumbers(posteriors, labels, SPACING, STRUCTURES)
    assert numbers.measured(ED, ES, NOBODY) == full.measured(ED, ES, NOBODY)
    assert numbers.curves() == full.curves()


def test_curves_show_both_ventricles_with_ed_and_es(numbers) -> None:
    curves = numbers.curves()
    assert [curve.structure for curve in curves] == ["LV", "RV"]
    assert (curves[0].ed, curves[0].es) == (ED, ES)


def test_first_looks_are_shown_in_the_curves_alone(posteriors, labels, numbers) -> None:
    looks = {4: np.full((4, 40, 48), LV)}
    shown = StudyNumbers(posteriors, labels, SPACING, STRUCTURES, looks=looks)
    assert shown.curves() == numbers.curves()
    assert shown.measured(ED, ES, NOBODY) == numbers.measured(ED, ES, NOBODY)
    lv, rv = shown.shown_curves()
    assert (lv.phases, lv.provisional, lv.ed, lv.es) == ((ED, ES, 4), {4}, ED, ES)
    assert lv.volumes[-1] == pytest.approx(4 * 40 * 48 * math.prod(SPACING) / 1000)
    assert (rv.phases, rv.provisional) == ((ED, ES), frozenset())


def test_one_phase_has_no_curve(posteriors, labels) -> None:
    single = StudyNumbers({ED: posteriors[ED]}, {ED: labels[ED]}, SPACING, STRUCTURES)
    assert single.curves() == []
    assert single.contributions(ED, None) == []


def test_contributions_leave_out_reviewed_slices(numbers) -> None:
    most = numbers.contributions(ED, ES)
    assert [part.points for part in most] == sorted((p.points for p in most), reverse=True)
    numbers.set_reviewed(most[0].phase, most[0].z, True)
    assert (most[0].phase, most[0].z) not in [(p.phase, p.z) for p in numbers.contributions(ED, ES)]
    assert numbers.contributions(None, None) == []


RULE = IntervalRule(bias=0.0, half_width_80=3.0, half_width_90=5.0, patients=16)


def half_width(numbers: StudyNumbers, name: str, accepted: Sequence[Place] = ()) -> float:
    low, high = numbers.measured(ED, ES, NOBODY, accepted)[name].intervals[90]
    return (high - low) / 2


def test_interval_never_widens_when_a_slice_is_accepted(posteriors, labels) -> None:
    """The bound is twice the spread; accepting the second slice of the LV makes the spread rise."""
    volumes = np.array([[10, 10, 10], [14, 7, 10], [6, 14, 12], [10, 10, 8]], float)
    phases = {
        phase: PhaseVolumes(
            labels={"LV": scale * volumes[0]},
            members={"LV": scale * volumes[1:]},
            reviewed=np.zeros(3, np.bool_),
        )
        for phase, scale in ((ED, 2.0), (ES, 1.0))
    }
    spreads = tuple(np.linspace(0, 30, 3001))
    bounds = tuple(2 * spread for spread in spreads)
    rule = RemainingChange(spreads=spreads, bounds_80=bounds, bounds_90=bounds, patients=16)
    numbers = StudyNumbers(posteriors, labels, SPACING, STRUCTURES, {"LV EDV": rule, "LV EF": RULE})
    numbers.volumes = phases
    accepted: list[Place] = []
    widths, spreads_left = [half_width(numbers, "LV EDV")], []
    for z in (2, 0, 1):
        accepted.append((ED, z))
        numbers.set_reviewed(ED, z, True)
        widths.append(half_width(numbers, "LV EDV", accepted))
        spreads_left.append(numbers.measured(ED, ES, NOBODY, accepted)["LV EDV"].spread)
    assert spreads_left == pytest.approx([1.15, 7.02, 0], abs=0.01)
    assert widths == pytest.approx([60, 2.3, 2.3, 0], abs=0.1)  # at first that of a whole review
    assert half_width(numbers, "LV EF", accepted) == 5  # without a remaining change


def test_correction_changes_the_number_and_keeps_its_interval(posteriors, labels) -> None:
    rules = {"LV EF": RULE, "LV EDV": RULE, "RV EF": RULE}
    numbers = StudyNumbers(posteriors, labels, SPACING, STRUCTURES, rules)
    before = numbers.predicted(ED, ES, NOBODY)
    assert numbers.measured(ED, ES, NOBODY) == before
    z = int(np.argmax((labels[ES] == LV).sum(axis=(1, 2))))
    labels[ES][z][labels[ES][z] == LV] = 0
    numbers.recount(ES, z, labels[ES][z])
    after = numbers.measured(ED, ES, NOBODY)
    for name in rules:
        value = after[name].value
        assert after[name].intervals[90] == pytest.approx((value - 5, value + 5))
    assert after["LV EF"].value != before["LV EF"].value
    assert {name: after[name] for name in ("LV EDV", "RV EF")} == {
        name: before[name] for name in ("LV EDV", "RV EF")
    }
    assert numbers.predicted(ED, ES, NOBODY) == before

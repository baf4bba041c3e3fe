"""Numbers of a study under review."""

from __future__ import annotations

import math
from time import process_time

import numpy as np
import pytest

from napari_bayes_nnunet.app.review.numbers import StudyNumbers
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule

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


def test_unedited_labels_measure_as_predicted(numbers) -> None:
    measured = numbers.measured(ED, ES, NOBODY)
    assert measured == numbers.predicted(ED, ES, NOBODY)
    assert 0 < measured["LV EF"].value < 100
    assert measured["LV EF"].spread > 0


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


def test_recount_does_not_change_the_prediction(labels, numbers) -> None:
    before = numbers.predicted(ED, ES, NOBODY)
    numbers.recount(ED, 0, np.zeros_like(labels[ED][0]))
    numbers.set_reviewed(ED, 0, True)
    assert numbers.predicted(ED, ES, NOBODY) == before


def test_reviewed_slices_have_no_spread(numbers) -> None:
    before = numbers.measured(ED, ES, NOBODY)["LV EDV"].spread
    for z in range(4):
        numbers.set_reviewed(ED, z, True)
    assert numbers.measured(ED, ES, NOBODY)["LV EDV"].spread == 0
    for z in range(4):
        numbers.set_reviewed(ED, z, False)
    assert numbers.measured(ED, ES, NOBODY)["LV EDV"].spread == before


def test_curves_show_both_ventricles_with_ed_and_es(numbers) -> None:
    curves = numbers.curves()
    assert [curve.structure for curve in curves] == ["LV", "RV"]
    assert (curves[0].ed, curves[0].es) == (ED, ES)
    assert curves[0].spreads[0] > 0


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


def test_progress_counts_phases_in_the_queue(numbers) -> None:
    cells = [(ED, z) for z in range(4)]
    numbers.set_reviewed(ES, 0, True)
    assert numbers.progress(cells).uncertain_share == 0
    for cell in cells:
        numbers.set_reviewed(*cell, True)
    done = numbers.progress(cells)
    assert (done.done, done.total, done.uncertain_share) == (4, 4, 1)


def test_snapshot_does_not_change(labels, numbers) -> None:
    snapshot = numbers.snapshot()
    before = snapshot.measured(ED, ES, NOBODY)
    numbers.recount(ED, 0, np.zeros_like(labels[ED][0]))
    numbers.set_reviewed(ES, 1, True)
    assert snapshot.measured(ED, ES, NOBODY) == before != numbers.measured(ED, ES, NOBODY)


def test_edit_of_large_cine_is_measured_fast() -> None:
    shape, members = (12, 128, 128), 30
    heart = np.zeros(shape, np.uint8)
    heart[:, 30:90, 30:90] = 2
    heart[:, 45:75, 45:75] = 3
    shifted = np.stack([np.roll(heart, member % 3, axis=2) for member in range(members)])
    maps = np.ones(shape, np.float32)
    stored = StoredPosterior.from_members(
        np.stack([heart == label for label in range(4)]).astype(np.float32),
        shifted, prediction=heart, maps={"entropy": maps, "mutual-information": maps},
    )  # fmt: skip
    phases = range(1, 26)
    numbers = StudyNumbers(
        dict.fromkeys(phases, stored), dict.fromkeys(phases, heart), SPACING, STRUCTURES
    )
    queue = [(phase, z) for phase in phases for z in range(12)]
    times = []
    for z in range(7):
        started = process_time()
        numbers.recount(1, z, heart[z])
        numbers.measured(1, 12, NOBODY)
        numbers.curves()
        numbers.contributions(1, 12)
        numbers.progress(queue)
        times.append(process_time() - started)
    assert min(times) < 0.03


RULE = IntervalRule(bias=0.0, half_width_80=3.0, half_width_90=5.0, patients=16)
RULES = {"LV EF": RULE, "LV EDV": RULE}


def test_intervals_end_with_the_first_change(posteriors, labels) -> None:
    numbers = StudyNumbers(posteriors, labels, SPACING, STRUCTURES, RULES)
    before = numbers.predicted(ED, ES, NOBODY)
    ef = before["LV EF"]
    assert ef.intervals[90] == pytest.approx((ef.value - 5, ef.value + 5))
    assert numbers.measured(ED, ES, NOBODY) == before
    z = int(np.argmax((labels[ES] == LV).sum(axis=(1, 2))))
    labels[ES][z][labels[ES][z] == LV] = 0
    numbers.recount(ES, z, labels[ES][z])
    after = numbers.measured(ED, ES, NOBODY)
    assert after["LV EF"].intervals == {}
    assert after["LV EDV"].intervals == before["LV EDV"].intervals  # only ES has changed
    assert numbers.predicted(ED, ES, NOBODY) == before


def test_a_change_of_the_lv_keeps_the_interval_of_the_rv(posteriors, labels) -> None:
    numbers = StudyNumbers(posteriors, labels, SPACING, STRUCTURES, RULES | {"RV EF": RULE})
    before = numbers.predicted(ED, ES, NOBODY)["RV EF"].intervals
    z = int(np.argmax((labels[ES] == LV).sum(axis=(1, 2))))
    labels[ES][z][labels[ES][z] == LV] = 0
    numbers.recount(ES, z, labels[ES][z])
    after = numbers.measured(ED, ES, NOBODY)
    assert before
    assert after["RV EF"].intervals == before
    assert after["LV EF"].intervals == {}

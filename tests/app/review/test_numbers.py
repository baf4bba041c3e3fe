"""The numbers of a study, counted again only where something changed."""

from __future__ import annotations

import math
from time import process_time

import numpy as np
import pytest

from napari_bayes_nnunet.app.review.numbers import StudyNumbers
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.heart.function import Patient

from ...helpers.cines import ED, ES, LV, SPACING, STRUCTURES, posterior

NOBODY = Patient()


@pytest.fixture
def posteriors() -> dict[int | None, StoredPosterior]:
    return {phase: posterior(phase) for phase in (ED, ES)}


@pytest.fixture
def labels(posteriors) -> dict[int | None, np.ndarray]:
    return {phase: one.prediction.copy() for phase, one in posteriors.items()}


@pytest.fixture
def numbers(posteriors, labels) -> StudyNumbers:
    return StudyNumbers(posteriors, labels, SPACING, STRUCTURES)


def test_untouched_labels_measure_as_predicted(numbers) -> None:
    measured = numbers.measured(ED, ES, NOBODY)
    assert measured == numbers.predicted(ED, ES, NOBODY)
    assert 0 < measured["LV EF"].value < 100
    assert measured["LV EF"].spread > 0


def test_corrections_of_an_earlier_day_count_at_once(posteriors, labels) -> None:
    labels[ED][1][:4, :5] = LV
    numbers = StudyNumbers(posteriors, labels, SPACING, STRUCTURES)
    added = numbers.measured(ED, ES, NOBODY)["LV EDV"].value
    added -= numbers.predicted(ED, ES, NOBODY)["LV EDV"].value
    assert added == pytest.approx(20 * math.prod(SPACING) / 1000)


def test_a_recount_of_one_slice_equals_counting_all_anew(posteriors, labels, numbers) -> None:
    labels[ES][2][labels[ES][2] == LV] = 0
    numbers.recount(ES, 2, labels[ES][2])
    anew = StudyNumbers(posteriors, labels, SPACING, STRUCTURES)
    assert numbers.measured(ED, ES, NOBODY) == anew.measured(ED, ES, NOBODY)
    assert numbers.curves() == anew.curves()


def test_a_recount_leaves_the_prediction_alone(labels, numbers) -> None:
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


def test_curves_are_of_both_ventricles_and_propose_ed_and_es(numbers) -> None:
    curves = numbers.curves()
    assert [curve.structure for curve in curves] == ["LV", "RV"]
    assert (curves[0].ed, curves[0].es) == (ED, ES)
    assert curves[0].spreads[0] > 0


def test_one_phase_makes_no_curve(posteriors, labels) -> None:
    one = StudyNumbers({ED: posteriors[ED]}, {ED: labels[ED]}, SPACING, STRUCTURES)
    assert one.curves() == []
    assert one.contributions(ED, None) == []


def test_contributions_leave_out_what_is_reviewed(numbers) -> None:
    most = numbers.contributions(ED, ES)
    assert [part.points for part in most] == sorted((p.points for p in most), reverse=True)
    numbers.set_reviewed(most[0].phase, most[0].z, True)
    assert (most[0].phase, most[0].z) not in [(p.phase, p.z) for p in numbers.contributions(ED, ES)]
    assert numbers.contributions(None, None) == []


def test_progress_is_of_the_phases_in_the_queue(numbers) -> None:
    cells = [(ED, z) for z in range(4)]
    numbers.set_reviewed(ES, 0, True)
    assert numbers.progress(cells, ED, ES).uncertain_share == 0
    for cell in cells:
        numbers.set_reviewed(*cell, True)
    done = numbers.progress(cells, ED, ES)
    assert (done.done, done.total, done.uncertain_share) == (4, 4, 1)
    assert math.isnan(numbers.progress(cells, None, None).ef_spread)


def test_a_snapshot_stays_as_it_was(labels, numbers) -> None:
    snapshot = numbers.snapshot()
    before = snapshot.measured(ED, ES, NOBODY)
    numbers.recount(ED, 0, np.zeros_like(labels[ED][0]))
    numbers.set_reviewed(ES, 1, True)
    assert snapshot.measured(ED, ES, NOBODY) == before != numbers.measured(ED, ES, NOBODY)


def test_numbers_of_a_whole_cine_with_thirty_models_follow_an_edit_in_no_time() -> None:
    shape, members = (12, 128, 128), 30
    one = np.zeros(shape, np.uint8)
    one[:, 30:90, 30:90] = 2
    one[:, 45:75, 45:75] = 3
    shifted = np.stack([np.roll(one, member % 3, axis=2) for member in range(members)])
    maps = np.ones(shape, np.float32)
    said = StoredPosterior.from_members(
        np.stack([one == label for label in range(4)]).astype(np.float32),
        shifted, prediction=one, entropy=maps, mutual_information=maps,
    )  # fmt: skip
    phases = range(1, 26)
    numbers = StudyNumbers(
        dict.fromkeys(phases, said), dict.fromkeys(phases, one), SPACING, STRUCTURES
    )
    queue = [(phase, z) for phase in phases for z in range(12)]
    times = []
    for z in range(7):
        started = process_time()
        numbers.recount(1, z, one[z])
        numbers.measured(1, 12, NOBODY)
        numbers.curves()
        numbers.contributions(1, 12)
        numbers.progress(queue, 1, 12)
        times.append(process_time() - started)
    assert min(times) < 0.03

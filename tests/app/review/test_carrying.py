"""Carrying a correction: which slices of other phases change, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.review import carrying as module
from napari_bayes_nnunet.app.review.carrying import prepare_carrying
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.io.study.study import read_study

from ...helpers.checks.problems import says
from ...helpers.data.cines import CINE, ED, ES, LV, MYO, WORST, make_cine

STILL = np.zeros(CINE.shape, np.int16)
OTHER = (ES, WORST[1])


@pytest.fixture
def session(tmp_path) -> ReviewSession:
    return ReviewSession(read_study(make_cine(tmp_path / "heart", phases=(ED, 2, ES))))


def correct(session: ReviewSession) -> np.ndarray:
    """Draw a thicker wall at ED where a member of ES has it; return the mask of the change."""
    members = session.posterior_in(OTHER).members
    wall = (members == MYO).any(axis=0) & (session.predicted_in(OTHER) == LV)
    wall &= session.labels_in(WORST) == LV
    session.labels_in(WORST)[wall] = MYO
    session.note_change([WORST], tool="paint")
    assert wall.any()
    return wall


def test_the_same_slice_of_every_phase_with_a_model_that_agrees_changes(session) -> None:
    wall = correct(session)
    slices = prepare_carrying(session, STILL, WORST).compute()
    assert set(slices) <= {(2, WORST[1]), OTHER}
    expected = session.predicted_in(OTHER).copy()
    expected[wall] = MYO
    assert np.array_equal(slices[OTHER], expected)
    assert np.array_equal(session.labels_in(OTHER), session.predicted_in(OTHER))


def test_accepted_slices_are_left_out(session) -> None:
    correct(session)
    session.decide(OTHER, "accepted")
    assert OTHER not in prepare_carrying(session, STILL, WORST).targets
    session.decide((2, WORST[1]), "accepted")
    with pytest.raises(AppError, check=says(module.ACCEPTED_ELSEWHERE)):
        prepare_carrying(session, STILL, WORST)


def test_a_slice_as_predicted_is_refused(session) -> None:
    with pytest.raises(AppError, check=says(module.NOTHING_TO_CARRY)):
        prepare_carrying(session, STILL, WORST)


def test_later_edits_do_not_reach_the_thread(session) -> None:
    correct(session)
    carried = prepare_carrying(session, STILL, WORST)
    before = carried.compute()
    session.labels[...] = 0
    after = carried.compute()
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[place], after[place]) for place in before)

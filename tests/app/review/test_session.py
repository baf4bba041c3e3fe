"""Review sessions: queue, decisions, log and numbers, without a window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.app.prediction.output_files import FOUND_AMONG_CHOSEN, INFO_CFG
from napari_bayes_nnunet.app.review import session as module
from napari_bayes_nnunet.app.review.accepted_slices import count_open_slices
from napari_bayes_nnunet.app.review.export import collect_outcome
from napari_bayes_nnunet.app.review.findings import describe_finding, sentences_by_slice
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.heart.plausibility import Fault, Finding, MassRange
from napari_bayes_nnunet.io.study.arrays import posterior_file
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState
from napari_bayes_nnunet.io.study.study import read_study, save_work

from ...helpers.data.cines import ED, ES, LV, MYO, RV, STRUCTURES, WORST, drawn, make_cine


def queue_of(session: ReviewSession) -> list:
    return session.queue(session.scores())


def places(session: ReviewSession) -> list:
    return [(item.phase, item.z) for item in queue_of(session)]


def edit(session: ReviewSession, place: tuple, label: int = LV, tool: str = "paint") -> np.ndarray:
    """Paint a corner of the slice and return its earlier labels."""
    before = session.labels_in(place).copy()
    session.labels_in(place)[:4, :5] = label
    session.note_change([place], tool=tool, before={place: before})
    return before


# Phases and slices


def test_session_has_the_segmented_phases(session) -> None:
    assert session.phases == (ED, ES)
    assert session.slices == 4
    assert session.structures == STRUCTURES
    assert session.base_is_first
    assert session.has_place((2, 3))  # not segmented, but it can be looked at
    assert not session.has_place((5, 0))
    assert not session.has_place((ED, 4))
    assert not session.has_place((None, 0))
    assert [session.is_basal((ED, z)) for z in range(4)] == [True, True, False, False]
    assert not session.is_basal((2, 0))  # a phase that was not segmented
    voxels = np.count_nonzero(session.labels_in(WORST) == LV)
    assert session.volume_in(WORST, LV) == pytest.approx(voxels * 8 * 1.5 * 1.25 / 1000)


def test_ed_and_es_come_from_the_volumes(folder, session) -> None:
    assert (session.state.ed, session.state.es) == (ED, ES)
    known = make_cine(folder.parent / "known", ed=3, es=1)
    assert ReviewSession(read_study(known)).state.ed == 3


def test_ed_and_es_without_segmentation_are_replaced(tmp_path) -> None:
    folder = make_cine(tmp_path / "heart", ed=2, es=4)
    session = ReviewSession(read_study(folder))
    assert (session.state.ed, session.state.es) == (ED, ES)
    assert "LV EF" in session.measured()


@pytest.mark.parametrize(("ed", "es", "names"), [(2, 4, set()), (ED, 4, {"LV EDV", "RV EDV"})])
def test_known_ed_and_es_without_segmentation_have_no_ef(tmp_path, ed, es, names) -> None:
    """The EF of other phases would be a wrong one."""
    study = read_study(make_cine(tmp_path / "heart", ed=ed, es=es))
    sourced = replace(study, info=replace(study.info, phases_from=INFO_CFG))
    session = ReviewSession(sourced)
    assert (session.state.ed, session.state.es) == (ed, es)
    assert {name for name in session.measured() if "mass" not in name} == names
    assert session.numbers.contributions(ed, es) == []
    assert session.findings is not None


def test_ed_and_es_found_among_some_phases_are_told_from_known_ones(tmp_path, session) -> None:
    assert session.compared == 2
    session.change(ed=ES, es=ED)  # by the reader
    assert session.compared == 0
    study = read_study(make_cine(tmp_path / "known", ed=ED, es=ES))
    for source, compared in (("", 0), (INFO_CFG, 0), (FOUND_AMONG_CHOSEN, 2)):
        sourced = replace(study, info=replace(study.info, phases_from=source))
        assert ReviewSession(sourced).compared == compared


def test_volume_has_one_phase_without_number(tmp_path) -> None:
    session = ReviewSession(read_study(make_cine(tmp_path / "heart", phases=(None,))))
    assert session.phases == (None,)
    assert {place[0] for place in places(session)} == {None}
    assert "LV volume" in session.measured()
    assert session.has_place((None, 3))


def test_most_uncertain_voxel_has_highest_mutual_information(session) -> None:
    y, x = session.most_uncertain_in(WORST)
    plane = session.study.mutual_information[ED - 1, WORST[1]]
    assert plane[y, x] == plane.max() > 0
    plane[0, -1] = plane.max() + 1  # 20 mm from the heart
    assert session.most_uncertain_in(WORST) == (y, x)


def test_alternatives_of_last_slice_are_cached(session) -> None:
    found = session.alternatives_in(WORST)
    assert len(found) > 1
    assert session.alternatives_in(WORST) is found
    assert session.alternatives_in((ED, 0)) is not found
    assert session.alternatives_in((2, 0)) == []


# The queue


def test_queue_begins_with_worst_slice(session) -> None:
    found = places(session)
    assert found[0] == WORST
    assert len(found) == 8
    assert {phase for phase, _ in found} == {ED, ES}


def test_queue_may_have_all_phases_or_one_structure(tmp_path) -> None:
    folder = make_cine(tmp_path / "heart", phases=(1, 2, 3), ed=1, es=3)
    session = ReviewSession(read_study(folder))
    assert session.queue_phases == (1, 3)
    session.change(all_phases=True)
    assert session.queue_phases == (1, 2, 3)
    session.change(structure="RV")
    assert {item.structure for item in queue_of(session)} == {"RV"}


def test_scores_are_cached_for_each_setting(session) -> None:
    first = session.scores()[ED]
    assert session.scores()[ED] is first
    session.change(leave_out_border=True)
    assert session.scores()[ED] is not first
    session.change(score="area-spread", leave_out_border=False)
    assert session.scores()[ED] is not first


def test_single_model_is_sorted_by_entropy(tmp_path) -> None:
    session = ReviewSession(read_study(make_cine(tmp_path / "heart", members=1)))
    session.change(score="disagreement")
    assert session.score == "entropy"
    assert session.score_sentence
    assert np.isnan(session.measured()["LV EF"].spread)
    session.most_uncertain_in(WORST)
    assert places(session) == []  # the made model is certain everywhere


def test_phase_without_posterior_is_not_queued(folder) -> None:
    posterior_file(folder, ES).unlink()
    session = ReviewSession(read_study(folder))
    assert session.phases == (ED, ES)
    assert {phase for phase, _ in places(session)} == {ED}
    assert session.posterior_in((ES, 0)) is None
    assert session.alternatives_in((ES, 0)) == []
    edit(session, (ES, 0))
    session.decide((ES, 0), "accepted")
    assert session.marks()[(ES, 0)] == {"edited", "accepted"}
    session.most_uncertain_in((ES, 0))


def test_after_stops_at_ends_of_queue(session) -> None:
    queue = queue_of(session)
    first, second, last = (places(session)[i] for i in (0, 1, -1))
    assert session.after(first, queue) == second
    assert session.after(second, queue, step=-1) == first
    assert session.after(last, queue) is None
    assert session.after(first, queue, step=-1) is None
    assert session.after((2, 0), queue) == first
    assert session.after(None, []) is None


def test_next_open_wraps_and_skips_accepted_slices(session) -> None:
    queue, (first, second, *others) = queue_of(session), places(session)
    session.decide(second, "accepted")
    assert session.next_open(first, queue) == others[0]
    assert session.next_open(others[-1], queue) == first
    session.decide(first, "flagged")
    assert session.next_open(others[-1], queue) == first
    for place in (first, *others):
        session.decide(place, "accepted")
    assert session.next_open(first, queue) is None


# Actions of the reader


def test_edit_is_marked_until_undone(session) -> None:
    before = edit(session, WORST)
    assert session.edited_places() == [WORST]
    assert session.marks() == {WORST: {"edited"}}
    session.labels_in(WORST)[:] = before
    session.note_change([WORST], tool="undo or redo")
    assert session.edited_places() == []
    assert session.marks() == {}


def test_edit_of_unsegmented_phase_is_restored(folder, session) -> None:
    edit(session, (2, 1))
    save_work(folder, session.labels_to_save(), session.study.info.geometry, session.state)
    again = ReviewSession(read_study(folder))
    assert again.edited_places() == [(2, 1)]
    assert np.array_equal(again.labels, session.labels)


def test_decision_keeps_comment_and_notes_edits(session) -> None:
    session.comment_on(WORST, "base?")
    assert session.state.decisions[WORST].state == "flagged"
    session.decide(WORST, "accepted")
    decision = session.state.decisions[WORST]
    assert (decision.state, decision.comment, decision.edited) == ("accepted", "base?", False)
    assert decision.when
    before = edit(session, WORST)
    assert session.state.decisions[WORST].edited
    session.labels_in(WORST)[:] = before
    session.note_change([WORST], tool="undo or redo")
    assert not session.state.decisions[WORST].edited
    session.decide(WORST, None)
    assert WORST not in session.state.decisions


def test_undo_accepts_a_slice_again(session) -> None:
    session.decide(WORST, "accepted")
    accepted, spread = session.state.decisions[WORST], session.measured()["LV EDV"].spread
    before = edit(session, WORST)
    edit(session, WORST, RV)
    assert WORST not in session.state.decisions
    session.labels_in(WORST)[:] = before
    session.note_change([WORST], tool="undo or redo")
    assert session.state.decisions[WORST] == accepted
    assert session.measured()["LV EDV"].spread == spread
    before = edit(session, WORST)
    session.decide(WORST, "flagged")
    session.labels_in(WORST)[:] = before
    session.note_change([WORST], tool="undo or redo")
    assert session.state.decisions[WORST].state == "flagged"


def test_numbers_follow_every_edit(session) -> None:
    before = session.measured()
    edit(session, WORST)
    after = session.measured()
    assert after["LV EDV"].value == pytest.approx(before["LV EDV"].value + 20 * 0.015)
    assert after["LV EF"].value > before["LV EF"].value
    assert after["LV ESV"] == before["LV ESV"]
    assert session.predicted() == before


def test_progress_counts_slices_and_uncertain_volume(session) -> None:
    queue = queue_of(session)
    start = session.progress(queue)
    assert (start.done, start.total, start.uncertain_share) == (0, 8, 0)
    session.decide(WORST, "accepted")
    then = session.progress(queue)
    assert then.done == 1
    assert 0 < then.uncertain_share < 1
    for place in places(session):
        session.decide(place, "accepted")
    end = session.progress(queue)
    assert (end.done, end.uncertain_share) == (8, 1)


def test_saved_review_is_restored(folder, session) -> None:
    edit(session, WORST)
    session.decide(WORST, "accepted")
    session.look_at((ES, 1))
    session.change(protected=("LV",), score="area-spread")
    save_work(folder, session.labels_to_save(), session.study.info.geometry, session.state)
    again = ReviewSession(read_study(folder))
    assert again.state == session.state
    assert again.measured() == session.measured()
    assert again.marks() == session.marks()
    assert queue_of(again) == queue_of(session)
    first = session.alternatives_in(WORST)[0]
    assert np.array_equal(again.alternatives_in(WORST)[0].labels, first.labels)


def test_decisions_on_missing_slices_are_ignored(folder) -> None:
    decisions = {(ED, 99): Decision(state="accepted"), (77, 0): Decision(state="flagged")}
    study = read_study(folder)
    save_work(folder, study.edited, study.info.geometry, ReviewState(decisions=decisions))
    session = ReviewSession(read_study(folder))
    assert session.progress(queue_of(session)).done == 0


# Preview


def test_preview_is_not_saved(session) -> None:
    base = session.labels_in(WORST).copy()
    session.preview = WORST, base
    session.labels_in(WORST)[:] = RV
    saved = session.labels_to_save()
    assert np.array_equal(saved, session.study.prediction)
    assert (session.labels_in(WORST) == RV).all()
    session.preview = None
    assert (session.labels_to_save()[ED - 1, WORST[1]] == RV).all()


def test_snapshot_does_not_change(session) -> None:
    edit(session, (ES, 0))
    session.decide((ES, 0), "accepted")
    session.preview = WORST, session.labels_in(WORST).copy()
    session.labels_in(WORST)[:] = RV
    snapshot = session.snapshot()
    assert snapshot.edited_places() == [(ES, 0)]
    numbers, labels = snapshot.measured(), snapshot.labels.copy()
    session.decide((ED, 0), "accepted")
    edit(session, (ED, 0))
    assert snapshot.measured() == numbers != session.measured()
    assert np.array_equal(snapshot.labels, labels)
    assert snapshot.edited_places() == [(ES, 0)]
    assert (ED, 0) not in snapshot.state.decisions
    assert session.edited_places() == [(ED, 0), (ES, 0)]


# The log of use


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """Replace the clock by a list with the seconds since the start."""
    now = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


def test_log_has_time_tool_and_changed_voxels(clock, session) -> None:
    session.look_at(WORST)
    clock[0] = 12.0
    edit(session, WORST, tool="level")
    clock[0] = 15.0
    session.decide(WORST, "accepted")
    clock[0] = 19.0
    session.look_at((ED, 0))
    edited, accepted, looked = session.take_log()
    assert (edited.tool, edited.seconds, edited.inside, edited.outside) == ("level", 12, 0, 20)
    assert (accepted.state, accepted.seconds) == ("accepted", 3)
    assert (looked.seconds, looked.tool, looked.state) == (4, "", "accepted")
    assert {(row.phase, row.z) for row in (edited, accepted, looked)} == {WORST}
    assert session.state.decisions[WORST].seconds == 15
    assert session.take_log() == []


def test_short_views_and_absences_are_not_logged(clock, session) -> None:
    session.look_at(WORST)
    clock[0] = 0.5
    session.look_at((ED, 0))
    assert session.take_log() == []
    clock[0] = 50_000.0
    session.look_at(WORST)
    (row,) = session.take_log()
    assert row.seconds == module.LONGEST_LOOK_S
    places = [(ED, z) for z in range(3)]
    for place in places:
        session.decide(place, "accepted")
    assert [(row.phase, row.z) for row in session.take_log()] == places
    for place in places:
        session.look_at(place)
        clock[0] += 0.5
    assert session.take_log() == []


def test_rows_put_back_come_first(session) -> None:
    session.decide((ED, 0), "accepted")
    rows = session.take_log()
    session.decide((ED, 1), "accepted")
    session.give_back_log(rows)
    assert [row.z for row in session.peek_log()] == [0, 1]
    assert [row.z for row in session.take_log()] == [0, 1]


# Findings


def gap(session: ReviewSession, phase: int, z: int = 1) -> None:
    """Remove the LV from a slice between others."""
    place = (phase, z)
    before = session.labels_in(place).copy()
    session.labels_in(place)[before == LV] = MYO
    session.note_change([place], tool="paint", before={place: before})


def test_findings_are_rows_at_the_start_of_the_queue(session) -> None:
    before = places(session)
    assert session.findings() == []
    gap(session, ES)
    (finding,) = session.findings()
    assert (finding.fault, finding.place, finding.structure) == (Fault.GAP, (ES, 1), "LV")
    assert places(session) == [(ES, 1), *(place for place in before if place != (ES, 1))]
    assert queue_of(session)[0].structure == "LV"
    assert count_open_slices(session)[ES] == len([p for p in before if p[0] == ES])


def test_slice_with_a_finding_is_queued_without_a_score(session) -> None:
    gap(session, ES)
    scores = {phase: {"LV": np.zeros(session.slices)} for phase in (ED, ES)}
    (item,) = session.queue(scores)
    assert (item.phase, item.z, item.structure, item.score) == (ES, 1, "LV", 0)
    session.change(structure="RV")
    assert session.queue({phase: {"RV": np.zeros(session.slices)} for phase in (ED, ES)}) == []


def test_finding_vanishes_when_accepted_or_its_cause_is_corrected(session) -> None:
    gap(session, ED)
    session.decide((ED, 1), "accepted")
    assert session.findings() == []
    session.decide((ED, 1), "flagged")
    assert [finding.place for finding in session.findings()] == [(ED, 1)]
    session.labels_in((ED, 1))[:] = session.predicted_in((ED, 1))
    session.note_change([(ED, 1)], tool="revert")
    assert session.findings() == []


def test_slices_are_checked_in_the_phases_of_the_queue(session) -> None:
    edit(session, (ED, 1), label=LV)  # a piece of LV without myocardium
    faults = {Fault.PIECES, Fault.OPEN_WALL}
    assert {finding.fault for finding in session.findings()} == faults
    session.change(ed=ES, es=ES)
    assert session.findings() == []
    session.change(all_phases=True)
    assert {finding.fault for finding in session.findings()} == faults


def test_removed_pieces_are_findings_until_drawn_or_accepted(tmp_path: Path) -> None:
    session = ReviewSession(read_study(make_cine(tmp_path / "heart", removed=[2, 3])))
    found = [finding for finding in session.findings() if finding.fault is Fault.REMOVED]
    assert [finding.place for finding in found] == [(ED, 2), (ES, 2)]
    removed = drawn(ED, 2)[2:]
    assert found[0].amount == pytest.approx(np.count_nonzero(removed) * 0.015, rel=0.05)
    places = {(item.phase, item.z) for item in session.queue(session.scores())[:2]}
    assert places == {(ED, 2), (ES, 2)}
    session.decide((ES, 2), "accepted")
    drawn_again = np.flatnonzero(session.removed_in(ED).any(axis=(1, 2))).tolist()
    assert drawn_again == [2, 3]
    for z in drawn_again:
        session.labels_in((ED, z))[:] = session.removed_in(ED)[z]
    session.note_change([(ED, z) for z in drawn_again], tool="bring back")
    assert not session.removed_in(ED).any()
    assert not [finding for finding in session.findings() if finding.fault is Fault.REMOVED]


def test_small_removed_pieces_are_no_findings(tmp_path: Path) -> None:
    session = ReviewSession(read_study(make_cine(tmp_path / "heart", removed=[3])))
    assert 0 < np.count_nonzero(session.removed_in(ES)) * 0.015 < 2
    places = [f.place for f in session.findings() if f.fault is Fault.REMOVED]
    assert places == [(ED, 3)]


def test_usual_range_of_the_mass_comes_from_the_calibration(session) -> None:
    session._mass_range = MassRange(low=0.1, high=0.2)
    assert [f.fault for f in session.findings()] == [Fault.MASS]


def test_every_finding_is_a_sentence_with_its_slice(session) -> None:
    for fault in Fault:
        finding = Finding(fault=fault, place=(ES, 2), structure="LV", amount=0.25)
        text = str(describe_finding(session, finding))
        assert text.startswith(session.title_of((ES, 2)))


def test_report_lists_open_findings(session) -> None:
    before = collect_outcome(session, None, queue_of(session)).warnings
    gap(session, ED)
    added = collect_outcome(session, None, queue_of(session)).warnings[len(before) :]
    assert added == (sentences_by_slice(session)[ED, 1],)
    session.decide((ED, 1), "accepted")
    assert collect_outcome(session, None, queue_of(session)).warnings == before


def test_sentences_of_a_slice_are_joined(session) -> None:
    edit(session, (ED, 1), label=LV)
    ((place, text),) = sentences_by_slice(session).items()
    assert place == (ED, 1)
    assert len(text.splitlines()) == 2

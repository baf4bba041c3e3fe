"""View of a review: the forms after every edit, move and decision."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel

from napari_bayes_nnunet.app.review.comparisons import PAPILLARY
from napari_bayes_nnunet.app.review.stop_advice import word_advice
from napari_bayes_nnunet.core.metrics.conformal import RemainingChange
from napari_bayes_nnunet.core.review.queue import review_queue
from napari_bayes_nnunet.io.study.arrays import posterior_file
from napari_bayes_nnunet.io.study.study import read_study, save_work
from napari_bayes_nnunet.widgets.editing.level_slider import (
    ANSWER_SHOWN,
    EDITED_BY_HAND,
    level_text,
)
from napari_bayes_nnunet.widgets.layers.captions import PROVISIONAL_TEXT
from napari_bayes_nnunet.widgets.layers.structure_contours import find_contours
from napari_bayes_nnunet.widgets.reading.numbers import INTERVAL
from napari_bayes_nnunet.widgets.reading.progress import DONE_MARK
from napari_bayes_nnunet.widgets.review import view
from napari_bayes_nnunet.widgets.review.view import (
    EDITS,
    NOT_SEGMENTED,
    NOTHING_REMOVED,
    ONE_ALTERNATIVE,
    ONE_PHASE,
)

from ...helpers.data.cines import ED, ES, WORST
from ...helpers.windows.curves import provisional
from ...helpers.windows.reviewing import Review, predicted


def states(review: Review) -> dict:
    return {(row.phase, row.z): row.state for row in review.forms.table.items}


def test_the_table_shows_the_worst_slice_first(review) -> None:
    rows = review.forms.table.items
    assert (rows[0].phase, rows[0].z) == WORST
    assert [row.score for row in rows] == sorted((row.score for row in rows), reverse=True)
    assert rows[0].structure == "RV"


def test_the_grid_has_one_column_per_phase(review) -> None:
    grid = review.forms.grid
    assert grid.current == WORST
    assert "not accepted" in grid.slice_model.reading(*WORST)
    assert "phase 3 (ES)" in grid.slice_model.reading(ES, 0)
    assert grid.cell_rect(2, 0).isEmpty()


def test_a_missing_posterior_leaves_a_gap(make_review, folder) -> None:
    posterior_file(folder, ES).unlink()
    grid = make_review(folder).forms.grid
    assert not grid.cell_rect(ES, 0).isEmpty()
    assert "mm²" not in grid.slice_model.reading(ES, 0)


def test_the_grid_follows_the_structure(review) -> None:
    before = review.forms.grid.slice_model.reading(ES, 0)
    form = review.forms.queue
    form.structures.setCurrentIndex(form.structures.findData("MYO"))
    assert review.forms.grid.slice_model.reading(ES, 0) != before


def test_a_single_member_falls_back_to_entropy(make_review) -> None:
    review = make_review(members=1)
    form = review.forms.queue
    notes: list[str] = []
    form.noted.connect(notes.append)
    form.scores.setCurrentIndex(form.scores.findData("disagreement"))
    assert form.score == "entropy"
    assert notes[-1]


def test_marks_follow_decisions_edits_and_undo(review) -> None:
    assert states(review)[WORST] == ""
    review.press("D")
    review.settle()
    assert states(review)[WORST] == "edited"
    review.press("A")
    review.press("Enter")  # the slice has a finding now
    review.settle()
    assert states(review)[WORST] == "accepted, edited"
    assert "accepted" in review.forms.grid.slice_model.reading(*WORST)
    review.controller.corrections.undo()
    review.settle()
    assert states(review)[WORST] == "edited"
    review.controller.corrections.redo()
    review.settle()
    assert states(review)[WORST] == "accepted, edited"  # the labels that were accepted
    review.press("K")
    review.settle()
    assert states(review)[WORST] == "edited, flagged"


def test_findings_are_shown_until_their_cause_is_corrected(review) -> None:
    order = [(row.phase, row.z) for row in review.forms.table.items]
    assert review.forms.finding.isHidden()
    review.press("N")
    place = review.controller.picture.place
    review.controller.corrections.remove(place, review.session.structures["LV"])
    review.settle()
    rows = {(row.phase, row.z): row for row in review.forms.table.items}
    assert rows[place].findings == review.forms.finding.text() != ""
    assert [(row.phase, row.z) for row in review.forms.table.items] == order
    review.press("N")
    review.settle()
    assert review.forms.finding.isHidden()
    review.controller.corrections.undo()
    review.settle()
    assert not any(row.findings for row in review.forms.table.items)


def test_new_study_starts_with_the_slices_of_findings(make_review, folder) -> None:
    study = read_study(folder)
    study.edited[ES - 1, 1][study.edited[ES - 1, 1] == 3] = 2  # the LV returns in the next slice
    save_work(folder, study.edited, study.info.geometry, study.review)
    review = make_review(folder)
    first = review.forms.table.items[0]
    assert (first.phase, first.z) == (ES, 1)
    assert review.controller.picture.place == (ES, 1)
    assert not review.forms.finding.isHidden()
    review.press("A")
    review.press("Enter")  # dismisses it
    review.settle()
    assert review.forms.table.items[0].findings == ""
    assert review.forms.finding.isHidden()


def test_advice_follows_the_accepted_slices(review) -> None:
    panel = review.forms.stop
    assert panel.isHidden()  # the ensemble of the study is not calibrated
    spread = review.session.measured()["LV EF"].spread
    rule = RemainingChange(
        spreads=(0.9 * spread, spread), bounds_80=(2.5, 9.0), bounds_90=(2.5, 9.0), patients=16
    )
    review.session.numbers.rules = {"LV EF": rule}
    review.controller.view.show_advice()
    assert not panel.isHidden()
    assert not panel.finish_button.isEnabled()
    places = [(item.phase, item.z) for item in review_queue(review.session.default_scores())]
    for place in (p for p in places if review.session.is_basal(p)):
        review.session.decide(place, "accepted")
    review.settle()
    review.controller.view.show_numbers()
    assert review.controller.view.advice.bound == 2.5
    value = review.session.measured()["LV EF"].value
    shown = review.forms.key_numbers.table.texts("LV EF")[INTERVAL]
    assert shown == f"{value - 2.5:.1f}–{value + 2.5:.1f}"
    assert f"{value:.1f} ±\u00a02.5" in panel.text.text()
    panel.finish_button.click()
    assert review.session.state.finished
    review.settle()
    assert not panel.finish_button.isEnabled()


def test_warned_case_is_to_be_reviewed_whole(review) -> None:
    session, doubt = review.session, review.forms.key_numbers.doubt
    assert doubt.isHidden()
    info = session.study.info
    unlike = {phase: {"calibration": {}, "unlike_training": True} for phase in info.reports}
    session.study = replace(session.study, info=replace(info, reports=unlike))
    review.controller.view.show_numbers()
    assert not doubt.isHidden()
    assert doubt.text() == word_advice(session, None)
    for place in session.to_accept():
        session.decide(place, "accepted")
    review.controller.view.show_numbers()
    assert doubt.isHidden()


def test_slice_that_was_only_looked_at_changes_no_interval(review) -> None:
    rule = RemainingChange(spreads=(99.0,), bounds_80=(4.0,), bounds_90=(9.0,), patients=16)
    review.session.numbers.rules = {"LV EF": rule, "RV EF": rule}
    review.controller.view.show_numbers()
    before = review.session.measured()
    texts = [review.forms.key_numbers.table.texts(name) for name in ("LV EF", "RV EF")]
    assert all(text[INTERVAL] for text in texts)
    for keys in ("W", "WW", "Q"):
        for key in keys:
            review.press(key)
            review.settle()
        for name in ("LV EF", "RV EF"):  # the answer on screen is measured, as wide as before
            low, high = review.session.measured()[name].intervals[90]
            assert high - low == pytest.approx(18)
        review.press("N")
        review.settle()
        assert review.session.measured() == before
        assert [review.forms.key_numbers.table.texts(name) for name in ("LV EF", "RV EF")] == texts


def test_advice_is_found_once_after_a_change(review, monkeypatch) -> None:
    found: list[object] = []
    monkeypatch.setattr(view, "advise", lambda *_: found.append(None))
    for count, key in enumerate("ADW", start=1):
        review.press(key)
        review.settle()
        assert len(found) == count


def test_the_buttons_show_the_decision(review) -> None:
    forms = review.forms.slice
    assert not forms.buttons["previous"].isEnabled()
    assert forms.buttons["next"].isEnabled()
    review.press("A")
    review.controller.picture.show_slice(WORST)
    review.settle()
    assert forms.buttons["accept"].text().startswith("Accepted")
    review.controller.comment("valve plane")
    review.press("N")
    review.settle()
    assert forms.comment.text() == ""
    assert forms.buttons["accept"].text().startswith("Accept ")
    review.press("Shift-N")
    review.settle()
    assert forms.comment.text() == "valve plane"


def test_numbers_follow_every_edit_and_its_undo(review, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(review.forms.numbers, "set_numbers", lambda now, *_: seen.append(now))
    review.forms.corrections.structures.set_structure("LV")
    review.press("D")
    review.settle()
    review.controller.corrections.undo()
    review.settle()
    assert [numbers["LV EDV"].value for numbers in seen] == pytest.approx(
        [
            review.session.predicted()["LV EDV"].value - review.session.volume_in(WORST, 3),
            review.session.predicted()["LV EDV"].value,
        ]
    )


def test_the_papillary_rule_is_shown(review) -> None:
    assert review.forms.numbers.rules.text() == PAPILLARY


def test_accepting_moves_progress_without_judging_the_ef(review) -> None:
    progress = review.forms.progress
    assert "0 of 8" in progress.slices.text()
    # No spread and no advice to stop: neither rests on calibrated intervals.
    texts = [label.text() for label in progress.findChildren(QLabel) if not label.isHidden()]
    assert texts == [progress.slices.text()]
    for _ in range(8):
        review.press("A")
    review.settle()
    assert "8 of 8" in progress.slices.text()
    assert progress.bar.value() == progress.bar.maximum()
    assert progress.slices.text().endswith(DONE_MARK)


def test_the_volume_curve_shows_ed_and_es(review) -> None:
    assert review.forms.volumes.landmarks == (ED, ES)
    assert not review.forms.volumes.isHidden()


def test_a_volume_has_no_curve_and_one_phase(make_review) -> None:
    review = make_review(phases=(None,))
    assert review.forms.volumes.isHidden()
    form = review.forms.corrections
    assert form.buttons["ED or ES"].toolTip() == form.buttons["play"].toolTip() == ONE_PHASE
    assert form.buttons["absent"].isEnabled()


def test_alternatives_are_counted(review) -> None:
    text = review.forms.corrections.alternative
    count = len(review.session.alternatives_in(WORST))
    whole = text.text()
    assert re.findall(r"\d+", whole) == [str(count)]
    review.press("W")
    assert text.text() == whole  # the canvas names the one on screen


def test_one_alternative_cannot_be_chosen(make_review) -> None:
    review = make_review(members=1)
    assert review.forms.corrections.buttons["next alternative"].toolTip() == ONE_ALTERNATIVE
    review.press("W")
    assert review.said == [ONE_ALTERNATIVE]


def test_the_one_answer_can_replace_an_edit(make_review) -> None:
    review = make_review(members=1)
    review.press("D")
    review.settle()
    form = review.forms.corrections
    assert form.buttons["next alternative"].isEnabled()
    review.press("W")
    review.press("W")
    form.buttons["next alternative"].click()
    assert np.array_equal(review.now(), predicted(review.session, review.controller.picture.place))
    form.buttons["use answer"].click()
    review.settle()
    assert not form.buttons["next alternative"].isEnabled()


def test_the_slider_calls_an_answer_no_level(review) -> None:
    form = review.forms.corrections
    assert form.level.value.text().startswith(level_text(0))
    alternatives = review.session.alternatives_in(WORST)
    for number, _ in enumerate(alternatives, start=1):
        review.press("W")
        review.settle()
        assert form.level.value.text().startswith(ANSWER_SHOWN.format(number=number))
    form.buttons["use answer"].click()
    review.settle()
    label = review.controller.view.label
    same = np.array_equal(review.now() == label, predicted(review.session, WORST) == label)
    assert form.level.value.text().startswith(level_text(0) if same else EDITED_BY_HAND)


def test_the_volume_of_the_structure_is_updated(review) -> None:
    value = review.forms.corrections.level.value
    before = value.text()
    assert "mL" in before
    review.forms.corrections.structures.structure_chosen.emit(review.forms.corrections.structure)
    review.press("D")
    review.settle()
    assert " 0.0 mL" not in before
    assert " 0.0 mL" in value.text()


def test_reasons_match_the_phase(review) -> None:
    why_not = review.controller.view.why_not
    edits = [part for part in EDITS if part not in ("bring back", "valve plane")]
    assert {why_not(part) for part in (*edits, "accept", "play", "ED or ES")} == {""}
    assert why_not("bring back") == NOTHING_REMOVED
    review.controller.picture.show_slice((2, 0))
    assert {why_not(part) for part in (*EDITS, "accept")} == {NOT_SEGMENTED}
    assert why_not("play") == why_not("ED or ES") == ""


def test_the_forms_show_the_saved_settings(make_review, folder) -> None:
    first = make_review(folder)
    form = first.forms.queue
    form.structures.setCurrentIndex(form.structures.findData("LV"))
    form.borders_switch.setChecked(True)
    first.forms.corrections.locks.protection_toggled.emit("MYO", True)
    first.close()
    again = make_review(folder)
    assert again.forms.queue.choices["structure"] == "LV"
    assert again.forms.queue.choices["leave_out_border"]
    assert again.session.state.protected == ("MYO",)
    assert again.forms.corrections.brush.above.editor.box.max == 2.0


def test_a_first_look_is_named_and_counts_for_nothing(make_review) -> None:
    review = make_review(looks=(2, 4))
    picture, controller = review.controller.picture, review.controller
    review.settle()
    plot = review.forms.volumes.plot
    assert provisional(plot) == [2, 4]
    assert plot.measured == (ED, ES)
    caption = picture.caption.text
    assert PROVISIONAL_TEXT not in caption.text
    lines = find_contours(review.viewer, picture.image).layer
    numbers = controller.session.measured()
    picture.go_to((2, 0))
    assert PROVISIONAL_TEXT in caption.text.replace("\n", " ")
    assert len(lines.data)
    assert controller.view.why_not("accept") == NOT_SEGMENTED
    assert not controller.session.labels[1].any()
    assert controller.session.measured() == numbers
    picture.go_to((ES, 0))
    assert PROVISIONAL_TEXT not in caption.text
    assert {item.phase for item in controller.view.queue} == {ED, ES}

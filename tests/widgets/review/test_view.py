"""The forms show how things stand, after every edit, move and decision."""

from __future__ import annotations

import re

import pytest

from napari_bayes_nnunet.io.study.arrays import posterior_file
from napari_bayes_nnunet.widgets.editing.corrections import NO_POSTERIOR
from napari_bayes_nnunet.widgets.reading.numbers import NOT_CLINICAL
from napari_bayes_nnunet.widgets.review.view import EDITS, NOT_SEGMENTED, ONE_ALTERNATIVE, ONE_PHASE

from ...helpers.cines import ED, ES, WORST, make_cine
from ...helpers.reviewing import Desk, desk, make_desk

__all__ = ["desk", "make_desk"]


def states(desk: Desk) -> dict:
    return {(row.phase, row.z): row.state for row in desk.forms.table.items}


def test_the_queue_is_a_table_with_the_worst_first(desk) -> None:
    rows = desk.forms.table.items
    assert (rows[0].phase, rows[0].z) == WORST
    assert [row.score for row in rows] == sorted((row.score for row in rows), reverse=True)
    assert rows[0].structure == "RV"


def test_the_grid_has_a_column_for_every_segmented_phase(desk) -> None:
    grid = desk.forms.grid
    assert grid.current == WORST
    assert "not reviewed" in grid.reading(*WORST)
    assert "phase 3 (ES)" in grid.reading(ES, 0)
    assert grid.cell_rect(2, 0).isEmpty()


def test_a_lost_posterior_leaves_a_gap_in_the_grid(make_desk, tmp_path) -> None:
    folder = make_cine(tmp_path / "heart")
    posterior_file(folder, ES).unlink()
    grid = make_desk(folder).forms.grid
    assert not grid.cell_rect(ES, 0).isEmpty()
    assert "mm²" not in grid.reading(ES, 0)


def test_the_grid_follows_the_structure(desk) -> None:
    before = desk.forms.grid.reading(ES, 0)
    form = desk.forms.queue
    form.structures.setCurrentIndex(form.structures.findData("MYO"))
    assert desk.forms.grid.reading(ES, 0) != before


def test_a_single_model_is_said(make_desk) -> None:
    desk = make_desk(members=1)
    form = desk.forms.queue
    form.scores.setCurrentIndex(form.scores.findData("disagreement"))
    assert form.score == "entropy"
    assert "single model cannot disagree" in form.note.text()


def test_marks_follow_decisions_edits_and_undo(desk) -> None:
    assert states(desk)[WORST] == ""
    desk.press("D")
    desk.settle()
    assert states(desk)[WORST] == "edited"
    desk.press("A")
    desk.settle()
    assert states(desk)[WORST] == "edited, reviewed"
    assert "reviewed" in desk.forms.grid.reading(*WORST)
    desk.desk.corrections.undo()
    desk.settle()
    assert states(desk)[WORST] == ""
    desk.desk.corrections.redo()
    desk.settle()
    assert states(desk)[WORST] == "edited"
    desk.press("K")
    desk.settle()
    assert states(desk)[WORST] == "edited, flagged"


def test_the_buttons_say_what_was_decided(desk) -> None:
    forms = desk.forms.slice
    assert not forms.previous_button.isEnabled()
    assert forms.next_button.isEnabled()
    desk.press("A")
    desk.desk.go_to(*WORST)
    assert forms.accept_button.text().startswith("Accepted")
    desk.desk.comment("valve plane")
    desk.press("N")
    assert forms.comment.text() == ""
    assert forms.accept_button.text().startswith("Accept ")
    desk.press("Shift-N")
    assert forms.comment.text() == "valve plane"


def test_numbers_follow_every_edit_and_its_undo(desk, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(desk.forms.numbers, "set_numbers", lambda now, _: seen.append(now))
    desk.forms.corrections.set_structure("LV")
    desk.press("D")
    desk.settle()
    desk.desk.corrections.undo()
    desk.settle()
    assert [one["LV EDV"].value for one in seen] == pytest.approx(
        [
            desk.session.predicted()["LV EDV"].value - desk.session.volume_in(WORST, 3),
            desk.session.predicted()["LV EDV"].value,
        ]
    )


def test_what_the_spread_is_not_is_said(desk) -> None:
    assert desk.forms.numbers.caveat.text() == NOT_CLINICAL
    assert "Papillary" in desk.forms.numbers.papillary.text()


def test_accepting_moves_progress_and_shrinks_the_spread(desk) -> None:
    progress = desk.forms.progress
    assert progress.slices.text() == "0 of 8 slices"
    spread = progress.spread.text()
    assert spread.startswith("Models' spread left in EF: ±")
    for _ in range(8):
        desk.press("A")
    desk.settle()
    assert progress.slices.text() == "8 of 8 slices"
    assert progress.share.text() == "100 % of the uncertain volume"
    assert progress.spread.text() == "Models' spread left in EF: ± 0.0 points"
    assert progress.advice.text()


def test_the_volume_curve_shows_ed_and_es(desk) -> None:
    assert desk.forms.volumes.landmarks == (ED, ES)
    assert not desk.forms.volumes.isHidden()


def test_a_volume_has_no_curve_and_says_what_needs_phases(make_desk) -> None:
    desk = make_desk(phases=(None,))
    assert desk.forms.volumes.isHidden()
    form = desk.forms.corrections
    assert form.landmark_button.toolTip() == form.play_button.toolTip() == ONE_PHASE
    assert form.revert_button.isEnabled()


def test_alternatives_are_counted(desk) -> None:
    text = desk.forms.corrections.alternative
    count = len(desk.session.alternatives_in(WORST))
    whole = text.text()
    assert re.findall(r"\d+", whole) == [str(count), "5"]
    desk.press("W")
    assert re.findall(r"\d+", text.text())[:2] == ["1", str(count)]
    desk.press("Q")
    assert text.text() == whole


def test_one_answer_is_nothing_to_choose_from(make_desk) -> None:
    desk = make_desk(members=1)
    assert desk.forms.corrections.next_button.toolTip() == ONE_ALTERNATIVE
    desk.press("W")
    assert desk.said == [ONE_ALTERNATIVE]


def test_the_volume_of_the_structure_follows(desk) -> None:
    value = desk.forms.corrections.level.value
    before = value.text()
    assert before.endswith("mL in this slice")
    desk.forms.corrections.structure_chosen.emit(desk.forms.corrections.structure)
    desk.press("D")
    desk.settle()
    assert value.text().endswith(", 0.0 mL in this slice")


def test_why_not_is_one_sentence_for_every_part(desk, make_desk, tmp_path) -> None:
    view = desk.desk.view
    assert {view.why_not(part) for part in (*EDITS, "accept", "play", "ED or ES")} == {""}
    desk.desk.go_to(2, 0)
    assert {view.why_not(part) for part in (*EDITS, "accept")} == {NOT_SEGMENTED}
    assert view.why_not("play") == view.why_not("ED or ES") == ""
    folder = make_cine(tmp_path / "lost")
    posterior_file(folder, ED).unlink()
    lost = make_desk(folder)
    lost.desk.go_to(ED, 1)
    assert lost.desk.view.why_not("level") == lost.desk.view.why_not("alternatives") == NO_POSTERIOR
    assert lost.desk.view.why_not("contour") == lost.desk.view.why_not("accept") == ""


def test_the_forms_begin_as_the_review_was_set_up(make_desk, tmp_path) -> None:
    folder = make_cine(tmp_path / "heart")
    first = make_desk(folder)
    form = first.forms.queue
    form.structures.setCurrentIndex(form.structures.findData("LV"))
    form.borders_switch.setChecked(True)
    first.forms.corrections.protection_toggled.emit("MYO", True)
    first.close()
    again = make_desk(folder)
    assert again.forms.queue.structure == "LV"
    assert again.forms.queue.leaves_out_borders
    assert again.session.state.protected == ("MYO",)
    assert again.forms.corrections.brush.above.editor.box.max == 2.0

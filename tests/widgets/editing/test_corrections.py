"""Corrections: undo steps, protected structures and previews."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_bayes_nnunet.app.review.ends import IS_LOCKED, End
from napari_bayes_nnunet.core.editing.level import apply_level
from napari_bayes_nnunet.core.editing.scribble import UNKNOWN_SHAPE
from napari_bayes_nnunet.io.study.arrays import posterior_file
from napari_bayes_nnunet.widgets.editing import corrections as module
from napari_bayes_nnunet.widgets.editing.corrections import Corrections
from napari_bayes_nnunet.widgets.layers.review_layers import edited_layer, put_on_top
from napari_bayes_nnunet.widgets.layers.viewing import index_of

from ...helpers.data.cines import CINE, ED, ES, LV, MYO, RV, STRUCTURES, VOLUME, WORST, make_cine
from ...helpers.data.valves import mark
from ...helpers.windows.reviewing import opened, paint, plane, predicted, steps_of
from ...helpers.windows.settling import settle
from ..conftest import image_layer

BASE, APEX = (ED, 0), (ED, 3)


class Bench:
    """Test bench with the corrections of a made study in a viewer without a window."""

    def __init__(self, folder: Path) -> None:
        self.viewer = ViewerModel()
        self.session = opened(folder).session
        geometry = self.session.study.info.geometry
        image = self.viewer.add_layer(image_layer(folder.parent, geometry, "shown"))
        self.layer = edited_layer(image, self.session.labels, STRUCTURES, geometry)
        put_on_top(self.viewer, self.layer, active=True)
        self.corrections = Corrections(self.viewer, self.session, self.layer)
        self.said: list[str] = []
        self.changes: list[None] = []
        self.corrections.said.connect(self.said.append)
        self.corrections.changed.connect(lambda: self.changes.append(None))

    def now(self, place: Any = WORST) -> np.ndarray:
        return plane(self.session, place)


@pytest.fixture
def make_bench(qapp, tmp_path) -> Callable[..., Bench]:
    made: list[Bench] = []

    def make(folder: Path | None = None, **study: Any) -> Bench:
        made.append(Bench(folder or make_cine(tmp_path / "heart", **study)))
        return made[-1]

    yield make
    for bench in made:
        bench.corrections.close()


@pytest.fixture
def bench(make_bench) -> Bench:
    return make_bench()


def curve_of(bench: Bench, label: int, growth: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a structure's contour before and after its first handle is pulled outwards."""
    locked = bench.session.state.protected
    bench.session.change(protected=())  # it may be locked after the contour was begun
    bent = bench.corrections.fit_contour(WORST, label)
    bench.session.change(protected=locked)
    assert bent is not None
    away = bent.handles[0] - bent.handles.mean(axis=0)
    moved = bent.move(0, bent.handles[0] + growth * away / np.linalg.norm(away))
    return bent.curve, moved.curve


def move_contour(bench: Bench, label: int = LV) -> None:
    start, moved = curve_of(bench, label, 4)
    bench.corrections.apply_contour(WORST, label, moved, start=start)


def level(bench: Bench) -> None:
    bench.corrections.show_level(WORST, LV, -0.5)
    bench.corrections.accept_preview()


def alternative(bench: Bench) -> None:
    before = bench.now()
    for _ in bench.session.alternatives_in(WORST):
        bench.corrections.step_alternative(WORST, 1)
        if not np.array_equal(bench.now(), before):
            break
    bench.corrections.accept_preview()


def scribble(bench: Bench) -> None:
    """Draw inside of the LV where two of the five members have it, but the prediction has not."""
    posterior = bench.session.posterior_in(WORST)
    seen = (posterior.members == LV).sum(axis=0)
    bench.corrections.scribble(WORST, LV, seen == 2, inside=True)


def interpolate(bench: Bench) -> None:
    for z in (1, 3):
        bench.session.decide((ED, z), "accepted")
    bench.corrections.interpolate(WORST, LV)


EDITS: dict[str, Callable[[Bench], None]] = {
    "level": level,
    "alternative": alternative,
    "contour": move_contour,
    "scribble": scribble,
    "interpolate": interpolate,
    "copy": lambda bench: bench.corrections.copy(WORST, (ES, 2), LV),
    "absent": lambda bench: bench.corrections.remove(WORST, LV),
}


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_is_one_undo_step(bench, name) -> None:
    session, before = bench.session, bench.now()
    EDITS[name](bench)
    after, numbers = bench.now(), session.measured()
    assert not np.array_equal(after, before)
    assert steps_of(bench.layer) == 1
    assert session.edited_places() == [WORST]
    assert "edited" in session.marks()[WORST]
    assert session.peek_log()[-1].tool == name
    assert bench.changes
    assert numbers["LV EDV"].value != session.predicted()["LV EDV"].value
    bench.layer.undo()
    assert np.array_equal(bench.now(), before)
    assert session.edited_places() == []
    assert "edited" not in session.marks().get(WORST, set())
    assert session.measured()["LV EDV"].value == session.predicted()["LV EDV"].value
    assert session.peek_log()[-1].tool == module.UNDO
    bench.layer.redo()
    assert np.array_equal(bench.now(), after)
    assert session.measured() == numbers
    assert session.edited_places() == [WORST]


@pytest.mark.parametrize("name", EDITS)
def test_edits_keep_protected_structures_and_prediction(bench, name) -> None:
    prediction = bench.session.study.prediction.copy()
    bench.session.change(protected=("MYO", "RV"))
    before = bench.now()
    EDITS[name](bench)
    for label in (MYO, RV):
        assert np.array_equal(bench.now() == label, before == label)
    assert np.array_equal(bench.session.study.prediction, prediction)


def test_reverting_keeps_protected_structures(bench) -> None:
    bench.corrections.remove(WORST, RV)
    bench.corrections.remove(WORST, LV)
    bench.session.change(protected=("RV",))
    bench.corrections.revert(WORST)
    assert steps_of(bench.layer) == 3
    wanted = predicted(bench.session, WORST)
    assert np.array_equal(bench.now() == LV, wanted == LV)
    assert not (bench.now() == RV).any()
    bench.session.change(protected=())
    bench.corrections.revert(WORST)
    assert np.array_equal(bench.now(), wanted)
    assert bench.session.edited_places() == []


def test_removed_pieces_are_brought_back_as_one_step(make_bench) -> None:
    bench = make_bench(removed=[2, 3])
    session = bench.session
    before, expected = session.labels.copy(), session.removed_in(ED)
    session.change(protected=("RV",))
    bench.corrections.bring_back(ED)
    assert np.array_equal(session.labels[ED - 1][2:], np.where(expected == RV, 0, expected)[2:])
    session.change(protected=())
    bench.corrections.bring_back(ED)
    assert np.array_equal(session.labels[ED - 1][2:], expected[2:])
    assert np.array_equal(session.labels[ES - 1], before[ES - 1])
    assert session.edited_places() == [(ED, 2), (ED, 3)]
    bench.corrections.undo()
    bench.corrections.undo()
    assert np.array_equal(session.labels, before)


def test_what_lies_beyond_a_valve_is_removed_as_one_step(bench) -> None:
    session, before = bench.session, bench.session.labels.copy()
    mark(session, ES, 0.7)
    mark(session, ES, 1.7, "tricuspid")
    bench.corrections.remove_atria(ES)
    expected = before.copy()
    expected[ES - 1, 0] = 0
    expected[ES - 1, 1][before[ES - 1, 1] == RV] = 0
    assert np.array_equal(session.labels, expected)
    assert session.peek_log()[-1].tool == module.VALVE_PLANE
    bench.corrections.undo()
    assert np.array_equal(session.labels, before)


def test_locked_structure_beyond_a_valve_is_named_and_stays(bench) -> None:
    session, before = bench.session, bench.session.labels.copy()
    mark(session, ES, 0.7)
    session.change(protected=("LV",))
    bench.corrections.remove_atria(ES)
    assert np.array_equal(session.labels, before)
    assert bench.said[-1] == IS_LOCKED.format(structure="LV")


def test_undo_of_marked_valve_returns_the_one_before(bench) -> None:
    session = bench.session
    for z in (0.5, 1.5):
        move = partial(mark, session, ES, z)
        bench.corrections.decide((ES, 0), move, "valve points")
    twice = session.state.hinges
    bench.corrections.undo()
    assert session.kept_in(ES, "LV") == pytest.approx([0, 1, 1, 1])
    bench.corrections.redo()
    assert session.state.hinges == twice
    for _ in range(2):
        bench.corrections.undo()
    assert session.state.hinges == {}


def test_steps_of_several_slices_are_undone_in_turn(bench) -> None:
    seen: list[Any] = []
    bench.corrections.undone.connect(seen.append)
    bench.corrections.remove(WORST, RV)
    bench.corrections.remove((ES, 1), RV)
    assert bench.session.edited_places() == [WORST, (ES, 1)]
    bench.layer.undo()
    assert bench.session.edited_places() == [WORST]
    bench.layer.undo()
    assert bench.session.edited_places() == []
    assert seen == [[(ES, 1)], [WORST]]


# Previews


def test_a_level_is_accepted_as_one_step(bench) -> None:
    base, posterior = bench.now(), bench.session.posterior_in(WORST)
    for margin in (-0.2, -0.9, 0.4, -0.5):
        bench.corrections.show_level(WORST, LV, margin)
        wanted = apply_level(posterior, base, label=LV, margin=margin)
        assert np.array_equal(bench.now(), wanted)  # moves do not accumulate
        assert bench.corrections.is_preview
        assert steps_of(bench.layer) == 0
        assert np.array_equal(bench.session.labels_to_save(), bench.session.study.prediction)
    bench.corrections.accept_preview()
    assert not bench.corrections.is_preview
    assert steps_of(bench.layer) == 1
    assert np.array_equal(bench.session.labels_to_save(), bench.session.labels)
    bench.layer.undo()
    assert np.array_equal(bench.now(), base)


def test_level_zero_is_the_prediction(bench) -> None:
    bench.corrections.show_level(WORST, LV, -0.4)
    bench.corrections.show_level(WORST, LV, 0.0)
    assert np.array_equal(bench.now(), predicted(bench.session, WORST))
    bench.corrections.accept_preview()
    assert steps_of(bench.layer) == 0
    assert bench.session.edited_places() == []


def test_a_preview_counts_when_it_is_kept(bench) -> None:
    before = bench.session.measured()["LV EDV"].value
    bench.corrections.show_level(WORST, LV, -0.5)
    assert bench.session.measured()["LV EDV"].value == before
    bench.corrections.accept_preview()
    assert bench.session.measured()["LV EDV"].value > before
    bench.corrections.undo()
    bench.session.take_log()
    bench.corrections.show_level(WORST, LV, -0.5)
    bench.corrections.discard_preview()
    assert bench.session.measured()["LV EDV"].value == before
    assert bench.session.edited_places() == []
    assert bench.session.peek_log() == []  # nothing was corrected


def test_level_is_known_while_it_is_drawn(bench) -> None:
    corrections = bench.corrections
    level(bench)
    assert corrections.margin_at(WORST, LV) == -0.5
    assert corrections.margin_at(WORST, RV) == corrections.margin_at(BASE, LV) == 0
    bench.layer.undo()
    assert corrections.margin_at(WORST, LV) == 0
    bench.layer.redo()
    corrections.remove(WORST, RV)
    assert corrections.margin_at(WORST, LV) == -0.5
    corrections.show_level(WORST, LV, -0.3)
    assert corrections.margin_at(WORST, LV) == -0.3
    corrections.discard_preview()
    corrections.copy(WORST, (ES, 2), LV)
    assert corrections.margin_at(WORST, LV) is None


def test_the_level_of_a_stroke_is_known(bench) -> None:
    scribble(bench)
    margin = bench.corrections.margin_at(WORST, LV)
    assert margin is not None
    assert margin < 0
    shown = apply_level(bench.session.posterior_in(WORST), bench.now(), label=LV, margin=margin)
    assert np.array_equal(shown == LV, bench.now() == LV)


def test_alternatives_come_in_turn_with_current_labels(bench) -> None:
    bench.corrections.remove(WORST, RV)
    base, alternatives = bench.now(), bench.session.alternatives_in(WORST)
    assert len(alternatives) > 1
    for number, shown in enumerate(alternatives, start=1):
        bench.corrections.step_alternative(WORST, 1)
        assert bench.corrections.shown_alternative == number
        assert np.array_equal(bench.now(), shown.labels)
    bench.corrections.step_alternative(WORST, 1)
    assert bench.corrections.shown_alternative == 0
    assert np.array_equal(bench.now(), base)
    bench.corrections.step_alternative(WORST, -1)
    assert bench.corrections.shown_alternative == len(alternatives)
    bench.corrections.discard_preview()
    assert bench.corrections.shown_alternative == 0
    assert np.array_equal(bench.now(), base)
    assert steps_of(bench.layer) == 1


def test_ctrl_z_discards_the_preview_before_undoing(bench) -> None:
    undo = bench.corrections.undo
    start = bench.now()
    bench.corrections.remove(WORST, RV)
    without = bench.now()
    bench.corrections.step_alternative(WORST, 1)
    undo()
    assert np.array_equal(bench.now(), without)
    undo()
    assert np.array_equal(bench.now(), start)
    bench.corrections.step_alternative(WORST, 1)
    bench.corrections.redo()
    assert np.array_equal(bench.now(), without)


def test_without_steps_undo_and_redo_say_so(bench) -> None:
    undo, redo = bench.corrections.undo, bench.corrections.redo
    said: list[str] = []
    bench.corrections.said.connect(said.append)
    undo()
    redo()
    assert said == [module.NOTHING_TO_UNDO, module.NOTHING_TO_REDO]
    bench.corrections.revert(WORST)
    bench.corrections.remove(WORST, RV)
    said.clear()
    undo()
    redo()
    words = {"what": module.TOOL_WORDS[module.ABSENT], "slices": "slice 3, ED"}
    assert said == [module.UNDONE.format(**words), module.REDONE.format(**words)]


def test_ctrl_z_takes_back_an_unfinished_stroke(bench, qtbot) -> None:
    paint(bench.layer, WORST, 30, 30, RV, qtbot)
    before = bench.now()
    bench.session.change(protected=("LV",))
    y, x = np.argwhere(before == LV)[0]
    bench.layer._begin_stroke()  # as napari does at the press of the mouse
    bench.layer.paint((*index_of(WORST), y, x), RV)
    bench.corrections.undo()
    assert np.array_equal(bench.now(), before)
    bench.corrections.undo()
    assert np.array_equal(bench.now(), predicted(bench.session, WORST))
    bench.layer._begin_stroke()
    bench.corrections.redo()
    assert np.array_equal(bench.now(), before)
    assert not bench.layer._block_history


def test_an_undo_by_a_script_survives_the_preview(bench) -> None:
    start = bench.now()
    bench.corrections.remove(WORST, RV)
    bench.corrections.show_level(WORST, LV, -0.5)
    bench.layer.undo()
    bench.corrections.discard_preview()
    assert np.array_equal(bench.now(), start)


def test_another_tool_accepts_the_preview_first(bench) -> None:
    bench.corrections.show_level(WORST, LV, -0.5)
    shown = bench.now()
    bench.corrections.remove(WORST, RV)
    assert steps_of(bench.layer) == 2
    bench.layer.undo()
    assert np.array_equal(bench.now(), shown)
    bench.corrections.step_alternative(WORST, 1)
    bench.corrections.show_level(WORST, MYO, -0.2)
    bench.corrections.discard_preview()
    assert np.array_equal(bench.now(), bench.session.alternatives_in(WORST)[0].labels)


def test_only_the_preview_of_the_tool_is_accepted(bench) -> None:
    bench.corrections.step_alternative(WORST, 1)
    bench.corrections.accept_preview(module.LEVEL)
    assert bench.corrections.is_preview
    bench.corrections.accept_preview(module.ALTERNATIVE)
    assert not bench.corrections.is_preview


def test_reverting_discards_the_preview(bench) -> None:
    bench.corrections.show_level(WORST, LV, -0.5)
    bench.corrections.revert(WORST)
    assert np.array_equal(bench.now(), predicted(bench.session, WORST))
    assert steps_of(bench.layer) == 0


def test_the_brush_accepts_the_preview(bench, qtbot) -> None:
    bench.corrections.show_level(WORST, LV, -0.5)
    press = bench.viewer.mouse_drag_callbacks[0]
    press(bench.viewer, None)  # dragging moves the picture
    assert bench.corrections.is_preview
    bench.layer.mode = "paint"
    with qtbot.waitSignal(bench.corrections.said) as said:
        press(bench.viewer, None)
    assert said.args == [""]
    assert not bench.corrections.is_preview
    assert steps_of(bench.layer) == 1


# napari's own tools


def test_the_brush_is_logged_by_name(bench, qtbot) -> None:
    bench.layer.mode = "paint"
    paint(bench.layer, WORST, 3, 3, LV, qtbot)
    assert bench.session.edited_places() == [WORST]
    row = bench.session.peek_log()[-1]
    assert (row.tool, row.inside) == ("paint", 0)
    assert row.outside > 10
    bench.layer.undo()
    assert bench.session.edited_places() == []


def test_the_brush_leaves_protected_structures_alone(bench, qtbot) -> None:
    before = bench.now()
    bench.session.change(protected=("MYO",))
    y, x = np.argwhere(before == LV)[0]
    paint(bench.layer, WORST, y, x, RV, qtbot)
    assert np.array_equal(bench.now() == MYO, before == MYO)
    assert ((before == LV) & (bench.now() == RV)).any()
    assert steps_of(bench.layer) == 1
    paint(bench.layer, WORST, 3, 3, MYO, qtbot)  # nor is it gained
    assert np.array_equal(bench.now() == MYO, before == MYO)
    bench.layer.undo()
    assert np.array_equal(bench.now(), before)


def test_a_stroke_that_a_lock_stops_is_reported(bench, qtbot) -> None:
    bench.session.change(protected=("MYO",))
    paint(bench.layer, WORST, 3, 3, LV, qtbot)
    assert bench.said == []
    paint(bench.layer, WORST, 3, 3, MYO, qtbot)
    assert bench.said == [IS_LOCKED.format(structure="MYO")]
    assert steps_of(bench.layer) == 1


def test_fill_and_polygon_leave_protected_structures_alone(bench, qtbot) -> None:
    before = bench.now()
    bench.session.change(protected=("MYO",))
    y, x = np.argwhere(before == MYO)[0]
    bench.layer.fill((ED - 1, WORST[1], y, x), LV)
    settle(qtbot)
    assert np.array_equal(bench.now(), before)
    corners = [[ED - 1, WORST[1], *corner] for corner in ((1, 1), (1, 45), (38, 45), (38, 1))]
    bench.layer.paint_polygon(corners, LV)
    settle(qtbot)
    assert np.array_equal(bench.now() == MYO, before == MYO)
    assert (bench.now() == LV).sum() > (before == LV).sum()


def test_the_brush_is_limited_by_entropy(bench, qtbot) -> None:
    before, entropy = bench.now(), bench.session.entropy_in(WORST)
    bench.corrections.threshold = 0.3
    y, x = bench.session.most_uncertain_in(WORST)
    bench.layer.brush_size = 15
    paint(bench.layer, WORST, y, x, LV, qtbot)
    changed = bench.now() != before
    assert changed.any()
    assert (entropy[changed] > 0.3).all()
    assert steps_of(bench.layer) == 1
    bench.corrections.threshold = None
    paint(bench.layer, WORST, y, x, LV, qtbot)
    assert (entropy[bench.now() != before] <= 0.3).any()


# Single tools


def test_a_structure_one_model_sees_is_one_stroke(bench) -> None:
    stray = bench.session.posterior_in(WORST).members[4][30:, 40:] == RV
    stroke = np.zeros(bench.now().shape, bool)
    stroke[31:35, 43] = True
    before = bench.now()
    assert not (before[stroke] == RV).any()
    bench.corrections.scribble(WORST, RV, stroke, inside=True)
    assert np.array_equal(bench.now()[30:, 40:] == RV, stray)
    changed = bench.now() != before
    assert not changed[:30, :40].any()
    bench.corrections.scribble(WORST, RV, stroke, inside=False)
    assert not (bench.now()[stroke] == RV).any()
    assert steps_of(bench.layer) == 2
    assert len(bench.said) == 2


def test_a_stroke_that_fits_nothing_is_refused(bench) -> None:
    corner, inside = np.zeros((2, *bench.now().shape), bool)
    corner[:3, 0] = True
    inside[bench.now() == RV] = True
    for stroke, is_inside, wanted in (
        (corner, True, UNKNOWN_SHAPE),
        (corner, False, module.ALREADY_OUTSIDE.format("RV")),
        (inside, True, module.ALREADY_INSIDE.format("RV")),
    ):
        bench.corrections.scribble(WORST, RV, stroke, inside=is_inside)
        assert bench.said.pop() == wanted
    bench.corrections.scribble(WORST, RV, corner & False, inside=True)  # beside the image
    assert len(bench.said) == 1
    bench.session.change(protected=("RV",))
    bench.corrections.scribble(WORST, RV, inside, inside=False)
    assert bench.said.pop() == IS_LOCKED.format(structure="RV")
    assert steps_of(bench.layer) == 0


def test_the_contour_of_an_untouched_structure_changes_nothing(bench) -> None:
    for label in (RV, MYO, LV):
        start, _ = curve_of(bench, label, 0)
        bench.corrections.apply_contour(WORST, label, start, start=start)
    assert steps_of(bench.layer) == 0


def test_the_lv_contour_moves_only_the_endocardium(bench) -> None:
    before = bench.now()
    move_contour(bench)
    assert np.array_equal(bench.now() == RV, before == RV)
    assert np.count_nonzero(bench.now() == LV) > np.count_nonzero(before == LV)


def test_the_myocardium_contour_leaves_the_lv(bench) -> None:
    before = bench.now()
    move_contour(bench, MYO)
    assert np.array_equal(bench.now() == LV, before == LV)
    assert not np.array_equal(bench.now() == MYO, before == MYO)


def test_absent_at_the_base_removes_lv_and_myocardium(bench) -> None:
    bench.corrections.remove(BASE, LV)
    assert set(np.unique(bench.now(BASE))) == {0, RV}
    assert steps_of(bench.layer) == 1


def test_absent_at_the_base_leaves_a_protected_wall(bench) -> None:
    bench.session.change(protected=("MYO",))
    before = bench.now(BASE)
    bench.corrections.remove(BASE, LV)
    assert np.array_equal(bench.now(BASE) == MYO, before == MYO)
    assert not (bench.now(BASE) == LV).any()


def test_absent_at_the_apex_closes_the_wall(bench) -> None:
    before = bench.now(APEX)
    bench.corrections.remove(APEX, LV)
    assert np.array_equal(bench.now(APEX) == MYO, (before == MYO) | (before == LV))


def test_removing_an_absent_structure_shows_a_message(bench) -> None:
    bench.corrections.remove(WORST, RV)
    bench.corrections.remove(WORST, RV)
    assert steps_of(bench.layer) == 1
    removed = module.REMOVED.format(structures="RV")
    assert bench.said == [removed, module.NOT_HERE.format("RV")]


def test_moved_base_names_all_structures_that_vanish(bench) -> None:
    bench.corrections.move_end(BASE, LV, End.BASE, outwards=False, show=lambda _: None)
    (message,) = bench.said
    assert message.endswith(module.END_MOVED[None].format("MYO, LV"))


def test_every_edit_says_what_happened(bench) -> None:
    bench.corrections.remove(BASE, LV)
    bench.corrections.revert(BASE)
    bench.corrections.revert(BASE)
    bench.corrections.copy(WORST, (ES, 2), LV)
    bench.corrections.copy(WORST, (ES, 2), LV)
    there = {"structure": "LV", "source": "slice 3, ES"}
    assert bench.said == [
        module.REMOVED.format(structures="MYO, LV"),
        module.REVERTED,
        module.AS_PREDICTED,
        module.COPIED.format(**there),
        module.SAME_THERE.format(**there),
    ]
    before = bench.session.volume_in(WORST, LV)
    scribble(bench)
    volumes = {"before": before, "after": bench.session.volume_in(WORST, LV)}
    assert bench.said[-1].endswith(module.VOLUMES.format(**volumes))
    assert volumes["after"] > before


def test_a_missing_structure_is_not_copied(bench) -> None:
    bench.corrections.remove(APEX, RV)
    before = bench.now()
    bench.corrections.copy(WORST, APEX, RV)
    assert np.array_equal(bench.now(), before)
    assert bench.said[-1] == module.NOT_THERE.format(structure="RV", source="slice 4, ED")


def test_a_locked_structure_is_not_edited(bench) -> None:
    bench.session.change(protected=("LV",))
    edits = (
        lambda: bench.corrections.remove(WORST, LV),
        lambda: bench.corrections.copy(WORST, (ES, 2), LV),
        lambda: interpolate(bench),
        lambda: scribble(bench),
        lambda: level(bench),
        lambda: bench.corrections.fit_contour(WORST, LV),
        lambda: move_contour(bench),
    )
    before = bench.now()
    for edit in edits:
        edit()
    assert np.array_equal(bench.now(), before)
    assert steps_of(bench.layer) == 0
    assert bench.said == [IS_LOCKED.format(structure="LV")] * len(edits)
    assert bench.changes == []
    assert bench.corrections.margin_at(WORST, LV) == 0


def test_interpolation_needs_corrected_slices_on_both_sides(bench) -> None:
    bench.corrections.interpolate(WORST, LV)
    assert len(bench.said) == 1
    assert str(WORST[1] + 1) in bench.said[0]
    assert steps_of(bench.layer) == 0
    bench.corrections.remove((ED, 1), RV)  # corrected, not accepted
    bench.session.decide(APEX, "accepted")  # accepted, not corrected
    before = bench.now()
    bench.corrections.interpolate(WORST, LV)
    assert not np.array_equal(bench.now(), before)
    assert np.array_equal(bench.now() == RV, before == RV)
    below, above = 2, APEX[1] + 1
    (said,) = bench.said[2:]
    assert said.startswith(module.INTERPOLATED.format("LV", below=below, above=above))
    assert "MYO" in said  # which gives way


def test_interpolation_of_nothing_keeps_the_labels(bench) -> None:
    for z in (1, 3):
        bench.corrections.remove((ED, z), RV)
    before, steps = bench.now(), steps_of(bench.layer)
    bench.said.clear()
    bench.corrections.interpolate(WORST, RV)
    assert np.array_equal(bench.now(), before)
    assert steps_of(bench.layer) == steps
    assert len(bench.said) == 1


def test_a_missing_posterior_disables_level_and_alternatives(make_bench, tmp_path) -> None:
    folder = make_cine(tmp_path / "lost")
    posterior_file(folder, ED).unlink()
    bench = make_bench(folder)
    bench.corrections.show_level(WORST, LV, -0.5)
    bench.corrections.step_alternative(WORST, 1)
    bench.corrections.scribble(WORST, LV, bench.now() == RV, inside=True)
    assert bench.said == [module.NO_POSTERIOR] * 3
    assert not bench.corrections.is_preview
    move_contour(bench)
    bench.corrections.remove(WORST, RV)
    bench.corrections.copy(WORST, (ES, 2), LV)
    bench.corrections.revert(WORST)
    assert np.array_equal(bench.now(), predicted(bench.session, WORST))


def test_a_volume_is_corrected_like_a_cine(make_bench) -> None:
    bench, place = make_bench(phases=(None,)), (None, 2)
    assert bench.layer.data.shape == VOLUME.shape
    bench.corrections.show_level(place, LV, -0.5)
    bench.corrections.accept_preview()
    bench.corrections.remove(place, RV)
    assert bench.session.edited_places() == [place]
    bench.layer.undo()
    bench.layer.undo()
    assert np.array_equal(bench.session.labels, bench.session.study.prediction)
    assert CINE.shape[1:] == VOLUME.shape


def test_structures_are_recognised_by_other_names(make_bench) -> None:
    bench = make_bench(structures={"RVC": RV, "LVM": MYO, "LVC": LV})
    bench.corrections.remove(BASE, LV)
    assert not (bench.now(BASE) == MYO).any()

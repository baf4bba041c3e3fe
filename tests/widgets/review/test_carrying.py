"""Carrying a correction to other phases: an offer by pictures, kept or dropped by phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QPixmap

from napari_bayes_nnunet.app.review.carrying import NOTHING_TO_CARRY
from napari_bayes_nnunet.widgets.common.dock import main_window
from napari_bayes_nnunet.widgets.editing import carry as module
from napari_bayes_nnunet.widgets.editing.carried_strip import IN_SIGHT, CarriedStrip
from napari_bayes_nnunet.widgets.editing.corrections import NOT_KEPT
from napari_bayes_nnunet.widgets.layers.viewing import index_of
from napari_bayes_nnunet.widgets.reading.thumbnails import LARGEST_PICTURE

from ...helpers.data.cines import ED, ES, LV, MYO, RV, WORST, make_cine
from ...helpers.windows.reviewing import Review, open_in, predicted, steps_of
from ...helpers.windows.settling import settle
from .test_window_layout import thumbnail_docks

MIDDLE = 2
OTHERS = ((MIDDLE, WORST[1]), (ES, WORST[1]))


@pytest.fixture
def review(make_review: Callable[..., Review]) -> Review:
    """Return the review of three phases, in an image without any motion."""
    return make_review(image=False, phases=(ED, MIDDLE, ES))


def thicken_wall(session: Any, corrections: Any) -> np.ndarray:
    """Draw a thicker wall at ED where a member of another phase has it; return what changed."""
    labels = session.labels_in(WORST).copy()
    wall = np.any([seen_as_wall(session, place) for place in OTHERS], axis=0) & (labels == LV)
    labels[wall] = MYO
    corrections.put_all({WORST: labels}, "paint")
    return wall


def seen_as_wall(session: Any, place: Any) -> np.ndarray:
    """Return where a member has the wall in what is predicted as the LV."""
    members = session.posterior_in(place).members
    return (members == MYO).any(axis=0) & (session.predicted_in(place) == LV)


def carry(review: Review) -> np.ndarray:
    """Correct a slice and carry the correction; return what was corrected."""
    wall = thicken_wall(review.session, review.controller.corrections)
    review.press("Shift-T")
    review.settle()
    return wall


def items_of(strip: CarriedStrip) -> list[Any]:
    return [strip.pictures.item(row) for row in range(strip.pictures.count())]


def test_carried_slices_are_an_offer_until_kept_as_one_undo_step(review) -> None:
    review.press("Shift-T")
    assert review.said == [NOTHING_TO_CARRY]
    session, strip = review.session, review.forms.carried
    wall = carry(review)
    corrected, numbers = review.now(WORST), session.measured()
    assert session.edited_places() == [WORST]
    assert strip.ticked == OTHERS
    assert strip.title.text() == session.title_of(WORST)
    assert [item.text() for item in items_of(strip)] == ["Phase 2", "ES"]
    assert not any(item.icon().isNull() for item in items_of(strip))
    assert review.said[-1].startswith(module.OFFERED[:10].format())
    review.press("Shift-T")
    for place in OTHERS:
        expected = predicted(session, place).copy()
        expected[wall & seen_as_wall(session, place)] = MYO
        assert np.array_equal(review.now(place), expected)
    assert np.array_equal(review.now(WORST), corrected)
    assert session.measured()["LV ESV"].value < numbers["LV ESV"].value
    assert session.peek_log()[-1].tool == module.CARRY
    assert review.said[-1] == module.CARRIED.format(slices="2 other phases")
    assert not strip.ticked
    assert review.controller.picture.place == WORST
    review.controller.corrections.undo()
    review.settle()
    assert session.edited_places() == [WORST]


def test_phases_are_kept_or_left_one_by_one(review) -> None:
    carry(review)
    strip = review.forms.carried
    items_of(strip)[0].setCheckState(Qt.CheckState.Unchecked)
    strip.keep_button.click()
    assert review.session.edited_places() == [WORST, OTHERS[1]]
    assert review.said[-1] == module.CARRIED.format(slices="slice 3, ES")
    review.press("Shift-T")  # the other phase is still as predicted
    review.settle()
    assert strip.ticked == OTHERS[:1]
    items_of(strip)[0].setCheckState(Qt.CheckState.Unchecked)
    assert not strip.keep_button.isEnabled()
    review.press("Shift-T")
    assert review.said[-1] == module.NONE_TICKED
    assert review.controller.carrying.is_offering
    strip.drop_button.click()
    assert review.said[-1] == module.DROPPED
    assert review.session.edited_places() == [WORST, OTHERS[1]]
    assert strip.pictures.count() == 0


def test_a_picture_shows_its_phase(review) -> None:
    carry(review)
    review.controller.player.start()
    strip = review.forms.carried
    strip.pictures.itemPressed.emit(items_of(strip)[1])
    strip.pictures.itemClicked.emit(items_of(strip)[1])
    assert review.controller.picture.place == OTHERS[1]
    assert not review.controller.player.is_playing
    assert strip.ticked == OTHERS
    strip.pictures.itemClicked.emit(items_of(strip)[0])  # without a press: its box was clicked
    assert review.controller.picture.place == OTHERS[1]


def test_names_of_an_offer_follow_ed_and_es(review) -> None:
    carry(review)
    review.forms.volumes.phases_changed.emit(ED, MIDDLE)
    names = [item.text() for item in items_of(review.forms.carried)]
    assert names == ["ES", f"Phase {ES}"]


def test_nothing_is_offered_where_no_model_agrees(review) -> None:
    labels = review.now(WORST)
    labels[0, 0] = RV
    review.controller.corrections.put_all({WORST: labels}, "paint")
    review.press("Shift-T")
    review.settle()
    assert review.said == [module.NOTHING_CHANGES]
    assert not review.controller.carrying.is_offering


def test_slices_edited_meanwhile_are_offered_no_more(review) -> None:
    carry(review)
    items_of(review.forms.carried)[0].setCheckState(Qt.CheckState.Unchecked)
    review.controller.corrections.remove(OTHERS[1], RV)
    assert [item.data(Qt.ItemDataRole.UserRole) for item in items_of(review.forms.carried)] == [
        OTHERS[0]
    ]
    assert review.forms.carried.ticked == ()
    review.controller.corrections.remove(OTHERS[0], RV)
    assert module.CHANGED_MEANWHILE in review.said
    assert not review.controller.carrying.is_offering


@pytest.mark.parametrize(
    "settle_meanwhile",
    [
        lambda review: [review.session.decide(place, "accepted") for place in OTHERS],
        lambda review: review.session.change(protected=("MYO",)),
    ],
    ids=["accepted", "locked"],
)
def test_keeping_gives_way_to_what_the_reader_did(review, settle_meanwhile) -> None:
    carry(review)
    settle_meanwhile(review)
    decisions = dict(review.session.state.decisions)
    review.press("Shift-T")
    assert review.session.edited_places() == [WORST]
    assert review.session.state.decisions == decisions
    assert review.said[-1] == module.CHANGED_MEANWHILE


def test_an_offer_shrinks_when_a_slice_is_accepted(review) -> None:
    carry(review)
    review.controller.picture.show_slice(OTHERS[0])
    review.press("A")
    assert review.forms.carried.ticked == OTHERS[1:]


def test_an_offer_ends_when_its_structure_is_locked(review) -> None:
    carry(review)
    review.forms.corrections.locks.protection_toggled.emit("MYO", True)
    assert not review.controller.carrying.is_offering
    assert review.said[-1] == module.CHANGED_MEANWHILE


def test_an_offer_ends_when_its_correction_is_undone(review) -> None:
    carry(review)
    messages: list[str] = []
    review.controller.said.connect(messages.append)
    review.controller.corrections.undo()
    review.settle()
    assert not review.controller.carrying.is_offering
    assert review.session.edited_places() == []
    assert messages[-1] == module.CHANGED_MEANWHILE


def test_carrying_accepts_no_preview(review) -> None:
    thicken_wall(review.session, review.controller.corrections)
    corrected = review.now(WORST)
    review.press("Shift-T")
    review.controller.corrections.step_alternative(WORST, 1)
    answer = review.now(WORST)
    assert not np.array_equal(answer, corrected)
    review.settle()
    assert review.controller.carrying.is_offering
    assert np.array_equal(review.now(WORST), answer)  # it stays on screen until the slices are kept
    review.press("Shift-T")
    assert np.array_equal(review.now(WORST), corrected)
    assert review.said[-1].endswith(NOT_KEPT.format(number=1))
    assert review.session.edited_places() == [WORST, *OTHERS]
    assert steps_of(review.layer) == 2


def test_a_level_that_is_being_moved_outlives_an_offer(review) -> None:
    thicken_wall(review.session, review.controller.corrections)
    review.press("Shift-T")
    review.controller.corrections.show_level(OTHERS[0], RV, 0.9)
    review.settle()
    assert review.forms.carried.ticked == OTHERS
    review.forms.corrections.level.level_released.emit()
    assert review.session.edited_places() == [WORST, OTHERS[0]]
    assert review.forms.carried.ticked == OTHERS[1:]


def test_nothing_is_kept_that_cannot_be_seen(review) -> None:
    carry(review)
    review.viewer.dims.ndisplay = 3
    review.press("Shift-T")
    assert review.session.edited_places() == [WORST]
    assert review.controller.carrying.is_offering


def test_a_stroke_that_has_not_ended_is_noted(review) -> None:
    carry(review)
    beside = MIDDLE, WORST[1] + 1
    review.layer.paint((*index_of(beside), 0, 0), RV)
    review.press("Shift-T")
    assert review.session.edited_places() == [WORST, OTHERS[0], beside, OTHERS[1]]


def test_a_second_request_waits_and_an_offer_ends_with_the_review(review) -> None:
    thicken_wall(review.session, review.controller.corrections)
    review.press("Shift-T")
    review.press("Shift-T")
    assert review.said == [module.CARRYING]
    review.close()
    settle(review.qtbot, review.controller.carrying)
    assert review.session.edited_places() == [WORST]
    assert not review.controller.carrying.is_offering


def test_unticking_moves_no_picture(qtbot) -> None:
    strip = CarriedStrip()
    qtbot.addWidget(strip)
    strip.show_offer("Slice 3, ED", {(phase, 2): f"Phase {phase}" for phase in range(1, 11)})
    strip.show()
    left = strip.pictures.x()
    items_of(strip)[0].setCheckState(Qt.CheckState.Unchecked)
    strip.layout().activate()
    assert strip.pictures.x() == left


def test_many_pictures_say_how_many_are_in_sight(qtbot) -> None:
    strip = CarriedStrip()
    qtbot.addWidget(strip)
    strip.resize(700, 140)
    strip.show_offer("Slice 3, ED", {(phase, 2): f"Phase {phase}" for phase in range(1, 20)})
    strip.set_picture_size(QSize(90, 90))
    strip.show()
    pictures, shown = strip.pictures, len(strip.pictures.in_sight)
    assert 1 < shown < 10
    for page in range(2):
        first, last = page * shown, (page + 1) * shown
        assert pictures.in_sight == range(first, last)
        assert strip.in_sight.text() == IN_SIGHT.format(first=first + 1, last=last, count=19)
        assert strip.pages[-1].isEnabled() == bool(page)
        qtbot.mouseClick(strip.pages[1], Qt.MouseButton.LeftButton)
    while strip.pages[1].isEnabled():
        qtbot.mouseClick(strip.pages[1], Qt.MouseButton.LeftButton)
    assert pictures.in_sight.stop == 19
    strip.show_offer("Slice 3, ED", {(1, 2): "Phase 1"})
    qtbot.waitUntil(strip.in_sight.isHidden)
    assert not any(page.isVisible() for page in strip.pages.values())


def test_a_dropped_picture_is_pale_and_its_box_empty(qtbot) -> None:
    strip = CarriedStrip()
    qtbot.addWidget(strip)
    strip.show_offer("Slice 3, ED", {(1, 2): "Phase 1"})
    strip.set_picture_size(QSize(90, 90))
    picture = QPixmap(90, 90)
    picture.fill(QColor("red"))
    strip.set_picture((1, 2), picture)
    strip.show()
    pictures, view = strip.pictures, strip.pictures.viewport()
    cell = pictures.visualItemRect(pictures.item(0))
    box, inside = pictures.box_room(cell), pictures.picture_room(cell).center()

    def colors() -> tuple[QColor, int]:
        image = view.grab().toImage()
        area = image.copy(box.adjusted(3, 3, -3, -3))
        lightness = [
            area.pixelColor(x, y).lightness()
            for x in range(area.width())
            for y in range(area.height())
        ]
        return image.pixelColor(inside), max(lightness)

    kept, tick = colors()
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=box.center())
    assert strip.ticked == ()
    dropped, empty = colors()
    assert kept == QColor("red") != dropped
    assert tick > 200 > empty
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=inside)  # goes to the phase
    assert strip.ticked == ()
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=box.center())
    assert strip.ticked == ((1, 2),)


@pytest.mark.parametrize("aspect", [0.1, 10])
def test_pictures_of_any_form_have_room_and_a_name(aspect, qtbot) -> None:
    strip = CarriedStrip()
    qtbot.addWidget(strip)
    strip.show_offer("Slice 3, ED", {(20, 2): "Phase 20"})
    size = strip.picture_size(aspect)
    strip.set_picture_size(size)
    name = strip.pictures.fontMetrics().horizontalAdvance("Phase 20")
    assert max(size.width(), size.height()) <= LARGEST_PICTURE
    assert strip.pictures.gridSize().width() > max(size.width(), name)


def test_the_offer_takes_the_place_of_the_thumbnails(window_dock, tmp_path, qtbot) -> None:
    open_in(window_dock, make_cine(tmp_path / "heart", phases=(ED, MIDDLE, ES)), qtbot)
    controller, forms, settings = window_dock.controller, window_dock.forms, window_dock._settings
    thicken_wall(controller.session, controller.corrections)
    (shown,) = thumbnail_docks(window_dock)
    height = shown.height()

    def offer() -> None:
        controller.act("carry")
        settle(qtbot, window_dock, controller)
        assert controller.carrying.is_offering

    offer()
    assert thumbnail_docks(window_dock) == [shown]
    assert shown.widget().widget() is forms.carried
    assert shown.height() == height
    pictures = forms.carried.pictures
    assert pictures.horizontalScrollBar().maximum() == 0
    assert shown.widget().verticalScrollBar().maximum() == 0  # names and bar are in sight
    size = pictures.iconSize()
    main_window(shown).resizeDocks([shown], [height - 40], Qt.Orientation.Vertical)
    qtbot.waitUntil(lambda: pictures.iconSize().height() < size.height())
    assert pictures.visualItemRect(pictures.item(0)).height() <= pictures.viewport().height()
    main_window(shown).resizeDocks([shown], [height], Qt.Orientation.Vertical)
    qtbot.waitUntil(lambda: pictures.iconSize() == size)
    forms.carried.drop_button.click()
    assert shown.widget().widget() is forms.thumbnails
    qtbot.mouseClick(window_dock.thumbnails_button, Qt.MouseButton.LeftButton)
    assert thumbnail_docks(window_dock) == []
    offer()  # in a dock of its own
    (own,) = thumbnail_docks(window_dock)
    assert not settings.kept.thumbnails
    assert not window_dock.thumbnails_button.isChecked()
    assert forms.grid.isVisible()
    qtbot.mouseClick(own.titleBarWidget().close_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not controller.carrying.is_offering)
    assert thumbnail_docks(window_dock) == []
    offer()
    controller.act("carry")
    assert thumbnail_docks(window_dock) == []
    assert OTHERS[1] in controller.session.edited_places()

"""Actions that are refused, with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from napari_bayes_nnunet.io.study.arrays import posterior_file
from napari_bayes_nnunet.widgets.editing.corrections import NO_POSTERIOR
from napari_bayes_nnunet.widgets.layers.viewing import index_of
from napari_bayes_nnunet.widgets.review.action_check import (
    NO_SLICE_SHOWN,
    NOT_SEGMENTED,
    ONE_PHASE,
    READ_ONLY,
    WAS_COVERED,
    WAS_HIDDEN,
)

from ...helpers.data.cines import ED, ES, MYO, WORST, make_cine
from ...helpers.windows.reviewing import make_review, review

__all__ = ["make_review", "review"]


@pytest.mark.filterwarnings("ignore:Contours are not displayed")  # napari's warning in 3D
@pytest.mark.parametrize(
    "view", [{"ndisplay": 3}, {"order": (3, 0, 1, 2)}, {"order": (2, 3, 0, 1)}]
)
def test_without_a_slice_on_screen_nothing_is_decided(review, view) -> None:
    before = review.session.labels.copy()
    review.viewer.dims.update(view)
    for key in ("A", "D", "K"):
        review.press(key)
    assert review.session.state.decisions == {}
    assert np.array_equal(review.session.labels, before)
    assert review.said[-1] == NO_SLICE_SHOWN


@pytest.mark.parametrize("key", ["A", "K", "D", "Q", "I", "R"])
def test_nothing_is_decided_under_another_image(review, key) -> None:
    other = review.viewer.add_image(np.ones((4, 40, 48)), name="other")
    before = review.now()
    review.press(key)
    assert review.said == [WAS_COVERED]
    assert not other.visible
    assert review.session.state.decisions == {}
    assert np.array_equal(review.now(), before)
    review.press("A")
    assert review.session.state.decisions[WORST].state == "accepted"


def test_an_unsegmented_phase_disables_the_tools(review) -> None:
    review.controller.picture.show_slice((2, 1))
    form = review.forms.corrections
    review.settle()
    assert not form.level.isEnabled()
    assert form.revert_button.toolTip() == NOT_SEGMENTED
    assert form.landmark_button.isEnabled()
    for key in ("A", "W", "D", "R", "I"):
        review.press(key)
    review.controller.tools.edit_contour()
    review.controller.tools.show_level(-0.5)
    assert review.said == [NOT_SEGMENTED] * 7
    assert review.controller.picture.place == (2, 1)
    assert review.session.state.decisions == {}
    review.controller.picture.show_slice(WORST)
    review.settle()
    assert form.level.isEnabled()


def test_a_missing_posterior_disables_level_and_alternatives(make_review, tmp_path) -> None:
    folder = make_cine(tmp_path / "heart")
    posterior_file(folder, ES).unlink()
    review = make_review(folder)
    assert {phase for phase, _ in review.queue} == {ED}
    review.controller.picture.show_slice((ES, 1))
    form = review.forms.corrections
    review.settle()
    assert not form.level.isEnabled()
    assert not form.next_button.isEnabled()
    assert form.level.toolTip() == NO_POSTERIOR
    assert form.revert_button.isEnabled()
    review.press("W")
    assert review.said == [NO_POSTERIOR]
    review.press("D")
    review.press("A")
    assert review.session.state.decisions[ES, 1].edited


def test_a_stroke_is_noted_before_an_action_in_another_slice(review) -> None:
    review.layer.paint((*index_of(WORST), 30, 30), MYO)
    review.press("Shift-E")  # changes the apex
    assert len(review.session.edited_places()) == 2
    assert [row.z for row in review.session.take_log()] == [WORST[1], WORST[1] + 1]


def test_a_read_only_volume_has_only_one_phase(make_review) -> None:
    review = make_review(phases=(None,))
    review.controller.check.read_only = True
    review.press("T")
    review.controller.view.show_usable()
    assert review.said == [ONE_PHASE]
    assert not review.forms.corrections.play_button.isEnabled()
    assert review.forms.corrections.revert_button.toolTip() == READ_ONLY


def test_what_stops_the_cine_stays_on_screen(review) -> None:
    player, picture = review.controller.player, review.controller.picture
    review.forms.corrections.play_requested.emit()
    review.qtbot.waitUntil(lambda: picture._place != WORST)
    review.controller.tools.step_alternative(1)  # returns to the first phase
    assert (player.is_playing, review.controller.picture.place) == (False, WORST)
    assert review.controller.corrections.is_preview
    review.settle()
    assert review.controller.corrections.is_preview


def test_nothing_is_decided_with_hidden_labels(review) -> None:
    review.layer.visible = False
    review.press("A")
    assert (review.said, review.session.state.decisions) == ([WAS_HIDDEN], {})
    review.press("A")
    assert list(review.session.state.decisions) == [WORST]

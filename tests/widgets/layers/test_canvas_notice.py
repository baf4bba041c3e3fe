"""Tests of the message on the canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel

from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.widgets.common.canvas import unwrap
from napari_bayes_nnunet.widgets.layers.captions import (
    LETTER_MS,
    LETTER_PX,
    NOTICE_KEY,
    NOTICE_MS,
    NOTICE_WIDTH,
    CanvasCaption,
    CanvasNotice,
)

from ...helpers.windows.settling import settle

LONG = "This phase was not segmented. Go to a segmented phase, such as ED or ES, and continue."


def test_a_notice_goes_away_by_itself(qtbot: Any) -> None:
    notice = CanvasNotice(ViewerModel())
    assert not notice.overlay.visible
    notice.show(LONG)
    notice.timer.start(20)
    assert notice.overlay.visible
    lines = notice.overlay.text.splitlines()
    assert " ".join(lines) == LONG
    assert max(map(len, lines)) <= NOTICE_WIDTH
    qtbot.waitUntil(lambda: not notice.overlay.visible)


def test_a_long_notice_stays_until_it_can_be_read(qtbot: Any) -> None:
    notice = CanvasNotice(ViewerModel())
    notice.show("Slice 7, ES: accepted.")
    assert notice.timer.interval() == NOTICE_MS == 3000
    notice.show(f"{LONG} {LONG}")
    assert notice.timer.interval() == (2 * len(LONG) + 1) * LETTER_MS > 10_000


def test_a_notice_fits_a_narrow_canvas(qtbot: Any) -> None:
    viewer = ViewerModel()
    viewer.canvas.size = (700, 400)
    notice = CanvasNotice(viewer)
    notice.show(LONG)
    lines = notice.overlay.text.splitlines()
    assert " ".join(lines) == LONG
    assert max(map(len, lines)) * LETTER_PX <= 400


def test_a_notice_lies_below_a_later_caption(qtbot: Any) -> None:
    viewer = ViewerModel()
    notice = CanvasNotice(viewer)
    notice.show(LONG)
    caption = CanvasCaption(viewer, viewer.add_image(np.zeros((3, 4, 4))))
    drain(caption.show())
    notice.show(LONG)
    assert unwrap(viewer.canvas.overlays[NOTICE_KEY]) is notice.overlay
    assert [*viewer.canvas.overlays][-1] == NOTICE_KEY  # napari's order within a corner
    assert notice.overlay.position == caption.text.position
    assert viewer.canvas.overlay_tiling.top_left == "vertical"
    shown = notice.overlay
    notice.show("Again")
    assert notice.overlay is shown  # a new one takes napari 30 to 60 ms


def test_an_empty_notice_hides_the_one_before(qtbot: Any) -> None:
    notice = CanvasNotice(ViewerModel())
    notice.show(LONG)
    notice.show("")
    assert not notice.overlay.visible
    assert not notice.timer.isActive()


def test_text_of_the_user_stays(qtbot: Any) -> None:
    viewer = ViewerModel()
    viewer.canvas.overlays["text"].text = "mine"
    notice = CanvasNotice(viewer)
    notice.show(LONG)
    assert viewer.canvas.overlays["text"].text == "mine"
    notice.close()
    settle(qtbot)
    assert NOTICE_KEY not in viewer.canvas.overlays
    assert viewer.canvas.overlays["text"].text == "mine"


def test_a_notice_of_another_dock_stays(qtbot: Any) -> None:
    viewer = ViewerModel()
    first, second = CanvasNotice(viewer), CanvasNotice(viewer)
    first.close()
    assert viewer.canvas.overlays[NOTICE_KEY] is second.overlay

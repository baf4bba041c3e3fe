"""Tests of slice, phase, notes and scale bar on the canvas."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from napari.components.overlays import TextOverlay

from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.widgets.layers.captions import (
    CAPTION_KEY,
    PHASE_TEXT,
    SCALE_KEY,
    SLICE_TEXT,
    TITLE_KEY,
    CanvasCaption,
)
from napari_bayes_nnunet.widgets.layers.viewing import show_place

from ..conftest import CINE, image_layer

NOTE = "Alternative 2 of 7, from 1 of 9 models"


@pytest.fixture
def caption(viewer, image) -> Iterator[CanvasCaption]:
    viewer.canvas.size = (800, 1200)
    made = make_caption(viewer, image)
    yield made
    made.close()


def make_caption(viewer, image) -> CanvasCaption:
    made = CanvasCaption(viewer, image)
    drain(made.show())
    return made


def lines_of(overlay: TextOverlay) -> list[str]:
    """Return the lines without the room at their ends."""
    return [line.strip() for line in overlay.text.splitlines()]


def slice_text(number: int) -> str:
    return SLICE_TEXT.format(number=number, count=CINE.shape[1])


def phase_text(number: int) -> str:
    return PHASE_TEXT.format(number=number, count=CINE.shape[0])


def test_slices_and_phases_count_from_one(viewer, image, caption) -> None:
    show_place(viewer, image, (1, 0))
    assert lines_of(caption.text) == [f"{slice_text(1)} · {phase_text(1)}"]
    caption.set_landmarks(2, 3)
    for phase, z, name in ((2, 3, "ED"), (3, 1, "ES")):
        show_place(viewer, image, (phase, z))
        assert lines_of(caption.text) == [f"{slice_text(z + 1)} · {name} ({phase_text(phase)})"]
    caption.set_landmarks(None, None)
    assert lines_of(caption.text)[0].endswith(f"· {phase_text(3)}")


def test_a_volume_has_no_phase(viewer, tmp_path) -> None:
    image = viewer.add_layer(image_layer(tmp_path))
    caption = make_caption(viewer, image)
    show_place(viewer, image, (None, 2))
    assert lines_of(caption.text) == [SLICE_TEXT.format(number=3, count=image.data.shape[0])]
    caption.close()


def test_a_note_has_lines_of_its_own(viewer, image, caption) -> None:
    show_place(viewer, image, (1, 0))
    (first,) = lines_of(caption.text)
    caption.set_note(NOTE)
    assert lines_of(caption.text) == [first, NOTE]
    viewer.canvas.size = (500, 400)
    lines = lines_of(caption.text)
    assert lines[:2] == [slice_text(1), phase_text(1)]
    assert " ".join(lines[2:]) == NOTE
    assert len(lines) > 3
    caption.set_note("")
    assert lines_of(caption.text) == lines[:2]


def test_a_title_fits_half_of_the_canvas(viewer, image, caption) -> None:
    assert not caption.title.visible
    caption.set_title(NOTE)
    assert lines_of(caption.title) == [NOTE]
    assert caption.title.visible
    viewer.canvas.size = (500, 400)
    assert len(caption.title.text.splitlines()) > 1
    viewer.canvas.size = (500, 200)
    caption.set_title("Disagreement, bit")
    assert lines_of(caption.title) == ["Disagreement,", "bit"]  # no word is cut
    viewer.dims.ndisplay = 3
    assert not caption.title.visible
    caption.set_title("")
    assert caption.title.text == ""


def test_nothing_is_said_in_3d_and_across_slices(viewer, image, caption) -> None:
    assert caption.text.visible
    viewer.dims.order = (0, 2, 1, 3)
    assert not caption.text.visible
    viewer.dims.order = (0, 1, 3, 2)
    assert caption.text.visible
    viewer.dims.ndisplay = 3
    assert not caption.text.visible


def test_a_scale_bar_needs_voxel_sizes(viewer, image, caption) -> None:
    assert caption.bar.visible
    assert viewer.canvas.overlays[SCALE_KEY] is caption.bar
    viewer.dims.order = (1, 2, 0, 3)  # time across the screen
    assert not caption.bar.visible
    viewer.dims.order = (0, 1, 2, 3)
    other = viewer.add_image(np.ones(CINE.shape))  # in pixels
    assert make_caption(viewer, other).bar.visible is False


def test_a_layer_of_another_unit_renews_the_bar(viewer, image, caption) -> None:
    bar = caption.bar
    other = viewer.add_image(np.ones(CINE.shape), units=("s", "um", "um", "um"))
    renewed = str(viewer.layers.units) != str(image.units)
    assert (caption.bar is not bar) == renewed
    viewer.layers.remove(other)
    assert caption.bar.visible


def test_overlays_of_the_user_stay(viewer, image) -> None:
    overlays = viewer.canvas.overlays
    overlays["text"].text = "mine"
    first, second = make_caption(viewer, image), make_caption(viewer, image)
    first.close()
    assert overlays[CAPTION_KEY] is second.text
    second.set_note(NOTE)
    second.close()
    assert {CAPTION_KEY, TITLE_KEY, SCALE_KEY} & {*overlays} == set()
    assert overlays["text"].text == "mine"
    assert not overlays["scale_bar"].visible
    show_place(viewer, image, (1, 1))

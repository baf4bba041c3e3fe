"""Tests of lines over one slice."""

from __future__ import annotations

import numpy as np
import pytest
from vispy.visuals.shaders.program import ModularProgram

from napari_bayes_nnunet.widgets.layers.line_layer import Line, LineLayer, line_segments
from napari_bayes_nnunet.widgets.layers.viewing import show_place

from ..conftest import VOLUME, image_layer

SQUARE = np.array([[4.0, 5], [4, 9], [8, 9], [8, 5]])
RED, FAINT = (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 0.25)


@pytest.fixture
def lines(viewer, image) -> LineLayer:
    return LineLayer(viewer, image, "outlines", pixels=2)


def test_line_is_closed_and_lies_in_its_slice() -> None:
    vectors, colors = line_segments([Line(SQUARE, RED)], (3, 2))
    assert vectors.shape == (4, 2, 4)
    assert (vectors[:, 0, :2] == (3, 2)).all()
    assert (vectors[:, 1, :2] == 0).all()
    np.testing.assert_array_equal(vectors[:, 0, 2:], SQUARE)
    np.testing.assert_array_equal(
        vectors[:, 0, 2:] + vectors[:, 1, 2:], np.roll(SQUARE, -1, axis=0)
    )
    assert (colors == RED).all()


def test_an_open_line_ends_at_its_last_point() -> None:
    vectors, colors = line_segments([Line(SQUARE, RED, closed=False)], (3, 2))
    np.testing.assert_array_equal(vectors[:, 0, 2:], SQUARE[:-1])
    np.testing.assert_array_equal(vectors[:, 0, 2:] + vectors[:, 1, 2:], SQUARE[1:])
    assert len(colors) == 3
    assert len(line_segments([Line(SQUARE[:1], RED, closed=False)], (3, 2))[0]) == 0


def test_dashes_lie_on_their_line_and_leave_gaps() -> None:
    lines = [Line(SQUARE, RED, (1.5, 0.7)), Line(SQUARE, FAINT)]
    vectors, colors = line_segments(lines, (2,), (2.0, 2.0))  # 16 voxels of 2 mm around
    assert colors.tolist() == [list(RED)] * 15 + [list(FAINT)] * 4
    start, direction = vectors[:15, 0, 1:], vectors[:15, 1, 1:]
    for points in (start, start + direction / 2, start + direction):
        inside = ((points > (4.2, 5.2)) & (points < (7.8, 8.8))).all(axis=1)
        assert not inside.any()
    gaps = np.diff(start, axis=0) - direction[:-1]
    assert np.linalg.norm(direction, axis=1) == pytest.approx(1.5 / 2.2 * 16 / 15, rel=0.3)
    assert np.linalg.norm(gaps, axis=1) == pytest.approx(0.7 / 2.2 * 16 / 15, rel=0.3)


def test_a_short_line_has_one_dash() -> None:
    vectors, _ = line_segments([Line(SQUARE / 100, RED, (3.4, 1.3))], (2,))
    assert len(vectors) == 1


def test_lines_are_drawn_over_image_on_its_grid(viewer, image, lines) -> None:
    viewer.layers.selection.active = image
    lines.draw([Line(SQUARE, RED)], (3, 1))
    layer = lines.layer
    assert [*viewer.layers] == [image, layer]
    assert viewer.layers.selection.active is image
    assert layer.scale == pytest.approx(image.scale)
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels
    assert layer.metadata["bayes"]["role"] == "outlines"
    assert layer.metadata["bayes"]["image"] == image.unique_id
    assert layer.name == "heart outlines"


def test_lines_are_visible_in_their_slice_only(viewer, image, lines) -> None:
    lines.draw([Line(SQUARE, RED)], (3, 1))
    for phase, z, seen in ((2, 1, 4), (2, 2, 0), (1, 1, 0)):
        viewer.dims.set_point([0, 1], [46 * phase, 8 * z])
        assert len(lines.layer._view_data) == seen


def test_new_lines_replace_the_old(viewer, image, lines) -> None:
    lines.draw([Line(SQUARE, RED)], (3, 1))
    layer, extent = lines.layer, viewer.dims.range
    for new in ([Line(SQUARE, FAINT)] * 3, [Line(SQUARE[:3], RED)], [], [Line(SQUARE, FAINT)]):
        lines.draw(new, (2, 0))
        vectors, colors = line_segments(new, (1, 0))
        assert lines.layer is layer
        np.testing.assert_array_equal(layer.data, vectors)
        if new:
            np.testing.assert_allclose(layer.edge_color, colors)
    assert viewer.dims.range == extent


def test_the_first_drawing_may_be_empty(viewer, image, lines) -> None:
    lines.draw([], (2, 0))
    lines.draw([Line(SQUARE, FAINT)], (2, 0))
    np.testing.assert_allclose(lines.layer.edge_color, [FAINT] * 4)


def test_a_volume_has_lines_too(viewer, tmp_path) -> None:
    image = viewer.add_layer(image_layer(tmp_path, VOLUME))
    lines = LineLayer(viewer, image, "outlines", pixels=2)
    lines.draw([Line(SQUARE, RED)], (None, 2))
    assert (lines.layer.data[:, 0, 0] == 2).all()


def test_the_width_on_the_screen_stays(viewer, image, lines) -> None:
    def pixels() -> float:
        step = np.sqrt(np.prod(image.scale[-2:]))
        return float(lines.layer.edge_width * step * viewer.scene.camera.zoom)

    viewer.scene.camera.zoom = 3
    lines.draw([Line(SQUARE, RED)], (3, 1))
    assert pixels() == pytest.approx(2)
    for zoom in (3.1, 6, 40, 0.5):
        viewer.scene.camera.zoom = zoom
        assert pixels() == pytest.approx(2, rel=0.21)


def test_lines_deleted_by_the_user_are_drawn_again(viewer, image, lines) -> None:
    lines.draw([Line(SQUARE, RED)], (3, 1))
    viewer.layers.remove(lines.layer)
    viewer.scene.camera.zoom = 9
    lines.draw([Line(SQUARE, FAINT)], (3, 1))
    assert viewer.layers[-1] is lines.layer
    viewer.layers.remove(lines.layer)
    lines.remove()
    assert [*viewer.layers] == [image]
    viewer.scene.camera.zoom = 1
    second = LineLayer(viewer, image, "outlines", pixels=1)
    second.draw([Line(SQUARE, RED)], (3, 1))
    second.remove()
    assert [*viewer.layers] == [image]
    assert viewer.layers.selection.active is image


def test_new_lines_keep_their_shaders(make_napari_viewer, tmp_path, monkeypatch) -> None:
    viewer = make_napari_viewer(show=True)
    image = viewer.add_layer(image_layer(tmp_path, VOLUME))
    lines = LineLayer(viewer, image, "outlines", pixels=2)
    show_place(viewer, image, (None, 1))
    lines.draw([Line(SQUARE, RED)], (None, 1))
    before = viewer.screenshot(flash=False)
    linked: list[object] = []
    link = ModularProgram._build
    monkeypatch.setattr(ModularProgram, "_build", lambda self: (linked.append(self), link(self)))
    lines.draw([Line(SQUARE[:3], FAINT, (1.0, 1.0)), Line(SQUARE + 2, RED)], (None, 1))
    assert (viewer.screenshot(flash=False) != before).any()
    assert not linked

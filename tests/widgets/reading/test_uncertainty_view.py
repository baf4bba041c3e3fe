"""Tests of the five views of the uncertainty."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_bayes_nnunet.core.ensemble.maps import ENTROPY, MUTUAL_INFORMATION, VARIANCE
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.heart.structures import CARDIAC
from napari_bayes_nnunet.widgets.common.settings import Display
from napari_bayes_nnunet.widgets.layers.metadata import bayes_metadata
from napari_bayes_nnunet.widgets.layers.result_layers import show_map
from napari_bayes_nnunet.widgets.layers.structure_contours import CONTOUR_PIXELS, show_contours
from napari_bayes_nnunet.widgets.layers.viewing import show_place
from napari_bayes_nnunet.widgets.reading.uncertainty_view import (
    ABSENT,
    INCLUSION,
    MEMBER_LINES,
    MEMBER_OPACITY,
    NO_ANSWERS,
    NO_MAP,
    NOTHING,
    OPACITIES,
    OUTLINES,
    VIEWS,
    WIDTH,
    OutlineLayers,
    UncertaintyView,
)
from tests.helpers.windows.results import put_result

from ...helpers.data.posteriors import posterior_of
from ..conftest import CINE, grow, make_result

STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}


def posterior(members: int = 4, label: int = 3) -> StoredPosterior:
    """Make squares in slices 1 to 3, of side 4 for the first member and one more for each next."""
    labels = np.zeros((members, 4, 16, 20), np.uint8)
    for member in range(members):
        labels[member, 1:, 4 : 8 + member, 5 : 9 + member] = label
    return posterior_of(labels)


@pytest.fixture
def image(viewer, image) -> Image:
    show_place(viewer, image, (2, 1))
    return image


@pytest.fixture
def asked() -> list[int | None]:
    """Return the list of phases whose posterior was requested."""
    return []


@pytest.fixture
def outlines(viewer, image, asked) -> OutlineLayers:
    known = {2: posterior(), 3: posterior(label=1)}

    def ask(phase: int | None) -> StoredPosterior | None:
        asked.append(phase)
        return known.get(phase)

    made = OutlineLayers(viewer, image, ask, STRUCTURES)
    made.set_view(NOTHING)
    made.set_structure("LV")
    yield made
    made.close()


def drawn(viewer: ViewerModel, role: str = "outlines") -> Any:
    layers = [layer for layer in viewer.layers if bayes_metadata(layer).get("role") == role]
    return layers[0] if layers else None


def gaps_of(data: Any) -> Any:
    """Return the (n - 1,) distances between the end of a segment and the next one."""
    return np.linalg.norm(np.diff(data[:, 0], axis=0) - data[:-1, 1], axis=1)


def test_at_first_nothing_is_drawn(viewer, image, outlines) -> None:
    assert outlines.view == NOTHING
    assert [*viewer.layers] == [image]


def test_members_are_dashed_lines_in_their_colour(viewer, outlines) -> None:
    outlines.set_view(MEMBER_LINES)
    layer = drawn(viewer)
    ends = layer.data[:, 0, 2:].max(axis=0)
    assert ends == pytest.approx([10.5, 11.5], abs=0.4)
    assert (layer.data[:, 0, :2] == (1, 1)).all()
    rgb = [int(CARDIAC["LV"][i : i + 2], 16) / 255 for i in (1, 3, 5)]
    assert layer.edge_color[0] == pytest.approx([*rgb, MEMBER_OPACITY])
    assert len(gaps_of(layer.data).nonzero()[0]) == len(layer.data) - 1


def test_inclusion_is_one_layer_of_thin_dashed_lines(viewer, image, outlines) -> None:
    outlines.set_view(INCLUSION)
    layer = drawn(viewer)
    assert [*viewer.layers] == [image, layer]
    parts = [layer.data[np.isclose(layer.edge_color[:, 3], opacity)] for opacity in OPACITIES]
    assert sum(map(len, parts)) == len(layer.data)
    assert all(gaps_of(part).min() > 0 for part in parts)
    sizes = [part[:, 0, 2].max() for part in parts]
    lengths = [np.linalg.norm(part[:, 1], axis=1).max() for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert lengths == sorted(lengths)


def test_contours_are_drawn_over_lines_of_models(viewer, image, outlines) -> None:
    assert WIDTH < 0.6 * CONTOUR_PIXELS
    result = make_result(CINE)
    put_result(viewer, image, result)
    contours = show_contours(viewer, image, SimpleNamespace(posteriors={}, looks={}), Display())
    outlines.set_view(INCLUSION)
    assert viewer.layers[-2:] == [drawn(viewer), contours.layer]
    viewer.layers.remove(drawn(viewer))
    show_place(viewer, image, (2, 2))
    assert viewer.layers[-2:] == [drawn(viewer), contours.layer]


def test_outlines_follow_slice_phase_and_structure(viewer, image, outlines) -> None:
    outlines.set_view(MEMBER_LINES)
    count = len(drawn(viewer).data)
    for place, structure, seen in (
        ((2, 0), "LV", False),
        ((2, 3), "LV", True),
        ((2, 3), "RV", False),
        ((3, 3), "RV", True),
        ((5, 3), "RV", False),
        ((2, 1), "LV", True),
    ):
        show_place(viewer, image, place)
        outlines.set_structure(structure)
        layer = drawn(viewer)
        assert len(layer.data) == (count if seen else 0), (place, structure)
        assert len(layer._view_data) == len(layer.data)


def test_drawings_are_cached(viewer, image, outlines, asked) -> None:
    outlines.set_view(MEMBER_LINES)
    show_place(viewer, image, (3, 1))
    asked.clear()
    show_place(viewer, image, (2, 1))
    show_place(viewer, image, (3, 1))
    outlines.set_view(MEMBER_LINES)
    assert asked == []


def test_maps_are_shown_one_at_a_time(viewer, image, outlines, tmp_path) -> None:
    result = make_result(CINE)
    grow(result, tmp_path, phase=2)
    put_result(viewer, image, result, shown="mutual information")
    entropy, mutual = drawn(viewer, "entropy"), drawn(viewer, "mutual information")
    for view in (*VIEWS, *VIEWS[::-1]):
        outlines.set_view(view)
        assert outlines.view == view
        assert entropy.visible == (view == ENTROPY)
        assert mutual.visible == (view == MUTUAL_INFORMATION)
        lines = drawn(viewer)
        assert (lines is not None and lines.visible) == (view in (INCLUSION, MEMBER_LINES))
        assert drawn(viewer, "prediction").visible


def test_a_missing_map_is_requested(viewer, image, outlines, tmp_path) -> None:
    result = make_result(CINE)
    put_result(viewer, image, result)
    wanted: list[str] = []
    outlines.map_wanted.connect(wanted.append)
    outlines.set_view(MUTUAL_INFORMATION)
    assert wanted == ["mutual information"]
    outlines.set_view(NOTHING)
    outlines.map_wanted.connect(lambda _: show_map(viewer, image, result, "mutual information"))
    outlines.set_view(MUTUAL_INFORMATION)
    assert drawn(viewer, "mutual information").visible


def test_peeking_shows_the_entropy_and_goes_back(viewer, image, outlines, tmp_path) -> None:
    put_result(viewer, image, make_result(CINE))
    outlines.set_view(MEMBER_LINES)
    lines, entropy = drawn(viewer), drawn(viewer, "entropy")
    outlines.peek(True)
    outlines.peek(True)
    assert outlines.view == MEMBER_LINES
    assert (entropy.visible, lines.visible) == (True, False)
    show_place(viewer, image, (2, 2))
    outlines.peek(False)
    outlines.peek(False)
    assert (entropy.visible, drawn(viewer).visible) == (False, True)
    assert drawn(viewer) is lines
    assert (lines.data[:, 0, 1] == 2).all()
    outlines.peek(True)
    outlines.set_view(NOTHING)
    assert entropy.visible
    outlines.peek(False)
    assert not entropy.visible
    assert not drawn(viewer).visible


def test_deleted_outlines_are_drawn_again_in_next_slice(viewer, image, outlines) -> None:
    told: list[UncertaintyView] = []
    outlines.view_changed.connect(told.append)
    outlines.set_view(INCLUSION)
    viewer.layers.remove(drawn(viewer))
    assert [*viewer.layers] == [image]
    show_place(viewer, image, (2, 2))
    assert len(drawn(viewer).data)
    assert (drawn(viewer).data[:, 0, 1] == 2).all()
    assert told == []
    drawn(viewer).visible = False
    assert outlines.view == told[-1] == NOTHING


def test_the_view_follows_the_layer_list(viewer, image, outlines, tmp_path) -> None:
    told: list[UncertaintyView] = []
    outlines.view_changed.connect(told.append)
    result = make_result(CINE)
    put_result(viewer, image, result, shown="mutual information")
    entropy, mutual = drawn(viewer, "entropy"), drawn(viewer, "mutual information")
    assert outlines.view == told[-1] == MUTUAL_INFORMATION
    entropy.visible = True
    assert outlines.view == told[-1] == ENTROPY
    assert not mutual.visible
    entropy.visible = False
    assert outlines.view == told[-1] == NOTHING
    outlines.set_view(INCLUSION)
    mutual.visible = True
    assert not drawn(viewer).visible
    drawn(viewer).visible = True
    assert outlines.view == told[-1] == INCLUSION
    assert not mutual.visible


def test_hidden_lines_are_drawn_when_shown_again(viewer, image, outlines) -> None:
    outlines.set_view(MEMBER_LINES)
    outlines.set_view(NOTHING)
    show_place(viewer, image, (3, 2))
    outlines.set_structure("RV")
    layer, colors = drawn(viewer), []
    layer.events.edge_color.connect(lambda: colors.append(layer._view_face_color))  # as a window
    outlines.set_view(INCLUSION)
    assert len(layer._view_data) == len(layer.data) > 0
    assert colors


def test_the_title_names_what_is_displayed(outlines, viewer, image) -> None:
    put_result(viewer, image, make_result(CINE))
    titles: list[str] = []
    outlines.titled.connect(titles.append)
    outlines.set_view(INCLUSION)
    title = OUTLINES[INCLUSION]
    assert titles[-1].splitlines() == ["LV", title]
    outlines.set_structure("RV")
    assert titles[-1] == ABSENT.format(structure="RV")
    show_place(viewer, image, (3, 1))
    assert titles[-1].splitlines() == ["RV", title]
    show_place(viewer, image, (5, 1))
    assert titles[-1] == NO_ANSWERS.format(shown="RV")
    outlines.peek(True)
    entropy = ENTROPY.view
    assert titles[-1] == NO_ANSWERS.format(shown=entropy)
    show_place(viewer, image, (3, 1))
    assert titles[-1] == entropy
    outlines.peek(False)
    assert titles[-1] == outlines.title != ENTROPY.view
    outlines.set_view(VARIANCE)
    assert titles[-1] == NO_MAP.format(shown="Variance")
    outlines.set_view(NOTHING)
    assert titles[-1] == ""


def test_outlines_are_removed_with_their_image(viewer, image, outlines) -> None:
    outlines.set_view(INCLUSION)
    viewer.layers.remove(image)
    assert [*viewer.layers] == []
    outlines.set_view(MEMBER_LINES)
    assert [*viewer.layers] == []


def test_closing_removes_the_outlines(viewer, image) -> None:
    outlines = OutlineLayers(viewer, image, lambda phase: posterior(), STRUCTURES)
    outlines.set_view(INCLUSION)
    outlines.close()
    show_place(viewer, image, (3, 2))
    assert [*viewer.layers] == [image]


def test_the_selection_stays(viewer, image, outlines) -> None:
    edited = viewer.add_labels(np.zeros(CINE.shape, np.uint8), scale=image.scale)
    outlines.set_view(INCLUSION)
    outlines.set_view(NOTHING)
    assert viewer.layers.selection.active is edited

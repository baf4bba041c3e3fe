"""Tests of the labels of napari's sliders while a study is open."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel

from napari_bayes_nnunet.widgets.reading.slider_labels import (
    PHASE_LABEL,
    SLICE_LABEL,
    SliderLabels,
)

from ..conftest import CINE, image_layer

OURS = (PHASE_LABEL, SLICE_LABEL, "y", "x")


@pytest.fixture
def named(viewer, image) -> ViewerModel:
    """Return a viewer in which the user has named the time axis."""
    viewer.dims.set_axis_label(0, "beat")
    return viewer


def test_labels_of_the_user_come_back(named, tmp_path) -> None:
    labels = SliderLabels(named, is_cine=True)
    labels.show()
    assert named.dims.axis_labels == OURS
    named.add_layer(image_layer(tmp_path, CINE, "other"))  # napari sets those of the layers
    assert named.dims.axis_labels == OURS
    labels.close()
    assert named.dims.axis_labels == ("beat", "z", "y", "x")


def test_a_label_typed_meanwhile_stays(named) -> None:
    labels = SliderLabels(named, is_cine=True)
    labels.show()
    named.dims.set_axis_label(0, "heartbeat")
    labels.close()
    assert named.dims.axis_labels == ("heartbeat", "z", "y", "x")


def test_an_empty_viewer_gets_those_of_the_layers(viewer, tmp_path) -> None:
    labels = SliderLabels(viewer, is_cine=True)
    viewer.add_layer(image_layer(tmp_path, CINE))
    labels.show()
    assert viewer.dims.axis_labels == OURS
    labels.close()
    assert viewer.dims.axis_labels == ("t", "z", "y", "x")
    viewer.layers.clear()
    labels = SliderLabels(viewer, is_cine=True)
    labels.show()
    labels.close()


def test_a_volume_has_no_slider_for_phases(viewer, image) -> None:
    labels = SliderLabels(viewer, is_cine=False)
    labels.show()
    assert viewer.dims.axis_labels == ("t", SLICE_LABEL, "y", "x")
    labels.close()

"""Labels of napari's sliders, which count from 0 unlike everything in the dock."""

from __future__ import annotations

from typing import Any, Final

from qtpy.QtWidgets import QLabel, QLineEdit, QMainWindow

SLICE_LABEL: Final = "slice from 0"
PHASE_LABEL: Final = "phase from 0"


def fit_slider_labels(window: QMainWindow | None) -> None:
    """Make the labels and the numbers of the sliders in ``window`` as wide as their texts.

    napari does so for labels that are typed, and when the sliders change their width; the numbers
    of slices get the width that they had in the font of the system.
    """
    if window is None:
        return
    for label in window.findChildren(QLineEdit, "axis_label"):
        label.textChanged.emit(label.text())
    counts = window.findChildren(QLabel, "slice_label")
    widest = max((max(c.width(), c.sizeHint().width()) for c in counts), default=0)
    for count in counts:
        count.setFixedWidth(widest)


class SliderLabels:
    """Labels of the sliders for slices and phases while a study is open.

    napari sets the labels of the layers again after each change of the list of layers; ours then
    replace them again. Labels that the user types stay until then.
    """

    def __init__(self, viewer: Any, *, is_cine: bool) -> None:
        self._viewer = viewer
        self._ours = {-3: SLICE_LABEL} | ({-4: PHASE_LABEL} if is_cine else {})
        self._before = {axis: self._label(axis) for axis in self._ours}

    def show(self) -> None:
        """Show the labels from now on."""
        self._viewer.dims.events.axis_labels.connect(self._on_changed)
        self._on_changed()

    def close(self) -> None:
        """Show the former labels again, or those of the layers if there were none."""
        events = self._viewer.dims.events.axis_labels
        events.disconnect(self._on_changed)
        for axis, ours in self._ours.items():
            if self._label(axis) == ours:
                self._set(axis, self._before[axis] or self._of_layers(axis))

    def _on_changed(self, event: object = None) -> None:
        for axis, ours in self._ours.items():
            if self._label(axis) in ("", self._before[axis], self._of_layers(axis)):
                self._set(axis, ours)

    def _label(self, axis: int) -> str:
        """Return the label of an axis, counted from the last; "" if it has none."""
        labels = self._viewer.dims.axis_labels
        label = labels[axis] if len(labels) >= -axis else ""
        return "" if label == str(axis) else label

    def _of_layers(self, axis: int) -> str:
        labels = self._viewer.layers.axis_labels
        return labels[axis] if len(labels) >= -axis else ""

    def _set(self, axis: int, label: str) -> None:
        dims = self._viewer.dims
        if dims.ndim >= -axis and dims.axis_labels[axis] != label:
            dims.set_axis_label(dims.ndim + axis, label)

"""Layers of a study in a viewer, and the displayed slice."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from filelock import BaseFileLock
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal
from superqt.utils import QSignalDebouncer

from ...app.review.session import ReviewSession
from ...core.steps import drain
from ...core.types import Place
from ...io.images.nifti import Volume
from ..common.background import after_frame
from ..common.connections import Connections
from ..common.settings import Display
from ..layers.captions import CanvasCaption
from ..layers.front import HIDDEN, bring_to_front, hide, is_foreign
from ..layers.metadata import bayes_metadata, layer_data
from ..layers.result import SegmentationResult
from ..layers.result_layers import (
    ROLES,
    add_image,
    hold_tools,
    kept_results,
    remove_layers,
    remove_results,
    result_layers,
    set_voxel_size,
    steps_to_put,
)
from ..layers.review_layers import (
    UNDER_REVIEW,
    edited_layer,
    find_layer,
    put_on_top,
    show_as_closed,
)
from ..layers.structure_contours import CONTOURS, apply_display, steps_to_show_contours
from ..layers.viewing import (
    KeptFit,
    Rectangle,
    is_area_shown,
    show_in_reading_orientation,
    show_place,
    shown_place,
    shows_slices,
    slice_on_canvas,
    zoom_to_area,
)

MISSING_IMAGE: Final = "image not found"
_PLACEMENT: Final = ("scale", "translate", "rotate", "shear", "affine")
"""Attributes of the position of a layer."""
LEAST_OPACITY: Final = 0.1
"""Opacity below which a layer counts as hidden."""
LAYERS_STAY: Final = (
    "Image and labels of a study cannot be moved, because they would no longer match. The layer "
    "was put back."
)
COPY_IS_NOT_SAVED: Final = (
    "{layer} is a copy of the corrected labels. Changes to the copy are not saved in the study."
)
NO_GRID: Final = (
    "A review shows one image, so the grid was switched off. Close the study to use it."
)
Center: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class OpenedStudy:
    """A study that was read for this window. Without ``image``, its labels lie on black.

    ``window`` are the intensities to show as black and white, None if they are unknown.
    Without ``lock`` it is read-only; ``problems`` give the reasons.
    """

    session: ReviewSession
    image: Volume | None
    problems: tuple[str, ...] = ()
    window: tuple[float, float] | None = None
    lock: BaseFileLock | None = None

    def dismiss(self) -> None:
        """Release the lock, because the study is no longer needed."""
        if self.lock is not None:
            self.lock.release()


class LayerRemovedError(Exception):
    """Removal of a layer of a study while the study is being opened."""


class ReviewPicture(QObject):
    """The layers of one study in a viewer. ``moved`` carries the displayed phase and slice.

    At first there is the image only; the steps of `show` add the other layers. The labels can be
    edited as soon as ``edited.editable`` is set.

    The ``caption`` in the corners of the canvas goes with them.

    ``lost`` carries the name of the image or of the edited labels if the user removes this layer.
    The corrections are still in the session. ``said`` carries a message if the user moves one of
    both layers, which is reverted, or copies the edited labels, or shows the layers in a grid.
    """

    moved = Signal(object)
    lost = Signal(str)
    said = Signal(str)

    def __init__(
        self,
        viewer: Any,
        opened: OpenedStudy,
        *,
        display: Display = Display(),  # noqa: B008 - it is frozen
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = opened.session
        viewer.dims.ndisplay = 2  # napari may also fail to add labels in 3D
        viewer.canvas.grid.enabled = False
        # napari 0.9.2 leaves it behind where a stroke ends, like a hole in the heart.
        viewer.canvas.overlays["_brush_circle"].box = False
        self._display = display
        found = self._find_image(opened.image)
        self._is_own = found is None or "study" in bayes_metadata(found)
        self.image = found or self._add_image(opened)
        self.edited = self._make_edited()
        self.caption = CanvasCaption(viewer, self.image)
        self._place: Place | None = None
        self._left: tuple[Center, Center] | None = None  # centre before and after `centre_on`
        self._fitted = KeptFit(viewer, self.edited, self._fit_heart)
        self._is_closing = False
        self.is_lost = False
        """Whether the user has removed the image or the edited labels."""
        self._soon = QSignalDebouncer(parent=self)  # one step can move several sliders
        self._soon.setTimeout(0)
        self._soon.triggered.connect(self._on_moved)
        self._sliders_soon = after_frame(self._move_sliders, self)
        self._connections = Connections()
        self._connections.connect(self._soon.throttle, viewer.dims.events.point)
        self._connections.connect(self._on_removed, viewer.layers.events.removed)
        self._connections.connect(self._on_inserted, viewer.layers.events.inserted)
        self._connections.connect(self._on_grid, viewer.canvas.grid.events.enabled)
        self._is_placing = False
        self._placements: dict[Layer, dict[str, NDArray[Any]]] = {}

    def show(self) -> Generator[None, None, None]:
        """Add the layers, at most one in each step, because napari needs long for each of them."""
        viewer, study = self._viewer, self._session.study
        apply_display(viewer, self.image, self._display)
        yield
        yield from self.caption.show()
        yield
        # Before the labels, whose voxels would be seen for a moment.
        contours = yield from steps_to_show_contours(viewer, self.image, study, self._display)
        yield
        # A dropped study and a review that could not be saved leave such labels.
        remove_layers(viewer, find_layer(viewer, self.image, "edited"))
        yield
        self.edited.visible = False
        show_tools = hold_tools(self.edited)
        put_on_top(viewer, self.edited, below=contours.layer)
        yield
        show_tools()
        yield
        self._show_only_edited()
        self.edited.visible = True
        contours.raise_above_labels()
        placed = self.image, self.edited, contours.layer
        self._placements = {layer: _placement_of(layer) for layer in placed}
        places = [getattr(layer.events, name) for layer in placed for name in _PLACEMENT]
        self._connections.connect(self._on_placed, *places)
        yield
        self.select_edited()
        yield
        self._shown = SegmentationResult.from_study(study)
        yield from steps_to_put(viewer, self.image, self._shown, visible=False)
        self._show_only_edited()

    @property
    def place(self) -> Place:
        """The displayed phase and slice."""
        return shown_place(self._viewer, self.image)

    def go_to(self, place: Place) -> None:
        """Show a slice without moving the camera, and select the edited labels.

        napari's sliders follow when the slice is drawn. They listen to an event of its own, at
        which napari slices all layers once more (napari#5522).
        """
        dims = self._viewer.dims
        before = dims.current_step
        with dims.events.current_step.blocker():
            show_place(self._viewer, self.image, place)
        if dims.current_step != before:
            self._sliders_soon.throttle()
        self.select_edited()
        self.note_place()

    def show_slice(self, place: Place) -> None:
        """Show a slice with the heart in view."""
        self._return_to_heart()
        self.go_to(place)

    def note_place(self) -> None:
        """Emit ``moved`` now, if it is still to be emitted."""
        self._soon.cancel()
        self._on_moved()

    def come_to_front(self) -> None:
        """Show the image, without layers of other hearts, at the slice that was shown last."""
        bring_to_front(self._viewer, self.image)
        for layer in self._viewer.layers:
            if is_foreign(layer, self.image):
                hide(layer, self.image)
        self.image.visible = True
        if self._place is not None:
            show_place(self._viewer, self.image, self._place)
        self.zoom_to_heart()

    def reveal(self) -> bool:
        """Show image and edited labels, and return True if one of them was hidden."""
        layers = self._viewer.layers
        filled = self.edited.opacity >= LEAST_OPACITY
        drawn: Layer = self.edited if filled else self._contours or self.edited
        present = [layer for layer in (self.image, self.edited, drawn) if layer in layers]
        hidden = [layer for layer in present if not layer.visible]
        faint = [layer for layer in (self.image, drawn) if layer.opacity < LEAST_OPACITY]
        for layer in hidden:
            layer.visible = True
        for layer in faint:
            layer.opacity = 1.0
        # With it, napari hides all other structures.
        if self.edited.show_selected_label:
            self.edited.show_selected_label = False
            return True
        return bool(hidden or faint)

    @property
    def shows_slices(self) -> bool:
        """Whether a slice is displayed."""
        return shows_slices(self._viewer)

    @property
    def seen(self) -> tuple[Rectangle, tuple[int, int]]:
        """Place of the slice on the canvas, and the size of the canvas (height, width), px."""
        return slice_on_canvas(self._viewer, self.image), self._viewer.canvas.size

    def select_edited(self) -> None:
        """Make the edited labels the active layer."""
        if self.edited in self._viewer.layers:
            self._viewer.layers.selection.active = self.edited

    def zoom_to_heart(self) -> None:
        """Zoom in on the heart, with all slices in view, until the camera is moved."""
        self._fitted.fit()

    def _fit_heart(self) -> None:
        zoom_to_area(self._viewer, self.edited, self._session.heart)

    def _return_to_heart(self) -> None:
        """Undo `centre_on` unless the camera has moved since; show the heart if it is not shown."""
        camera = self._viewer.scene.camera
        left, self._left = self._left, None
        if left is not None and left[1] == tuple(camera.center):
            camera.center = left[0]
        if not is_area_shown(self._viewer, self.edited, self._session.heart):
            self.zoom_to_heart()

    def add_map(self, role: str) -> None:
        """Add the hidden map of this role if it is missing."""
        if role not in result_layers(self._viewer, self.image):
            drain(steps_to_put(self._viewer, self.image, self._shown, shown=role, visible=False))

    def set_display(self, display: Display) -> None:
        """Show contours, fill and image as chosen."""
        apply_display(self._viewer, self.image, display, self._session.study)

    def centre_on(self, y: int, x: int) -> None:
        """Centre the camera on a voxel of the displayed slice, at the same zoom."""
        index = [float(number) for number in np.zeros(self.image.ndim)]
        index[-2:] = [float(y), float(x)]
        world = self.image.data_to_world(index)
        first = self._viewer.dims.ndim - self.image.ndim
        displayed = self._viewer.dims.displayed
        camera = self._viewer.scene.camera
        before = tuple(camera.center)
        # After several of these, the reader returns to where the heart was.
        if self._left is not None and self._left[1] == before:
            before = self._left[0]
        camera.center = tuple(float(world[axis - first]) for axis in displayed)
        self._left = before, tuple(camera.center)

    def set_structure(self, label: int) -> None:
        """Choose the label that the brush paints."""
        self.edited.selected_label = label

    def close(self) -> None:
        """Disconnect from the viewer; the layers stay."""
        self._is_closing = True
        self.caption.close()
        self._soon.cancel()
        self._sliders_soon.cancel()
        self._move_sliders()
        self._fitted.release()
        self._connections.close()

    def leave(self, *, saved: bool) -> None:
        """Close, and remove the layers of the study.

        An image that was open before the review stays, with the results of its own. Unsaved labels
        stay with their image, read-only, because they are nowhere else.
        """
        self.close()
        layers = self._viewer.layers
        if not saved and self.edited in layers:
            show_as_closed(self.edited)
            return
        remove_layers(self._viewer, self._contours, self.edited)
        remove_results(self._viewer, self.image)
        # The review has hidden it.
        self._set_visible("prediction", True)
        if self._is_own and not kept_results(self.image):
            remove_layers(self._viewer, self.image)

    @property
    def _contours(self) -> Layer | None:
        return find_layer(self._viewer, self.image, CONTOURS)

    def _find_image(self, volume: Volume | None) -> Image | None:
        """Return the image if it is already open in this window, with the voxel size of the study.

        The reader may have corrected the size in the header.
        """
        if volume is None:
            return None
        for layer in self._viewer.layers:
            if isinstance(layer, Image) and bayes_metadata(layer).get("role", "image") == "image":
                fits = not layer.multiscale and layer.data.shape == volume.shape
                if fits and self._is_of(layer, volume):
                    set_voxel_size(self._viewer, layer, volume.geometry)
                    return layer
        return None

    def _is_of(self, layer: Image, volume: Volume) -> bool:
        """Return whether a layer of the same shape shows the image of the study."""
        study, about = self._session.study, bayes_metadata(layer)
        # Layers keep absolute paths, even if an image was opened by a relative one.
        source = os.path.abspath(volume.source)
        if about.get("study") == str(study.folder) or about.get("source") == source:
            return True
        # An image without a file is stored in the study and may still be open in the window.
        return (
            study.info.image is None
            and layer.data is not volume.voxels
            and (isinstance(layer.data, np.ndarray) and np.array_equal(layer.data, volume.voxels))
        )

    def _add_image(self, opened: OpenedStudy) -> Image:
        info, volume = self._session.study.info, opened.image
        if volume is None:
            voxels = np.zeros(info.shape, np.uint8)
            volume = Volume(voxels, info.geometry, self._session.study.folder)
        volume = replace(volume, patient=self._session.study.patient)
        image = add_image(self._viewer, layer_data(volume, case=info.case))
        assert isinstance(image, Image)
        if opened.image is None:
            image.name = f"{info.case} ({MISSING_IMAGE})"
        show_in_reading_orientation(self._viewer, image)
        return image

    def _show_only_edited(self) -> None:
        for role in ROLES:
            self._set_visible(role, False)

    def _make_edited(self) -> Labels:
        study = self._session.study
        layer = edited_layer(
            self.image,
            self._session.labels,
            study.info.structures,
            study.info.geometry,
            study.folder,
        )
        layer.metadata["bayes"][UNDER_REVIEW] = True
        layer.editable = False
        return layer

    def _set_visible(self, role: Any, shown: bool) -> None:
        layer: Layer | None = result_layers(self._viewer, self.image).get(role)
        if layer is not None and layer.visible != shown:
            layer.visible = shown

    def _move_sliders(self) -> None:
        dims = self._viewer.dims
        # The event that `go_to` has held back.
        dims.events.current_step(value=dims.current_step)

    def _on_moved(self) -> None:
        place = self.place
        if place != self._place and HIDDEN not in self.image.metadata:  # else another one moves
            self._place = place
            self.moved.emit(place)

    def _on_placed(self) -> None:
        """Put a layer back that the user, or another plugin, has moved."""
        if self._is_placing:
            return
        self._is_placing = True
        moved = [layer for layer, at in self._placements.items() if not _lies_at(layer, at)]
        for layer in moved:
            # This ends napari's tool for moving layers.
            layer.mode = "pan_zoom"
            for name, value in self._placements[layer].items():
                setattr(layer, name, value)
        self._is_placing = False
        if moved:
            self.said.emit(LAYERS_STAY)

    def _on_inserted(self, event: Any) -> None:
        about = bayes_metadata(event.value)
        if about.get("role") == "edited" and about.get("image") == self.image.unique_id:
            self.said.emit(COPY_IS_NOT_SAVED.format(layer=event.value.name))

    def _on_grid(self, event: object = None) -> None:
        if self._viewer.canvas.grid.enabled:
            self._viewer.canvas.grid.enabled = False
            self.said.emit(NO_GRID)

    def _on_removed(self, event: Any) -> None:
        if self._is_closing or event.value not in (self.edited, self.image):
            return
        # Told once, even if napari is removing all layers.
        self._is_closing = self.is_lost = True
        self.lost.emit("edited labels" if event.value is self.edited else "voxels of the image")


def _placement_of(layer: Layer) -> dict[str, NDArray[Any]]:
    """Return copies of the attributes of the position of a layer."""
    return {name: np.array(getattr(layer, name)) for name in _PLACEMENT}


def _lies_at(layer: Layer, placement: dict[str, NDArray[Any]]) -> bool:
    now = _placement_of(layer)
    return all(np.allclose(now[name], value) for name, value in placement.items())

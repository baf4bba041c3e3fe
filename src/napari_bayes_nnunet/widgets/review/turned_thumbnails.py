"""Pictures of the thumbnails, which lie as the slices do on the screen."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal

from ...core.types import Mask
from ..layers.viewing import shown_orientation
from ..reading.picture import OpenedStudy
from ..reading.slice_pictures import SlicePictures
from ..reading.thumbnails import Thumbnails


class TurnedThumbnails(QObject):
    """Drawing of the thumbnails of a study, repeated whenever the view of ``image`` is turned.

    ``turned`` is emitted after the view was turned.
    """

    turned = Signal()

    def __init__(
        self,
        viewer: Any,
        opened: OpenedStudy,
        image: Any,
        thumbnails: Thumbnails,
        *,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session, self._window = opened.session, opened.window
        self._image = image
        self._thumbnails = thumbnails

    def show(self) -> None:
        """Draw the thumbnails from now on."""
        self._draw()
        for events in self._turned:
            events.connect(self._on_turned)

    def close(self) -> None:
        """Stop following the viewer."""
        for events in self._turned:
            events.disconnect(self._on_turned)

    @property
    def _turned(self) -> tuple[Any, ...]:
        return self._viewer.dims.events.order, self._viewer.scene.camera.events.orientation

    def pictures(self, *, around: Mask | None = None) -> SlicePictures:
        """Return pictures of the slices as they lie on the screen now; see `SlicePictures`."""
        window = self._window or tuple(self._image.contrast_limits)
        orientation = shown_orientation(self._viewer)
        return SlicePictures(self._session, self._image.data, window, orientation, around=around)

    def _on_turned(self, event: object = None) -> None:
        self._draw()
        self.turned.emit()

    def _draw(self) -> None:
        self._thumbnails.set_pictures(self.pictures())

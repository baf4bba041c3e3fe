"""Review of a carried correction: pictures of the phases it changes, to keep or to drop."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import numpy as np
from qtpy.QtCore import QObject, QSize

from ...core.types import Place
from ..common.window_thread import Turns, after_frame
from ..editing.carry_tool import CarryTool
from ..editing.corrections import Plane
from ..reading.slice_pictures import SlicePictures, render_picture
from .action_check import ActionCheck
from .context import ReviewContext
from .turned_thumbnails import TurnedThumbnails


class CarriedReview(QObject):
    """Review of the offers of ``tool`` in a strip, with pictures like the ``thumbnails``."""

    def __init__(
        self,
        context: ReviewContext,
        check: ActionCheck,
        thumbnails: TurnedThumbnails,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._context, self._session = context, context.session
        self._strip = strip = context.forms.carried
        self._check = check
        self._thumbnails = thumbnails
        self._turns = Turns(self)
        self._offer: tuple[Place, Mapping[Place, Plane]] | None = None
        self._size = QSize()
        self.tool = CarryTool(context.session, context.corrections, self)
        self.tool.offered.connect(self._on_offered)
        self.tool.ended.connect(self._on_ended)
        strip.drop_requested.connect(self.tool.drop)
        self._room_soon = after_frame(self._on_room_changed, self)
        thumbnails.turned.connect(self._redraw)
        strip.room_changed.connect(self._room_soon.throttle)

    def carry(self) -> None:
        """Carry the correction of the slice to the other phases, or keep what was carried."""
        if not self._check.allows("carry"):
            return
        if self.tool.is_offering:
            self.tool.keep(self._strip.ticked)
        else:
            self.tool.carry(self._context.place, self._context.picture.image.data)

    def refresh(self) -> None:
        """Offer what may still be kept, under the names that the phases have now."""
        if self.tool.refresh():
            self._show_names()

    def _redraw(self) -> None:
        self._turns.cancel()
        if self._offer is not None:
            self._turns.run(self._draw(self._offer[1]))

    def _on_offered(self, source: Place, slices: Mapping[Place, Plane]) -> None:
        self._offer = source, slices
        self._show_names()
        self._redraw()

    def _on_ended(self) -> None:
        self._offer = None
        self._turns.cancel()
        self._strip.end_offer()

    def _show_names(self) -> None:
        if self._offer is not None:
            source, slices = self._offer
            names = {place: self._session.name_of(place[0]) for place in slices}
            titles = {place: name[0].upper() + name[1:] for place, name in names.items()}
            self._strip.show_offer(self._session.title_of(source), titles)

    def _on_room_changed(self) -> None:
        """Draw larger or smaller pictures, or leave room for names in another font."""
        if self._offer is not None:
            pictures = self._pictures(self._offer[1])
            if self._strip.picture_size(pictures.aspect) != self._size:
                self._redraw()
            else:
                self._strip.set_picture_size(self._size)

    def _pictures(self, slices: Mapping[Place, Plane]) -> SlicePictures:
        """Return pictures of what changes in any of the slices."""
        session = self._session
        changes = [labels != session.labels_in(place) for place, labels in slices.items()]
        return self._thumbnails.pictures(around=np.any(changes, axis=0))

    def _draw(self, slices: Mapping[Place, Plane]) -> Generator[None, None, None]:
        yield  # the strip gets its place
        pictures, ratio = self._pictures(slices), self._strip.devicePixelRatioF()
        size = self._size = self._strip.picture_size(pictures.aspect)
        self._strip.set_picture_size(size)
        for place, labels in slices.items():
            yield
            after, before = pictures.draw(place, labels), pictures.draw(place)
            colors = pictures.colors
            picture = render_picture(after, size, colors, ratio=ratio, before=before)
            self._strip.set_picture(place, picture)

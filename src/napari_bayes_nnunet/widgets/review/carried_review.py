"""Review of a carried correction: pictures of all phases, to keep or to drop."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

from qtpy.QtCore import QObject, QSize

from ...app.review.session import ReviewSession
from ...core.types import Place
from ..common.window_thread import Turns
from ..editing.carried_strip import CarriedStrip
from ..editing.carry_tool import CarryTool
from ..editing.corrections import Corrections, Plane
from ..reading.slice_pictures import SlicePictures
from ..reading.thumbnail_painter import render_picture


class CarriedReview(QObject):
    """Review of the offers of ``tool`` in a ``strip``; ``pictures`` returns those of the study."""

    def __init__(
        self,
        session: ReviewSession,
        corrections: Corrections,
        strip: CarriedStrip,
        pictures: Callable[[], SlicePictures],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._strip = strip
        self._pictures = pictures
        self._turns = Turns(self)
        self.tool = CarryTool(session, corrections, self)
        self.tool.offered.connect(self._on_offered)
        self.tool.ended.connect(self._on_ended)
        strip.keep_requested.connect(self.keep)
        strip.drop_requested.connect(self.tool.drop)

    def keep(self) -> bool:
        """Keep the ticked slices; return whether there was an offer."""
        is_offering = self.tool.is_offering
        if is_offering:
            self.tool.keep(self._strip.ticked)
        return is_offering

    def _on_offered(self, source: Place, slices: Mapping[Place, Plane]) -> None:
        self._turns.cancel()
        state = self._session.state
        landmarks = {state.ed: "ED", state.es: "ES"}
        names = {place: landmarks.get(place[0], f"Phase {place[0]}") for place in slices}
        self._strip.show_offer(self._session.title_of(source), names)
        self._turns.run(self._draw(slices))

    def _on_ended(self) -> None:
        self._turns.cancel()
        self._strip.end_offer()

    def _draw(self, slices: Mapping[Place, Plane]) -> Generator[None, None, None]:
        yield  # the strip gets its place
        pictures, ratio = self._pictures(), self._strip.devicePixelRatioF()
        height = self._strip.picture_height
        size = QSize(round(height * pictures.aspect), height)
        self._strip.set_picture_size(size)
        for place, labels in slices.items():
            yield
            after, before = pictures.draw(place, labels), pictures.draw(place)
            colors = pictures.colors
            picture = render_picture(after, size, colors, ratio=ratio, before=before)
            self._strip.set_picture(place, picture)

"""Correction that is carried to other phases: first an offer in pictures, then kept or dropped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QSize, Signal

from ...app.review.carrying import CarriedCorrection, prepare_carrying
from ...app.review.session import ReviewSession
from ...core.counts import format_count
from ...core.problems import Problem
from ...core.types import Place
from ..common.background import Background, Turns, after_frame
from ..common.wording import in_the_window
from ..layers.keys import key_text
from ..reading.slice_pictures import SlicePictures, render_picture
from .carried_strip import CarriedStrip
from .corrections import LEVEL, Corrections, Plane

CARRY: Final = "carry"
STARTED: Final = "Carrying the correction to the other phases…"
CARRYING: Final = "A correction is still being carried to other phases. Try again in a moment."
OFFERED: Final = (
    "Carried to {slices} as a preview. Untick what does not fit, then press {key} to keep the rest."
)
CARRIED: Final = "The carried correction was kept in {slices}. Undo with Ctrl+Z."
NOTHING_CHANGES: Final = (
    "This correction changes no other phase: no member agrees with it there, the slices are "
    "corrected already, or the structure is locked."
)
NONE_TICKED: Final = "No phase is ticked. Tick the phases to keep, or press Drop."
DROPPED: Final = "The carried correction was dropped. The other phases stay as they were."
CHANGED_MEANWHILE: Final = (
    "The slices were changed, accepted or locked meanwhile, so nothing was carried. Carry the "
    "correction again if you still want it."
)


class Carrying(QObject):
    """Carrying of the correction of a slice to the same slice of the other phases.

    The carried slices are an offer until they are kept, as one undo step, or dropped. The ``strip``
    shows them with pictures from ``make_pictures``; those that the reader has settled meanwhile
    vanish. ``said`` carries a message, ``started`` one that asks for nothing.
    """

    said = Signal(str)
    started = Signal(str)

    def __init__(
        self,
        session: ReviewSession,
        corrections: Corrections,
        strip: CarriedStrip,
        make_pictures: Callable[..., SlicePictures],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._corrections = corrections
        self._strip = strip
        self._make_pictures = make_pictures
        self._background = Background(self)
        self._turns = Turns(self)
        self._carried: CarriedCorrection | None = None
        self._slices: Mapping[Place, Plane] = {}
        self._size = QSize()
        self._is_closed = False
        self._room_soon = after_frame(self._on_room_changed, self)
        corrections.changed.connect(self.refresh)
        strip.drop_requested.connect(self.drop)
        strip.room_changed.connect(self._room_soon.throttle)

    @property
    def is_offering(self) -> bool:
        """Whether carried slices are waiting to be kept or dropped."""
        return self._carried is not None

    def carry(self, place: Place, image: NDArray[Any]) -> None:
        """Carry the correction of a slice, in a thread, and offer the result.

        ``image`` is (T, Z, Y, X).
        """
        if self._background.is_busy:
            self.said.emit(CARRYING)
            return
        self._corrections.watch.end_stroke()
        self._corrections.accept_preview()
        self._end()
        try:
            carried = prepare_carrying(self._session, image, place)
        except Problem as error:
            self.said.emit(in_the_window(error))
            return
        self.started.emit(STARTED)
        self._background.run(carried.compute, partial(self._offer, carried), self.said.emit)

    def keep(self) -> None:
        """Write the ticked slices, except those that were settled meanwhile."""
        places = self._strip.ticked
        self._corrections.watch.end_stroke()
        self._corrections.accept_preview(LEVEL)  # as when the mouse is released
        # An answer that was only looked at must not become a correction.
        lost = self._corrections.discard_preview()
        if not self.refresh():
            return
        kept = {place: labels for place, labels in self._slices.items() if place in places}
        if not kept:
            self.said.emit(CHANGED_MEANWHILE if places else NONE_TICKED)
            return
        self._end()
        self._corrections.put_all(kept, CARRY)
        self.said.emit(f"{CARRIED.format(slices=self._name(kept))} {lost}".strip())

    def drop(self) -> None:
        """End the offer without a change."""
        if self.is_offering:
            self._end()
            self.said.emit(DROPPED)

    def refresh(self) -> bool:
        """Offer only what is open, unchanged and not locked; return whether anything is left."""
        carried, before = self._carried, self._slices
        if carried is None:
            return False
        # Labels under a preview are not changed yet, so the offer stays as it is.
        if not self._corrections.is_preview:
            self._slices = self._changing(carried, before)
            if not self._slices:
                self._end()
                self.said.emit(CHANGED_MEANWHILE)
                return False
            if any(self._slices.get(place) is not before[place] for place in before):
                self.redraw()
        self._show_names(carried)
        return True

    def redraw(self) -> None:
        """Draw the pictures of an offer, as the slices lie on the screen now."""
        self._turns.cancel()
        if self._carried is not None:
            self._turns.run(self._draw())

    def close(self) -> None:
        """End the offer, and ignore one that is still being computed."""
        self._is_closed = True
        self._end()

    def _end(self) -> None:
        if self._carried is not None:
            self._carried, self._slices = None, {}
            self._turns.cancel()
            self._strip.end_offer()

    def _offer(self, carried: CarriedCorrection, slices: Mapping[Place, Plane]) -> None:
        if self._is_closed:
            return
        if not slices:
            self.said.emit(NOTHING_CHANGES)
            return
        self._carried, self._slices = carried, slices
        if self.refresh():
            self.redraw()
            name, key = self._name(self._slices), key_text(CARRY)
            self.said.emit(OFFERED.format(slices=name, key=key))

    def _show_names(self, carried: CarriedCorrection) -> None:
        """Show the offered slices under the names that their phases have now."""
        names = {place: self._session.name_of(place[0]) for place in self._slices}
        titles = {place: name[0].upper() + name[1:] for place, name in names.items()}
        self._strip.show_offer(self._session.title_of(carried.place), titles)

    def _pictures(self) -> SlicePictures:
        """Return pictures of what changes in any of the slices."""
        session = self._session
        changes = [labels != session.labels_in(place) for place, labels in self._slices.items()]
        return self._make_pictures(around=np.any(changes, axis=0))

    def _draw(self) -> Generator[None, None, None]:
        yield  # the strip gets its place
        pictures, ratio = self._pictures(), self._strip.devicePixelRatioF()
        size = self._size = self._strip.picture_size(pictures.aspect)
        self._strip.set_picture_size(size)
        for place, labels in self._slices.items():
            # A step for each picture, so that the window answers in between.
            yield
            after, before = pictures.draw(place, labels), pictures.draw(place)
            colors = pictures.colors
            picture = render_picture(after, size, colors, ratio=ratio, before=before)
            self._strip.set_picture(place, picture)

    def _on_room_changed(self) -> None:
        """Draw larger or smaller pictures, or leave room for names in another font."""
        if self._carried is None:
            return
        if self._strip.picture_size(self._pictures().aspect) != self._size:
            self.redraw()
        else:
            self._strip.set_picture_size(self._size)

    def _changing(
        self, carried: CarriedCorrection, slices: Mapping[Place, Plane]
    ) -> dict[Place, Plane]:
        """Return the (Y, X) slices that may and do change, without locked structures."""
        session, changing = self._session, {}
        for place, labels in slices.items():
            if carried.may_change(place, session):
                unlocked = self._corrections.without_locked(place, labels)
                if not np.array_equal(unlocked, session.labels_in(place)):
                    is_same = np.array_equal(unlocked, labels)
                    changing[place] = labels if is_same else unlocked
        return changing

    def _name(self, slices: Collection[Place]) -> str:
        """Return "slice 3, ES" for one slice, "4 other phases" for several."""
        if len(slices) > 1:
            return format_count(len(slices), "other phase")
        title = self._session.title_of(next(iter(slices)))
        return title[0].lower() + title[1:]

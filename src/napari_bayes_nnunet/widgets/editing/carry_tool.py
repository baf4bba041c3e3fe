"""Correction that is carried to other phases: first an offer, then kept or dropped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Final

from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ...app.review.carrying import CarriedCorrection, prepare_carrying
from ...app.review.session import ReviewSession
from ...core.counts import format_count
from ...core.problems import Problem
from ...core.types import Place
from ..common.background import Background
from ..common.wording import in_the_window
from ..layers.keys import key_text
from .corrections import Corrections, Plane

CARRY: Final = "carry"
CARRYING: Final = "A correction is still being carried to other phases. Try again in a moment."
OFFERED: Final = (
    "Carried to {slices} as a preview. Untick what does not fit, then press {key} to keep the rest."
)
CARRIED: Final = "The carried correction was kept in {slices}. Undo with Ctrl+Z."
NONE_AGREES: Final = "No model agrees with this correction in another phase. Nothing was changed."
CHANGED_MEANWHILE: Final = (
    "The slices were changed or accepted meanwhile, so nothing was carried. Carry the correction "
    "again if you still want it."
)


class CarryTool(QObject):
    """Tool that carries the correction of a slice to the same slice of the other phases.

    The carried slices are an offer until they are kept, as one undo step, or dropped. ``offered``
    carries the corrected place and the (Y, X) labels of the other places, again whenever the reader
    has settled some of these. ``ended`` is emitted when there is no offer any more, and ``said``
    carries a message.
    """

    offered = Signal(object, object)
    ended = Signal()
    said = Signal(str)

    def __init__(self, session: ReviewSession, corrections: Corrections, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._corrections = corrections
        self._background = Background(self)
        self._carried: CarriedCorrection | None = None
        self._slices: Mapping[Place, Plane] = {}
        self._is_closed = False
        corrections.changed.connect(self._leave_out_settled)

    @property
    def is_offering(self) -> bool:
        """Whether carried slices wait for being kept or dropped."""
        return self._carried is not None

    def carry(self, place: Place, image: NDArray[Any]) -> None:
        """Carry the correction of a slice, in a thread, and offer the result.

        ``image`` is (T, Z, Y, X).
        """
        self._corrections.accept_preview()
        if self._background.is_busy:
            self.said.emit(CARRYING)
            return
        self.drop()
        try:
            carried = prepare_carrying(self._session, image, place)
        except Problem as error:
            self.said.emit(in_the_window(error))
            return
        self._background.run(carried.compute, partial(self._offer, carried), self.said.emit)

    def keep(self, places: Collection[Place]) -> None:
        """Write these of the offered slices, except those that were settled meanwhile."""
        carried, corrections = self._carried, self._corrections
        if carried is None:
            return
        corrections.discard_preview()  # which the reader has not accepted
        kept = {
            place: corrections.without_locked(place, labels)
            for place, labels in self._slices.items()
            if place in places and carried.may_change(place, self._session)
        }
        self.drop()
        said = CARRIED.format(slices=self._name(kept)) if kept else CHANGED_MEANWHILE
        self.said.emit(said if corrections.put_all(kept, CARRY) else CHANGED_MEANWHILE)

    def drop(self) -> None:
        """End the offer without a change."""
        if self._carried is not None:
            self._carried, self._slices = None, {}
            self.ended.emit()

    def close(self) -> None:
        """Drop the offer, and make none that is still being computed."""
        self._is_closed = True
        self.drop()

    def _offer(self, carried: CarriedCorrection, slices: Mapping[Place, Plane]) -> None:
        if self._is_closed:
            return
        if not slices:
            self.said.emit(NONE_AGREES)
            return
        self._corrections.discard_preview()  # which the reader has not accepted
        self._carried, self._slices = carried, slices
        if self._leave_out_settled():
            self.offered.emit(carried.place, self._slices)
            name, key = self._name(self._slices), key_text(CARRY)
            self.said.emit(OFFERED.format(slices=name, key=key))

    def _leave_out_settled(self) -> bool:
        """Offer only what is as it was; return whether anything is left."""
        carried, before = self._carried, self._slices
        if carried is None or self._corrections.is_preview:
            return carried is not None
        self._slices = {
            place: labels
            for place, labels in before.items()
            if carried.may_change(place, self._session)
        }
        if not self._slices:
            self.drop()
            self.said.emit(CHANGED_MEANWHILE)
        elif len(self._slices) < len(before):
            self.offered.emit(carried.place, self._slices)
        return bool(self._slices)

    def _name(self, slices: Collection[Place]) -> str:
        """Return "slice 3, ES" of one slice, else "4 other phases"."""
        if len(slices) > 1:
            return format_count(len(slices), "other phase")
        title = self._session.title_of(next(iter(slices)))
        return title[0].lower() + title[1:]

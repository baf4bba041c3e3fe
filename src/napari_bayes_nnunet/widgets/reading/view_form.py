"""Switch between the views of the uncertainty, which is remembered."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from ...core.ensemble.maps import ENTROPY
from ..common.dock import MessageLabel, column_layout, explained, form_layout, row_label
from ..common.form import NarrowComboBox
from ..common.settings import Settings
from ..layers.keys import KEYS, key_text
from .uncertainty_view import INCLUSION, VIEWS, UncertaintyView

DEFAULT_VIEW = INCLUSION
PEEK_KEY = f"hold {KEYS['peek']}"


class ViewForm(QWidget):
    """Switch of the view; ``view_chosen`` carries the user's choice, and `set_view` is silent.

    Only the user's choices are remembered, in ``settings`` if they are given.
    """

    view_chosen = Signal(object)

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.views = explained(NarrowComboBox(), "")
        self.explained = MessageLabel()
        texts = {view.key: view.view for view in VIEWS}
        texts[ENTROPY.key] += f"  ({PEEK_KEY})"
        self.views.set_choices(texts, {view.key: view.explained for view in VIEWS})
        rows = form_layout()
        rows.addRow(row_label(f"Show  {key_text('next view')}"), self.views)
        column_layout(self, rows, self.explained)
        self.set_view(self._kept())
        self.views.activated.connect(self._on_activated)

    @property
    def view(self) -> UncertaintyView:
        """The selected view."""
        return VIEWS[int(self.views.currentIndex())]

    def set_view(self, view: UncertaintyView) -> None:
        """Select a view."""
        self.views.setCurrentIndex(VIEWS.index(view))
        self.views.setToolTip(view.explained)
        self.explained.show_message(view.explained)

    def choose_next(self) -> None:
        """Select the next view for the user; after the last one, the first."""
        self._choose(VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)])

    def _on_activated(self, index: int) -> None:
        self._choose(VIEWS[index])

    def _choose(self, view: UncertaintyView) -> None:
        self.set_view(view)
        # Version 0.2.0 kept the names of the views in capitals.
        self._settings.keep(uncertainty_view=view.key.upper())
        self.view_chosen.emit(view)

    def _kept(self) -> UncertaintyView:
        name = self._settings.kept.uncertainty_view
        return next((view for view in VIEWS if view.key == name.lower()), DEFAULT_VIEW)

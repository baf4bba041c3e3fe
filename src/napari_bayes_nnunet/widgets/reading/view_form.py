"""The switch between the ways to see the uncertainty."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from ..common.dock import Sentence, form_layout, row_label
from .uncertainty_view import EXPLAINED, View


class ViewForm(QWidget):
    """``view_chosen`` carries a View the reader has chosen; ``set_view`` is silent."""

    view_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.views = QComboBox()
        self.views.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # letters are the keys of the review
        self.explained = Sentence()
        for view in View:
            self.views.addItem(view.value, view)
            self.views.setItemData(
                self.views.count() - 1, EXPLAINED[view], Qt.ItemDataRole.ToolTipRole
            )
        rows = form_layout()
        rows.addRow(row_label("Show"), self.views)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(rows)
        column.addWidget(self.explained)
        self.set_view(View.NOTHING)
        self.views.activated.connect(self._on_activated)

    def set_view(self, view: View) -> None:
        """Show that this view is seen."""
        self.views.setCurrentIndex(list(View).index(view))
        self._explain(view)

    def _on_activated(self, index: int) -> None:
        view = list(View)[index]
        self._explain(view)
        self.view_chosen.emit(view)

    def _explain(self, view: View) -> None:
        self.views.setToolTip(EXPLAINED[view])
        self.explained.say("" if view is View.NOTHING else EXPLAINED[view])

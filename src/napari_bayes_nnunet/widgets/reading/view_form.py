"""Switch between the views of the uncertainty."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from ..common.dock import MessageLabel, form_layout, row_label
from ..common.form import WheelGuard
from .uncertainty_view import EXPLAINED, UncertaintyView


class ViewForm(QWidget):
    """Switch of the view; ``view_chosen`` carries the user's choice, and `set_view` is silent."""

    view_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.views = QComboBox()
        self.views.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # letters are keys of the review
        self.views.installEventFilter(WheelGuard(self.views))
        self.explained = MessageLabel()
        for view in UncertaintyView:
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
        self.set_view(UncertaintyView.NOTHING)
        self.views.activated.connect(self._on_activated)

    def set_view(self, view: UncertaintyView) -> None:
        """Select a view."""
        self.views.setCurrentIndex(list(UncertaintyView).index(view))
        self._explain(view)

    def _on_activated(self, index: int) -> None:
        view = list(UncertaintyView)[index]
        self._explain(view)
        self.view_chosen.emit(view)

    def _explain(self, view: UncertaintyView) -> None:
        self.views.setToolTip(EXPLAINED[view])
        self.explained.say("" if view is UncertaintyView.NOTHING else EXPLAINED[view])

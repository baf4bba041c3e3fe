"""Names of the structures of a dataset, with a picture that shows them."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...app.dataset.label_example import LabelExample
from ...core.heart.structures import lacks_lv
from ..common.dock import MessageLabel, form_layout, row_label
from .label_names import LabelNames
from .label_picture import LabelPicture

NAMES_KEPT = "These names were given for the folders chosen before. Check them against the picture."
UNNAMED_LV = (
    "No structure is named LV, so the ensemble will not give ED, ES or EF. Name the structures RV, "
    "MYO and LV as the picture shows them."
)


class StructureNames(QWidget):
    """A picture above a table value → name, which offers RV, MYO and LV."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kept: dict[int, str] = {}
        self._is_editable = True
        self.picture = LabelPicture()
        self.table = LabelNames()
        self.hint = MessageLabel(level="warning")
        self._rows = form_layout()
        self._rows.addRow(row_label("Structures"), self.table)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.picture)
        column.addLayout(self._rows)
        column.addWidget(self.table.problem_text)
        column.addWidget(self.hint)
        self.table.changed.connect(self._on_changed)
        self._show_table()

    @property
    def names(self) -> dict[int, str]:
        """Name of every value, including the background, as typed."""
        return self.table.names

    @property
    def problem(self) -> str:
        """A sentence on the first wrong name, "" if all are valid."""
        return self.table.problem

    def set_editable(self, editable: bool) -> None:
        """Show the table if it has names, or only the picture."""
        self._is_editable = editable
        self._show_table()

    def show_names(self, names: Mapping[int, str], example: LabelExample | None) -> None:
        """Show ``names`` and the slice of ``example``."""
        self._kept = {}
        self.table.set_names(names)
        self._show_table()
        self.set_example(example)

    def keep(self, names: Mapping[int, str], example: LabelExample | None) -> None:
        """Keep the names as typed; say so if they are not ``names``."""
        self._kept = self.names if self.names != names else {}
        self.set_example(example)

    def set_example(self, example: LabelExample | None) -> None:
        """Show the slice of ``example``, None to hide it."""
        self.picture.set_example(example, self.names)
        self._show_hint()

    def _show_table(self) -> None:
        """Show the table if its names can be edited; hide it while there are none."""
        self._rows.setRowVisible(0, self._is_editable and bool(self.names))

    def _on_changed(self) -> None:
        self.picture.set_names(self.names)
        self._show_hint()
        self.changed.emit()

    def _show_hint(self) -> None:
        """Show that no structure is the LV, or that the names were given for other folders."""
        names = self.names
        lacking = UNNAMED_LV if any(names) and lacks_lv(names.values()) else ""
        kept = NAMES_KEPT if any(names) and names == self._kept else ""
        self.hint.show_message(lacking or kept)

"""Table of the members of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from ..common.rows_table import Column

_ROWS_SHOWN = 5
TRAINING_WIDTH = 64


MEMBER_COLUMNS = (
    Column("Training", "Folder of the training; several trainings make a deep ensemble."),
    Column("Fold", "Fold held out for validation; “all” if the training used all cases."),
    Column("Cycle", "Cycle of the learning rate, counted from 1."),
    Column("Epoch", "Epoch at the end of which the weights were kept, counted from 0."),
    Column("Rate", "Learning rate of that epoch."),
    Column("Size", "Size of the file."),
    Column("State", "Whether the member can be used. The tooltip of a refused member says why."),
)


def member_row(member: Member) -> tuple[str, ...]:
    """Return the texts of ``MEMBER_COLUMNS``, a dash for an unknown value."""
    return (
        member.training,
        member.fold,
        _number(None if member.cycle is None else member.cycle + 1),
        _number(member.epoch),
        "–" if member.learning_rate is None else f"{member.learning_rate:.2g}",
        f"{member.bytes / 1e6:.1f} MB",
        "usable" if member.usable else "refused",
    )


class MembersTable(QTableWidget):
    """Read-only table of the members of a folder."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(MEMBER_COLUMNS), parent)
        for index, column in enumerate(MEMBER_COLUMNS):
            item = QTableWidgetItem(column.title)
            item.setToolTip(column.help)
            self.setHorizontalHeaderItem(index, item)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        self.setShowGrid(False)
        self.setWordWrap(False)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(30)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        header.resizeSection(0, TRAINING_WIDTH)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.set_folder(None)

    def set_folder(self, folder: EnsembleFolder | None) -> None:
        """Show the members of ``folder``, and their trainings if there are several."""
        members = folder.members if folder is not None else ()
        self.setRowCount(len(members))
        for row, member in enumerate(members):
            self._fill(row, member)
        self.setColumnHidden(0, len({member.training for member in members}) < 2)
        self._fit(members)

    def _fill(self, row: int, member: Member) -> None:
        for column, text in enumerate(member_row(member)):
            item = QTableWidgetItem(text)
            item.setToolTip(f"{member.path}\n{member.refused or 'usable'}")
            if not member.usable:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEnabled)
            self.setItem(row, column, item)

    def _fit(self, members: Sequence[Member]) -> None:
        """Set the height to that of the rows, up to a few."""
        rows = min(max(len(members), 1), _ROWS_SHOWN)
        height = self.horizontalHeader().sizeHint().height() + rows * 22 + 2 * self.frameWidth()
        self.setFixedHeight(height + 2)


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)

"""Choosing the ensemble: built in, used before, from a folder; and what was found in it."""

from __future__ import annotations

from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QStandardItem
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...core.heart.structures import structure_colors
from ...io.ensemble.ensemble_folder import EnsembleFolder, find_ensemble
from ..common.background import Background
from ..common.settings import Settings
from .members_table import MembersTable

DEMO_TITLE = "Demo ensemble (built in)"
NO_DEMO = "The built-in ensemble is missing from this installation."
_NOTHING = "Choose an ensemble…"
_PROBLEMS_SHOWN = 3


def demo_folder() -> Path:
    """Where the built-in ensemble is, if it was installed."""
    return Path(str(files("napari_bayes_nnunet") / "demo_ensemble"))


class EnsembleForm(QWidget):
    """A list of folders to choose from, and the members of the chosen one.

    ``ensemble_changed`` carries the EnsembleFolder, or None while there is none; ``found`` the
    path of a folder whose weights nobody has opened yet, ``failed`` why there is no ensemble.
    """

    ensemble_changed = Signal(object)
    found = Signal(object)
    failed = Signal(str)

    def __init__(
        self, settings: Settings, *, demo: Path | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._settings = settings
        self._demo = demo or demo_folder()
        self._background = Background(self)
        self._asked: Path | None = None
        self._is_looking = False
        self._folder: EnsembleFolder | None = None
        self.folders = QComboBox()
        self.choose_button = QPushButton("Choose folder…")
        self.summary = _sentence()
        self.table = MembersTable()
        self.problems = _sentence()
        self._lay_out()
        self._list_folders()
        self.folders.activated.connect(self._on_activated)
        self.choose_button.clicked.connect(self._on_choose_clicked)
        self._show(None)

    @property
    def folder(self) -> EnsembleFolder | None:
        """The chosen ensemble."""
        return self._folder

    @property
    def path(self) -> Path | None:
        """The folder as it was chosen; of several trainings it holds all."""
        return self._asked

    @property
    def is_looking(self) -> bool:
        """Whether the chosen folder is still being looked through."""
        return self._is_looking

    def choose(self, path: Path) -> None:
        """Look into ``path`` in the background; ``ensemble_changed`` tells what came of it."""
        self._asked, self._is_looking = path, True
        self._select(path)
        self._show(None)
        self._tell(f"Looking into {path.name}…")
        self._background.run(
            partial(find_ensemble, path),
            partial(self._on_found, path),
            partial(self._on_not_found, path),
        )

    def choose_demo(self) -> None:
        """Choose the built-in ensemble."""
        if self._demo.is_dir():
            self.choose(self._demo)
        else:
            self._complain([NO_DEMO])
            self.failed.emit(NO_DEMO)

    def refuse(self, path: str, reasons: dict[str, str]) -> None:
        """Take in what the child found when it opened the members of the folder ``path``."""
        if self._folder is None or str(self._asked) != path:
            return
        usable = {str(member.path) for member in self._folder.usable_members}
        new = {Path(file): why for file, why in reasons.items() if file in usable}
        if new:
            self._show(self._folder.refusing(new))

    def _lay_out(self) -> None:
        self.folders.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.folders.setMinimumContentsLength(12)
        self.folders.setToolTip("Or drop a folder anywhere on this dock.")
        self.choose_button.setToolTip(
            "A training of this plugin, a result folder of nnU-Net with several checkpoints or "
            "folds, or a folder with several trainings. Or drop it on this dock."
        )
        row = QHBoxLayout()
        row.addWidget(self.folders, 1)
        row.addWidget(self.choose_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        for widget in (self.summary, self.table, self.problems):
            column.addWidget(widget)

    def _list_folders(self) -> None:
        self.folders.clear()
        self.folders.addItem(_NOTHING, None)
        self.folders.addItem(DEMO_TITLE, self._demo)
        if not self._demo.is_dir():
            _disable(self.folders, 1, NO_DEMO)
        for folder in self._settings.recent_folders():
            self._add(folder)

    def _add(self, folder: Path) -> None:
        self.folders.addItem(folder.name or str(folder), folder)
        last = self.folders.count() - 1
        self.folders.setItemData(last, str(folder), Qt.ItemDataRole.ToolTipRole)

    def _select(self, path: Path) -> None:
        places = [i for i in range(self.folders.count()) if self.folders.itemData(i) == path]
        if not places:
            self._add(path)
        self.folders.setCurrentIndex(places[0] if places else self.folders.count() - 1)

    def _on_activated(self, index: int) -> None:
        path = self.folders.itemData(index)
        if path is not None:
            self.choose(path)
        else:
            self._asked, self._is_looking = None, False
            self._show(None)

    def _on_choose_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of an ensemble")
        if chosen:
            self.choose(Path(chosen))

    def _on_found(self, path: Path, folder: EnsembleFolder) -> None:
        if path != self._asked:
            return
        if path != self._demo:
            self._settings.add_recent_folder(path)
        self._is_looking = False
        self._show(folder)
        self.found.emit(path)

    def _on_not_found(self, path: Path, sentence: str) -> None:
        if path == self._asked:
            self._is_looking = False
            self._tell("")
            self._complain([sentence])
            self.failed.emit(sentence)

    def _show(self, folder: EnsembleFolder | None) -> None:
        self._folder = folder
        self.table.set_folder(folder)
        self.table.setVisible(folder is not None)
        self._tell(_summary(folder) if folder else "")
        self._complain(_problems(folder) if folder else [])
        self.ensemble_changed.emit(folder)

    def _tell(self, text: str) -> None:
        self.summary.setText(text)
        self.summary.setVisible(bool(text))

    def _complain(self, sentences: list[str]) -> None:
        more = len(sentences) - _PROBLEMS_SHOWN
        rest = [f"… and {more} more, see the table."] if more > 0 else []
        self.problems.setText("\n".join([*sentences[:_PROBLEMS_SHOWN], *rest]))
        self.problems.setVisible(bool(sentences))


def _summary(folder: EnsembleFolder) -> str:
    """Kind, members and structures in their colours, as rich text."""
    count, usable = len(folder.members), len(folder.usable_members)
    members = f"{usable} usable member{'' if usable == 1 else 's'}"
    if usable < count:
        members = f"{usable} of {count} members usable"
    colors = structure_colors(folder.labels)
    legend = " &nbsp; ".join(
        f"<span style='color:{colors[label]}'>■</span>&nbsp;{escape(name)}"
        for name, label in folder.labels.items()
        if label
    )
    kind = folder.kind[0].upper() + folder.kind[1:]
    return f"{kind} ({folder.configuration}), {members}.<br>{legend}"


def _problems(folder: EnsembleFolder) -> list[str]:
    refused = [f"{m.path.name}: {m.refused}." for m in folder.members if not m.usable]
    return [*folder.problems, *refused]


def _sentence() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setMinimumSize(QSize(0, 0))
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _disable(combo: QComboBox, index: int, reason: str) -> None:
    item: QStandardItem = combo.model().item(index)
    item.setEnabled(False)
    item.setToolTip(reason)

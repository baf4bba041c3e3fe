"""Form to choose an ensemble, with a table of its members."""

from __future__ import annotations

from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QPushButton,
    QWidget,
)

from ...app.segmentation.calibration import uncalibrated_notes
from ...app.segmentation.settings import SegmentationSettings
from ...core.counts import format_count
from ...core.heart.structures import structure_colors
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member, find_ensemble
from ..common.background import Background
from ..common.dock import MessageLabel, column_layout, row_layout
from ..common.form import NarrowComboBox
from ..common.rows_table import Column, Row, RowsTable
from ..common.settings import Settings, existing

DEMO_FOLDER = Path(str(files("napari_bayes_nnunet") / "demo_ensemble"))
DEMO_TITLE = "Demo ensemble (built in)"
_NOTHING = "Choose an ensemble…"
NOTHING_CHOSEN = "Choose the built-in one or a folder."  # one line, so that no control moves
SEARCHING_FOLDER = "Searching…"
_PROBLEMS_SHOWN = 3
MORE_REFUSED = "… and {count} more, see Details."
DICE = "Dice:"
DICE_HELP = "Mean Dice with the reference on {cases} of the training, 0 to 1."


class EnsembleForm(QWidget):
    """A list of folders, and a line on the chosen one; ``members`` are for another place.

    ``folder`` is the chosen ensemble, ``path`` its folder as it was chosen, which may hold several
    trainings. While that is being searched, ``is_looking`` is True.
    ``ensemble_changed`` carries the EnsembleFolder, or None. ``found`` carries the path of an
    ensemble whose weights have not been opened yet.
    """

    ensemble_changed = Signal(object)
    found = Signal(object)

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._background = Background(self)
        self.path: Path | None = None
        self.is_looking = False
        self.folder: EnsembleFolder | None = None
        self.folders = NarrowComboBox(letters=12)
        self.choose_button = QPushButton("Choose…")
        self.zip_button = QPushButton("Zip…")
        self.summary = MessageLabel()
        self.summary.setTextFormat(Qt.TextFormat.RichText)
        self.kind = MessageLabel()
        self.table = RowsTable(MEMBER_COLUMNS, rows_shown=_ROWS_SHOWN)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.members = QWidget()
        self.problems = MessageLabel()
        self._lay_out()
        self._list_folders()
        self.folders.activated.connect(self._on_activated)
        self.choose_button.clicked.connect(self._on_choose_clicked)
        self.zip_button.clicked.connect(self._on_zip_clicked)
        self._show(None)

    def choose(self, path: Path) -> None:
        """Search ``path`` in the background, then emit ``found`` or ``failed``."""
        self.path, self.is_looking = path, True
        self._select(path)
        self._show(None)
        self.summary.show_message(SEARCHING_FOLDER)
        self._background.run(
            partial(find_ensemble, path),
            partial(self._on_found, path),
            partial(self._on_not_found, path),
        )

    def choose_last(self) -> None:
        """Choose the ensemble of the last time, else the built-in one, unless one is chosen."""
        last = existing(self._settings.kept.last_ensemble) or existing(str(DEMO_FOLDER))
        if self.path is None and last is not None:
            self.choose(last)

    def choose_demo(self) -> None:
        """Choose the built-in ensemble."""
        self.choose(DEMO_FOLDER)

    def refuse(self, path: str, reasons: dict[str, str]) -> None:
        """Mark the members of ``path`` that the child could not open as refused."""
        if self.folder is None or str(self.path) != path:
            return
        # A member that was refused before keeps its reason.
        usable = {str(member.path) for member in self.folder.usable_members}
        new = {Path(file): why for file, why in reasons.items() if file in usable}
        if new:
            self._show(self.folder.with_refused(new))

    def _lay_out(self) -> None:
        self.folders.setToolTip("Ensembles. You can also drop a folder or zip file here.")
        self.zip_button.setToolTip("Choose a zip file that nnU-Net has exported.")
        self.choose_button.setToolTip(
            "Choose a training of this plugin, an nnU-Net result folder with several checkpoints "
            "or folds, or a folder with several trainings."
        )
        buttons = self.choose_button, self.zip_button
        row = row_layout(None, self.folders, *buttons, wide=self.folders)
        column_layout(self, row, self.summary, self.problems)
        column_layout(self.members, self.kind, self.table)

    def _list_folders(self) -> None:
        self.folders.clear()
        self.folders.addItem(_NOTHING, None)
        self.folders.addItem(DEMO_TITLE, DEMO_FOLDER)
        for folder in filter(None, map(existing, self._settings.kept.recent_ensembles)):
            self._add(folder)

    def _add(self, folder: Path) -> None:
        self.folders.addItem(folder.name or str(folder), folder)
        last = self.folders.count() - 1
        self.folders.setItemData(last, str(folder), Qt.ItemDataRole.ToolTipRole)

    def _select(self, path: Path) -> None:
        rows = [i for i in range(self.folders.count()) if self.folders.itemData(i) == path]
        if not rows:
            self._add(path)
        self.folders.setCurrentIndex(rows[0] if rows else self.folders.count() - 1)

    def _on_activated(self, index: int) -> None:
        path = self.folders.itemData(index)
        if path is not None:
            self.choose(path)
        else:
            self.path, self.is_looking = None, False
            self._settings.keep(last_ensemble="")
            self._show(None)

    def _on_choose_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of an ensemble")
        if chosen:
            self.choose(Path(chosen))

    def _on_zip_clicked(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "Zip file of a model", "", "Zip (*.zip)")
        if chosen:
            self.choose(Path(chosen))

    def _on_found(self, path: Path, folder: EnsembleFolder) -> None:
        if path != self.path:
            return
        # The built-in ensemble has an entry of its own.
        if path != DEMO_FOLDER:
            self._settings.put_first("recent_ensembles", path)
        self._settings.keep(last_ensemble=str(path))
        self.is_looking = False
        self._show(folder)
        self.found.emit(path)

    def _on_not_found(self, path: Path, sentence: str) -> None:
        if path == self.path:
            self.is_looking = False
            self._show(None)
            self.summary.show_message("")
            self._show_problems([sentence])

    def _show(self, folder: EnsembleFolder | None) -> None:
        self.folder = folder
        self.table.set_rows(member_rows(folder))
        several = len({row.cells[0] for row in self.table.rows}) > 1
        # One training needs no column that repeats its name.
        self.table.setColumnHidden(0, not several)
        self.members.setVisible(folder is not None)
        self.kind.show_message(_kind(folder) if folder else "")
        self.summary.show_message(_summary(folder) if folder else NOTHING_CHOSEN)
        self.summary.setToolTip(_summary_help(folder) if folder else "")
        self._show_problems([*folder.problems, *folder.refusals] if folder else [])
        self.ensemble_changed.emit(folder)

    def _show_problems(self, sentences: list[str]) -> None:
        more = len(sentences) - _PROBLEMS_SHOWN
        rest = [MORE_REFUSED.format(count=more)] if more > 0 else []
        self.problems.show_message("\n".join([*sentences[:_PROBLEMS_SHOWN], *rest]))


def _kind(folder: EnsembleFolder) -> str:
    """Return kind, configuration and number of members.

    Also whether the ensemble is not calibrated.
    """
    count, usable = len(folder.members), len(folder.usable_members)
    members = format_count(usable, "usable member", "usable members")
    if usable < count:
        members = f"{usable} of {count} members usable"
    kind = f"{folder.kind[0].upper()}{folder.kind[1:]} ({folder.configuration}), {members}."
    return " ".join([kind, *uncalibrated_notes(folder, SegmentationSettings())[:1]])


def _summary(folder: EnsembleFolder) -> str:
    """Return rich text with the structures in their colours, and their Dice if it is known."""
    colors, scores = structure_colors(folder.labels), folder.validation_dice
    legend = " &nbsp; ".join(
        f"<span style='color:{colors[label]}'>■</span>&nbsp;{escape(name)}"
        + (f"&nbsp;{scores[name]:.2f}" if name in scores else "")
        for name, label in folder.labels.items()
        if label
    )
    return f"{DICE} &nbsp;{legend}" if scores else legend


def _summary_help(folder: EnsembleFolder) -> str:
    """Return an explanation of the Dice, "" if it is unknown."""
    cases = format_count(folder.validation_cases, "validation case")
    return DICE_HELP.format(cases=cases) if folder.validation_dice else ""


_ROWS_SHOWN = 5


MEMBER_COLUMNS = (
    Column("Training", "Folder of the training; several trainings make a deep ensemble.", 64),
    Column("Fold", "Fold held out for validation; “all” if the training used all cases."),
    Column("Cycle", "Cycle of the learning rate, counted from 1."),
    Column("Epoch", "Epoch at the end of which the weights were kept, counted from 0."),
    Column("Rate", "Learning rate of that epoch."),
    Column("Size", "Size of the file."),
    Column("State", "Whether the member can be used. The tooltip of a refused member says why."),
)


def _member_texts(member: Member) -> tuple[str, ...]:
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


def member_rows(folder: EnsembleFolder | None) -> list[Row]:
    """Return the rows of the table; a refused member is pale and its tooltip says why."""
    return [
        Row(
            _member_texts(member),
            f"{member.path}\n{member.refused or 'usable'}",
            "fine" if member.usable else "done",
        )
        for member in (folder.members if folder is not None else ())
    ]


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)

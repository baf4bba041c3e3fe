"""Structures, channels, files and folder of a dataset made from two folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from ...app.dataset.label_example import LabelExample
from ..common.dock import MessageLabel, ThemeFont, column_layout, form_layout
from ..common.folder_row import FolderRow
from ..common.form import NarrowComboBox
from .structure_names import StructureNames

LINKS, COPIES = range(2)
LINKS_HELP = (
    "Links need no disk space, but the originals must not be moved or renamed. Frames of a cine "
    "are always written as new files."
)
COPIES_HELP = "Copies need as much disk space as the originals, which may then be moved or deleted."
CHANNEL_HELP = (
    "Modality of the images, such as “cine MRI”. Use the name CT only for computed tomography, "
    "because nnU-Net then expects Hounsfield units."
)
NO_CHANNEL = "Enter a name for the channel."
CHANNELS = "Enter names for the {count} channels, separated by commas."
NO_TARGET = "Choose an output folder for the dataset."
WHOLE_PATH = "Enter the full path of the folder."


class NewDatasetForm(QWidget):
    """Settings of a new dataset. ``write_requested`` is emitted only if they are complete."""

    write_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._count = 1
        self.structures = StructureNames()
        self.channel = QLineEdit("MRI")
        ThemeFont(self.channel)
        self.files = NarrowComboBox()
        self.target = FolderRow("Folder of the new dataset", hint="A new or empty folder")
        self.problem_text = MessageLabel(level="blocking")
        self.make_button = QPushButton("Make dataset")
        self._explain()
        self._lay_out()
        self.structures.changed.connect(self._show_problem)
        self.channel.textChanged.connect(self._show_problem)
        self.target.chosen.connect(self._show_problem)
        self.make_button.clicked.connect(self.write_requested)
        self._show_problem()

    @property
    def channels(self) -> list[str]:
        """Names of the channels, as typed."""
        return [name.strip() for name in self.channel.text().split(",")]

    @property
    def link(self) -> bool:
        """Whether to link the images instead of copying them."""
        return bool(self.files.currentIndex() == LINKS)

    @property
    def problem(self) -> str:
        """A sentence on the first missing or wrong setting, "" if there is none."""
        return self.structures.problem or self._channel_problem() or self._target_problem()

    def show_defaults(
        self,
        names: Mapping[int, str],
        *,
        channels: int,
        target: Path,
        example: LabelExample | None = None,
    ) -> None:
        """Show the defaults for a new match; names typed for the same values stay, with a note.

        ``example`` shows the values in a slice.
        """
        if set(names) != set(self.structures.names):
            self.structures.show_names(names, example)
        else:
            self.structures.keep_names(names, example)
        if channels != self._count:
            self._count = channels
            several = ", ".join(f"MRI {number}" for number in range(1, channels + 1))
            self.channel.setText("MRI" if channels == 1 else several)
        self.target.choose(target)

    def _explain(self) -> None:
        titles = {LINKS: "Links to the originals", COPIES: "Copies"}
        self.files.set_choices(titles, {LINKS: LINKS_HELP, COPIES: COPIES_HELP})
        self.files.setToolTip(f"{LINKS_HELP}\n{COPIES_HELP}")
        self.channel.setToolTip(CHANNEL_HELP)
        self.target.setToolTip("Output folder for imagesTr, labelsTr and dataset.json.")
        self.make_button.setToolTip("Write the dataset in the background.")

    def _lay_out(self) -> None:
        rows = form_layout(
            **{"Channel": self.channel, "Files": self.files, "Write to": self.target}
        )
        column_layout(self, self.structures, rows, self.problem_text, self.make_button)

    def _target_problem(self) -> str:
        """Return why no folder is chosen; what is wrong on the disk is found when it is written."""
        path = self.target.path
        if path is None:
            return NO_TARGET
        return "" if path.is_absolute() else WHOLE_PATH

    def _channel_problem(self) -> str:
        if len(self.channels) != self._count or not all(self.channels):
            return NO_CHANNEL if self._count == 1 else CHANNELS.format(count=self._count)
        return ""

    def _show_problem(self, *_: object) -> None:
        # Problems of the names are shown below their table.
        self.problem_text.show_message(self._channel_problem() or self._target_problem())
        self.make_button.setEnabled(not self.problem)


def new_dataset_folder(images: Path) -> Path:
    """Return a folder next to ``images`` that does not exist yet. Reads the disk."""
    name = f"{images.parent.name or 'nnunet'}_dataset"
    numbered = (images.parent / f"{name}_{number}" for number in range(2, 1000))
    return next(path for path in (images.parent / name, *numbered) if not path.exists())

"""A folder of images and one of labels, matched by name and written as a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from ...app.dataset.label_example import LabelExample, example_of_pairs
from ...core.counts import format_count
from ...io.dataset.matching import Match, Mismatch, Pair, match_folders
from ...io.dataset.raw_dataset import RawDataset
from ...io.dataset.writer import write_dataset
from ..common.dock import MessageLabel, ThemeFont, column_layout, form_layout
from ..common.folder_row import FolderRow
from ..common.form import NarrowComboBox
from ..common.long_work import Steps
from ..common.rows_table import Column, Row
from ..common.wording import in_the_window
from .dataset_form import WorkForm
from .structure_names import StructureNames

LINKS, COPIES = range(2)
LINKS_HELP = (
    "Links need no disk space, but the originals must not be moved or renamed. Phases of a cine "
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

    def __init__(self) -> None:
        super().__init__()
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


_COLUMNS = (
    Column("Case", "Name of the case in the dataset."),
    Column("Image", "File of the image and, for a cine, the phase, counted from 1."),
    Column("Label", "File of the matching label."),
)
FOLDERS_HINT = "Choose both folders. Images and labels are matched by name."
MATCHING_STOPPED = "Stopped. Choose one of the folders again to continue."
NOT_WRITTEN = "Stopped. No dataset was made."
WRITTEN = "{folder} now contains {cases}."
MATCHED = "{cases} matched."
PARTLY_MATCHED = "{cases} matched, {files} without a match."


class FoldersForm(WorkForm):
    """A dataset made from two folders.

    ``match`` has the pairs of images and labels, and the files without a partner.
    """

    def __init__(self) -> None:
        super().__init__(_COLUMNS, hint=FOLDERS_HINT)
        self.match: Match | None = None
        self.images = FolderRow("Folder of images")
        self.labels = FolderRow("Folder of labels")
        self.new = NewDatasetForm()
        self._lay_out()
        self._connect()
        self._show_match(None)

    def _lay_out(self) -> None:
        self.images.setToolTip("NIfTI files: volumes, or cines with labels for some phases.")
        self.labels.setToolTip("NIfTI files of integers, one for each image or phase.")
        rows = form_layout(Images=self.images, Labels=self.labels)
        parts = (self.summary, self.table, self.detail, self.new, self.progress)
        column_layout(self, rows, *parts)

    def _connect(self) -> None:
        for row in (self.images, self.labels):
            row.chosen.connect(self._on_folder_chosen)
        self.new.write_requested.connect(self._on_write_requested)

    def _on_folder_chosen(self, _: Path | None) -> None:
        # The match of the earlier folders would arrive late.
        self._work.drop()
        self._show_match(None)
        images, labels = self.images.path, self.labels.path
        if images is None or labels is None:
            self._end(FOLDERS_HINT)
            return
        self._begin("Reading file {done} of {total}")
        work = partial(_match_and_target, images, labels)
        self._work.start(work, self._on_matched, self._end, partial(self._end, MATCHING_STOPPED))

    def _on_matched(self, result: tuple[Match, Path, LabelExample | None]) -> None:
        match, target, example = result
        self._show_match(match)
        self._end(_summary(match))
        channels = len(match.pairs[0].images)
        self.new.show_defaults(
            match.suggested_names, channels=channels, target=target, example=example
        )

    def _on_write_requested(self) -> None:
        match, target = self.match, self.new.target.path
        assert match is not None
        assert target is not None
        self._set_dataset(None)
        self._enable(False)
        self._begin("Writing case {done} of {total}")
        work = partial(
            write_dataset,
            match,
            target,
            names=self.new.structures.names,
            channels=self.new.channels,
            link=self.new.link,
        )
        self._work.start(work, self._on_written, self._end, partial(self._end, NOT_WRITTEN))

    def _on_written(self, dataset: RawDataset) -> None:
        cases = format_count(len(dataset.cases), "case")
        self._end(WRITTEN.format(folder=dataset.path, cases=cases))
        self.new.hide()
        self._set_dataset(dataset)

    def _enable(self, enabled: bool) -> None:
        for part in (self.images, self.labels, self.new):
            part.setEnabled(enabled)

    def _show_match(self, match: Match | None) -> None:
        self.match = match
        rows = [] if match is None else _rows(match)
        self.table.set_rows(rows)
        self.table.setVisible(bool(rows))
        self.new.setVisible(match is not None)
        self._set_dataset(None)


def _match_and_target(images: Path, labels: Path) -> Steps:
    result = yield from match_folders(images, labels)
    # In the thread as well, because this reads the disk.
    return result, new_dataset_folder(images), example_of_pairs(result.pairs)


def _rows(match: Match) -> list[Row]:
    """Return a row for each file or pair, files without a match first."""
    return [*map(_mismatch_row, match.mismatches), *map(_pair_row, match.pairs)]


def _mismatch_row(mismatch: Mismatch) -> Row:
    reason = in_the_window(mismatch.reason)
    return Row((mismatch.file.name, reason), reason, "warning", mismatch.file)


def _pair_row(pair: Pair) -> Row:
    files = (*pair.images, pair.label)
    image = ", ".join(_file(image, pair.image_frame) for image in pair.images)
    cells = (pair.name, image, _file(pair.label, pair.label_frame))
    return Row(cells, "\n".join(map(str, files)), file=pair.label)


def _file(file: Path, frame: int | None) -> str:
    return file.name if frame is None else f"{file.name}, phase {frame}"


def _summary(match: Match) -> str:
    template = PARTLY_MATCHED if match.mismatches else MATCHED
    cases, files = (
        format_count(len(match.pairs), "case"),
        format_count(len(match.mismatches), "file"),
    )
    return template.format(cases=cases, files=files)

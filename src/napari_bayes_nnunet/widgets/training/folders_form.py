"""A folder of images and one of labels, matched by name and written as a dataset."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtWidgets import QWidget

from ...app.dataset.label_example import LabelExample, example_of_pairs
from ...core.counts import format_count
from ...io.dataset.matching import Match, Mismatch, Pair, match_folders
from ...io.dataset.raw_dataset import RawDataset
from ...io.dataset.writer import write_dataset
from ..common.dock import column_layout, form_layout
from ..common.folder_row import FolderRow
from ..common.long_work import Steps
from ..common.rows_table import Column, Row
from ..common.wording import in_the_window
from .dataset_form import WorkForm
from .new_dataset_form import NewDatasetForm, new_dataset_folder

_COLUMNS = (
    Column("Case", "Name of the case in the dataset."),
    Column("Image", "File of the image and, for a cine, the frame, counted from 1."),
    Column("Label", "File of the matching label."),
)
FOLDERS_HINT = "Choose both folders. Images and labels are matched by name."
MATCHING_STOPPED = "Stopped. Choose one of the folders again to continue."
NOT_WRITTEN = "Stopped. No dataset was made."
WRITTEN = "{folder} now contains {cases}."
MATCHED = "{cases} matched."
PARTLY_MATCHED = "{cases} matched, {files} without a match."


class FoldersForm(WorkForm):
    """A dataset made from two folders."""

    def __init__(
        self,
        *,
        match: Callable[[Path, Path], Steps] = match_folders,
        write: Callable[..., Steps] = write_dataset,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(_COLUMNS, hint=FOLDERS_HINT, parent=parent)
        self._match_work, self._write_work = match, write
        self._match: Match | None = None
        self.images = FolderRow("Folder of images")
        self.labels = FolderRow("Folder of labels")
        self.new = NewDatasetForm()
        self._lay_out()
        self._connect()
        self._show_match(None)

    @property
    def match(self) -> Match | None:
        """The pairs of images and labels, and the files without a partner."""
        return self._match

    def _lay_out(self) -> None:
        self.images.setToolTip("NIfTI files: volumes, or cines with labels for some frames.")
        self.labels.setToolTip("NIfTI files of integers, one for each image or frame.")
        rows = form_layout(Images=self.images, Labels=self.labels)
        parts = (self.summary, self.table, self.detail, self.new, self.progress)
        column_layout(self, rows, *parts)

    def _connect(self) -> None:
        for row in (self.images, self.labels):
            row.chosen.connect(self._on_folder_chosen)
        self.new.write_requested.connect(self._on_write_requested)

    def _on_folder_chosen(self, _: Path | None) -> None:
        self._work.drop()
        self._show_match(None)
        images, labels = self.images.path, self.labels.path
        if images is None or labels is None:
            self._end(FOLDERS_HINT)
            return
        self._begin("Reading file {done} of {total}")
        work = partial(_match_and_target, self._match_work, images, labels)
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
        match, target = self._match, self.new.target.path
        assert match is not None
        assert target is not None
        self._set_dataset(None)
        self._enable(False)
        self._begin("Writing case {done} of {total}")
        work = partial(
            self._write_work,
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
        self._match = match
        rows = [] if match is None else _rows(match)
        self.table.set_rows(rows)
        self.table.setVisible(bool(rows))
        self.new.setVisible(match is not None)
        self._set_dataset(None)


def _match_and_target(match: Callable[[Path, Path], Steps], images: Path, labels: Path) -> Steps:
    result = yield from match(images, labels)
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
    return file.name if frame is None else f"{file.name}, frame {frame}"


def _summary(match: Match) -> str:
    template = PARTLY_MATCHED if match.mismatches else MATCHED
    cases, files = (
        format_count(len(match.pairs), "case"),
        format_count(len(match.mismatches), "file"),
    )
    return template.format(cases=cases, files=files)

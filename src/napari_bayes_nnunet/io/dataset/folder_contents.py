"""NIfTI files of two folders, divided into images with their channels, and labels."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...core.problems import Statement
from .. import DataError
from ..files.case_names import (
    CaseName,
    PatientFolders,
    image_names,
    is_named_label,
    label_names,
    patient_folders,
)
from ..files.given_path import is_same_path, is_within
from ..images.nifti import ENDINGS, channel_files, is_further_channel

NO_FOLDER = "{folder} is not a folder. Choose a folder."
NO_NIFTI_FILES = (
    "{folder} and its subfolders have no NIfTI files (.nii.gz or .nii). Choose another folder."
)
LABEL_AMONG_IMAGES = "has the name of a label, but is among the images"
IMAGE_AMONG_LABELS = "has the name of an image, but is among the labels"
UNREADABLE_FOLDER = "cannot be opened ({reason})"
MISSING_CHANNEL = "is a further channel, but a channel between it and _0000 is missing"
"""Reasons follow the name of a file."""


@dataclass(frozen=True)
class ImageFiles:
    """Channels of an image, its possible names (that of the case last), and its subfolders."""

    files: tuple[Path, ...]
    names: tuple[CaseName, ...]
    folders: PatientFolders

    @property
    def file_name(self) -> str:
        return self.files[0].name


@dataclass
class FolderFiles:
    """Files to match; ``reasons`` explains why a file is neither image nor label."""

    images: list[ImageFiles] = field(default_factory=list)
    labels: list[Path] = field(default_factory=list)
    reasons: dict[Path, Statement | str] = field(default_factory=dict)


def list_contents(images: Path, labels: Path) -> Generator[tuple[int, int], None, FolderFiles]:
    """List two folders, which may be the same or one within the other, with all subfolders.

    Yields (0, files found so far). Raises DataError if one of them has no NIfTI files.
    """
    contents = FolderFiles()
    image_files = yield from _nifti_files(images, contents.reasons)
    label_files = yield from _nifti_files(labels, contents.reasons)
    if is_same_path(images, labels):
        contents.labels = [file for file in label_files if is_named_label(file, labels)]
        image_files = [file for file in image_files if not is_named_label(file, images)]
    else:
        image_files = _without_nested(image_files, labels, in_root=images)
        label_files = _without_nested(label_files, images, in_root=labels)
        misplaced = _misplaced(image_files, images, are_labels=True)
        contents.reasons |= dict.fromkeys(misplaced, LABEL_AMONG_IMAGES)
        image_files = [file for file in image_files if file not in misplaced]
        misplaced = _misplaced(label_files, labels, are_labels=False)
        contents.reasons |= dict.fromkeys(misplaced, IMAGE_AMONG_LABELS)
        contents.labels = [file for file in label_files if file not in misplaced]
    contents.images = _grouped(image_files, contents, images)
    return contents


def _nifti_files(
    root: Path, reasons: dict[Path, Statement | str]
) -> Generator[tuple[int, int], None, list[Path]]:
    if not root.is_dir():
        raise DataError(NO_FOLDER, folder=root)
    unreadable: list[OSError] = []
    files: list[Path] = []
    for folder, inside, names in os.walk(root, onerror=unreadable.append):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        files += [
            Path(folder, name)
            for name in sorted(names)
            if name.lower().endswith(ENDINGS) and not name.startswith(".")
        ]
        yield 0, len(files)
    for error in unreadable:
        reasons[Path(error.filename)] = UNREADABLE_FOLDER.format(reason=error.strerror)
    if not files:
        raise DataError(NO_NIFTI_FILES, folder=root)
    return files


def _without_nested(files: list[Path], other: Path, *, in_root: Path) -> list[Path]:
    """Return the files without those in the ``other`` folder, if that is inside this one."""
    if not is_within(other, in_root):
        return files
    outside = {folder for folder in {file.parent for file in files} if not is_within(folder, other)}
    return [file for file in files if file.parent in outside]


def _misplaced(files: Iterable[Path], root: Path, *, are_labels: bool) -> set[Path]:
    """Return files of the wrong kind that are next to one of the right kind for the same case.

    Others are not misplaced, because all files in a folder of labels may be named like images, and
    the reverse.
    """
    wrong: set[Path] = set()
    right: set[tuple[Path, str]] = set()
    for file in files:
        if is_named_label(file, root) is are_labels:
            wrong.add(file)
        else:
            right |= _cases(file)
    return {file for file in wrong if _cases(file) & right}


def _cases(file: Path) -> set[tuple[Path, str]]:
    return {(file.parent, name.key.base) for name in label_names(file)}


def _grouped(files: Sequence[Path], contents: FolderFiles, root: Path) -> list[ImageFiles]:
    """Return images of one or more channels; ``_0001`` is a case if a label has that name."""
    labelled = {name.key for label in contents.labels for name in label_names(label)}
    further = {file for file in files if is_further_channel(file)}
    cases = {file for file in further if _has_label(file, labelled)}
    images: dict[Path, ImageFiles] = {}
    for file in (f for f in files if f not in further or f in cases):
        channels = tuple(channel_files(file))
        if cases.intersection(channels[1:]) or file in cases:
            channels, is_channel = (file,), False
        else:
            is_channel = True
        names = image_names(file, is_channel=is_channel)
        images[file] = ImageFiles(channels, tuple(names), patient_folders(file, root))
    in_use = {channel for image in images.values() for channel in image.files}
    for file in further - in_use:
        contents.reasons[file] = MISSING_CHANNEL
    return list(images.values())


def _has_label(file: Path, labelled: set[CaseName]) -> bool:
    return any(name.key in labelled for name in image_names(file, is_channel=False))

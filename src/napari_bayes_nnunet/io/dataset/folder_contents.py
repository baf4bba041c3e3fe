"""The NIfTI files of two folders: which are images, with their channels, and which are labels."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import DataError
from ..files.case_names import (
    CaseName,
    PatientFolders,
    image_names,
    is_named_label,
    label_names,
    patient_folders,
)
from ..images.nifti import ENDINGS, channel_files, is_further_channel


@dataclass(frozen=True)
class ImageFiles:
    """The channels of an image, the names it answers to (the case's own last), and its place."""

    files: tuple[Path, ...]
    names: tuple[CaseName, ...]
    folders: PatientFolders

    @property
    def file_name(self) -> str:
        return self.files[0].name


@dataclass
class FolderFiles:
    """What there is to match; ``reasons`` says of files why they are neither."""

    images: list[ImageFiles] = field(default_factory=list)
    labels: list[Path] = field(default_factory=list)
    reasons: dict[Path, str] = field(default_factory=dict)


def look_into(images: Path, labels: Path) -> Generator[tuple[int, int], None, FolderFiles]:
    """List two folders, which may be the same or one within the other, with all sub-folders.

    Yields (0, files found so far). Raises DataError where one of them holds no NIfTI files.
    """
    found = FolderFiles()
    image_files = yield from _nifti_files(images, found.reasons)
    label_files = yield from _nifti_files(labels, found.reasons)
    if images.resolve() == labels.resolve():
        found.labels = [file for file in label_files if is_named_label(file, labels)]
        image_files = [file for file in image_files if not is_named_label(file, images)]
    else:
        image_files = _without_nested(image_files, labels, in_root=images)
        label_files = _without_nested(label_files, images, in_root=labels)
        odd = _odd_ones(image_files, images, labels_are_odd=True)
        found.reasons |= dict.fromkeys(odd, "is named like a label, but lies with the images")
        image_files = [file for file in image_files if file not in odd]
        odd = _odd_ones(label_files, labels, labels_are_odd=False)
        found.reasons |= dict.fromkeys(odd, "is named like an image, but lies with the labels")
        found.labels = [file for file in label_files if file not in odd]
    found.images = _grouped(image_files, found, images)
    return found


def _nifti_files(
    root: Path, reasons: dict[Path, str]
) -> Generator[tuple[int, int], None, list[Path]]:
    if not root.is_dir():
        raise DataError(f"{root} is no folder.")
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
        reasons[Path(error.filename)] = f"cannot be opened: {error.strerror}"
    if not files:
        raise DataError(f"{root} holds no NIfTI files (.nii.gz or .nii), nor do its sub-folders.")
    return files


def _without_nested(files: list[Path], other: Path, *, in_root: Path) -> list[Path]:
    """Without what lies in the other folder, where that is one within this."""
    inner = other.resolve()
    if in_root.resolve() not in inner.parents:
        return files
    folders = {file.parent for file in files}
    outside = {folder for folder in folders if not folder.resolve().is_relative_to(inner)}
    return [file for file in files if file.parent in outside]


def _odd_ones(files: Iterable[Path], root: Path, *, labels_are_odd: bool) -> set[Path]:
    """Files of the other kind that lie beside one of this kind with the same case in the name.

    Only those: in a folder of labels all may be named like images, and the reverse.
    """
    odd: set[Path] = set()
    right: set[tuple[Path, str]] = set()
    for file in files:
        if is_named_label(file, root) is labels_are_odd:
            odd.add(file)
        else:
            right |= _cases(file)
    return {file for file in odd if _cases(file) & right}


def _cases(file: Path) -> set[tuple[Path, str]]:
    return {(file.parent, name.key.base) for name in label_names(file)}


def _grouped(files: Sequence[Path], found: FolderFiles, root: Path) -> list[ImageFiles]:
    """Images of one or more channels. ``_0001`` is a case where a label has that name."""
    asked = {name.key for label in found.labels for name in label_names(label)}
    further = {file for file in files if is_further_channel(file)}
    cases = {file for file in further if _is_asked_for(file, asked)}
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
        found.reasons[file] = "is a further channel, but one between it and _0000 is missing"
    return list(images.values())


def _is_asked_for(file: Path, asked: set[CaseName]) -> bool:
    return any(name.key in asked for name in image_names(file, is_channel=False))

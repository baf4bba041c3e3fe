"""Matching of the images and labels of two folders.

An image and a label match if their names are equal without the words that mark them as an image or
a label, and their subfolders may be of one patient. A labelled frame without a volume of its own is
taken from the cine of that name.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...core.problems import Statement, statement
from .. import DataError
from ..files.case_names import (
    CaseName,
    PatientFolders,
    is_named_label,
    may_share_patient,
    nifti_stem,
    patient_folders,
    read_case_name,
    safe_name,
)
from ..files.given_path import check_folder
from ..files.json_files import parse_json
from ..files.limits import read_small
from ..images.integrity import nifti_header, phase_count
from ..images.nifti import (
    ENDINGS,
    Volume,
    channel_files,
    is_further_channel,
    read_info_cfg,
    read_labels,
    read_volume,
)


@dataclass(frozen=True)
class Pair:
    """One labelled image, a future case of the dataset.

    ``images`` are its channels. ``image_frame`` and ``label_frame`` are the frames, from 1, to
    extract from a cine, None for a volume. ``values`` are the label values that occur, and 0.
    """

    name: str
    images: tuple[Path, ...]
    label: Path
    image_frame: int | None
    label_frame: int | None
    values: tuple[int, ...]


@dataclass(frozen=True)
class Mismatch:
    """A file that will not be used, and why."""

    file: Path
    reason: Statement


@dataclass(frozen=True)
class Match:
    """Pairs and other files of two folders. ``known_names``: names of values in a dataset.json."""

    pairs: tuple[Pair, ...]
    mismatches: tuple[Mismatch, ...]
    known_names: tuple[tuple[int, str], ...] = ()

    @property
    def values(self) -> tuple[int, ...]:
        """Label values that occur in any pair, including 0."""
        return tuple(sorted({value for pair in self.pairs for value in pair.values}))

    @property
    def suggested_names(self) -> dict[int, str]:
        """Name of every value, from a dataset.json in or above the folders, else its number."""
        known, names = dict(self.known_names), {0: "background"}
        for value in self.values:
            if value:
                name = known.get(value, "")
                taken = name.casefold() in {"", *(given.casefold() for given in names.values())}
                names[value] = f"structure {value}" if taken else name
        return names


MOST_VALUES = 255
"""Maximum number of label values of a file; a file with more is an image."""
NO_NIFTI_FILES = (
    "{folder} and its subfolders have no NIfTI files (.nii.gz or .nii). Choose another folder."
)
NOTHING_MATCHES = (
    "No label in {labels} matches an image in {images}. Give label and image the same name, except "
    "for endings such as _0000 and _gt. For example: {example}"
)
UNREADABLE_FOLDER = "{file} cannot be opened ({reason})."
LABEL_AMONG_IMAGES = "{file} has the name of a label, but is among the images."
IMAGE_AMONG_LABELS = "{file} has the name of an image, but is among the labels."
MISSING_CHANNEL = "{file} is a further channel, but a channel between it and _0000 is missing."
NO_IMAGE = "{file} has no image named {name}."
NO_IMAGE_NOR_CINE = "{file} has no image named {name}, nor a cine named {cine}."
NO_LABEL = "{file} has no label of its name."
SEVERAL_IMAGES = "{file} fits several images, {images}. Keep one of them."
SECOND_LABEL = "{file} is a second label of {name}, next to {label}. Keep one of them."
OTHER_SIZE = "{file} has {voxels} voxels, but {image} has {expected}."
OTHER_CHANNELS = (
    "{file} has an image with channels up to _{last:04d}, but others have them up to _{usual:04d}."
)
LOOKS_LIKE_IMAGE = "{file} has {count} different values, so it seems to be an image."
EMPTY_LABEL = "{file} has no labels (all voxels are 0)."
UNNAMED_FRAME = (
    "{file} is a single volume, but {image} is a cine of {phases} phases. Add the phase to the "
    "name, as in {example}."
)
UNKNOWN_FRAME = "{file} is for phase {phase}, but {image} has the phases 1 to {phases}."

MatchingProgress: TypeAlias = tuple[int, int]
_Reasons: TypeAlias = dict[Path, Statement]


@dataclass(frozen=True)
class _Image:
    """Channels of an image, the case in their name, and its subfolders."""

    files: tuple[Path, ...]
    name: CaseName
    folders: PatientFolders

    @cached_property
    def phases(self) -> int:
        """Number of phases by the header, 1 for a volume, 0 if it cannot be read."""
        header = nifti_header(self.files[0])
        return 0 if header is None else phase_count(header)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X) or (T, Z, Y, X) of the whole files.

        Raises DataError if a channel is damaged or has another shape.
        """
        # Whole files, because only that reveals a damaged one.
        first, *others = (read_volume(file).shape for file in self.files)
        for file, shape in zip(self.files[1:], others, strict=True):
            _check_size(file, shape, self.files[0], first)
        return first


@dataclass(frozen=True)
class _Label:
    """A file of labels, the case in its name, and its subfolders."""

    file: Path
    name: CaseName
    folders: PatientFolders


def match_folders(images: Path, labels: Path) -> Generator[MatchingProgress, None, Match]:
    """Find the image of every label, by name, in two folders and their subfolders.

    Both may be the same folder, or one may lie in the other. The labelled frames of a cine become
    cases. Yields (done, total). Raises DataError if a folder has no NIfTI files, or if nothing
    matches.
    """
    reasons: _Reasons = {}
    image_files = yield from _nifti_files(images, "images", reasons)
    label_files = yield from _nifti_files(labels, "labels", reasons)
    if images == labels:
        label_files = [file for file in label_files if is_named_label(file, labels)]
    elif images.is_relative_to(labels):
        # A folder of images inside that of the labels would otherwise be read twice.
        label_files = sorted({*label_files} - {*image_files})
    image_files = _without(image_files, label_files, images, reasons, are_labels=False)
    label_files = _without(label_files, image_files, labels, reasons, are_labels=True)
    # Labels have no channels, so their numbers, if there are several, count cases.
    are_channels = not any(map(is_further_channel, label_files))
    found = _grouped(image_files, images, reasons, are_channels=are_channels)
    parsed = [
        _Label(file, read_case_name(file, is_channel=are_channels), patient_folders(file, labels))
        for file in label_files
    ]
    candidates: list[tuple[_Image, CaseName, Pair]] = []
    for done, label in enumerate(parsed):
        yield done, len(parsed)
        try:
            candidates += list(_pairs_of(label, found))
        except DataError as error:
            reasons[label.file] = _with_short_names(error)
    yield len(parsed), len(parsed)
    used = _with_usual_channels(candidates, reasons)
    pairs = sorted(_with_unique_names(used, reasons), key=lambda pair: pair.name)
    # An image of a refused label is not listed again.
    for image in found:
        if not any(_is_of(label, image) for label in parsed):
            reasons |= {file: statement(NO_LABEL, file=file.name) for file in image.files}
    mismatches = tuple(Mismatch(*item) for item in sorted(reasons.items()))
    if not pairs:
        raise DataError(
            NOTHING_MATCHES, labels=labels, images=images, example=str(mismatches[0].reason)
        )
    return Match(tuple(pairs), mismatches, tuple(_known_names(labels, images).items()))


def _nifti_files(
    root: Path, contents: str, reasons: _Reasons
) -> Generator[MatchingProgress, None, list[Path]]:
    """Return the files of a folder and its subfolders. Yields (0, files found so far)."""
    check_folder(root, contents)
    unreadable: list[OSError] = []
    files: list[Path] = []
    for folder, inside, names in os.walk(root, onerror=unreadable.append):
        # In place, because `os.walk` goes on with this list.
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        visible = sorted(name for name in names if not name.startswith("."))
        files += [Path(folder, name) for name in visible if name.lower().endswith(ENDINGS)]
        yield 0, len(files)
    for error in unreadable:
        file = Path(error.filename)
        reasons[file] = statement(UNREADABLE_FOLDER, file=file.name, reason=error.strerror)
    if not files:
        raise DataError(NO_NIFTI_FILES, folder=root)
    return files


def _without(
    files: Sequence[Path],
    others: Sequence[Path],
    root: Path,
    reasons: _Reasons,
    *,
    are_labels: bool,
) -> list[Path]:
    """Return the files of one folder without those of the other, and without misplaced ones.

    Misplaced are those of the wrong kind next to one of the same case; all files in a folder of
    labels may be named like images, and the reverse.
    """
    own = sorted({*files} - {*others})
    wrong = [file for file in own if is_named_label(file, root) is not are_labels]
    right = {(file.parent, read_case_name(file).key.base) for file in {*own} - {*wrong}}
    misplaced = {f for f in wrong if (f.parent, read_case_name(f).key.base) in right}
    template = IMAGE_AMONG_LABELS if are_labels else LABEL_AMONG_IMAGES
    reasons |= {file: statement(template, file=file.name) for file in misplaced}
    return [file for file in own if file not in misplaced]


def _grouped(
    files: Sequence[Path], root: Path, reasons: _Reasons, *, are_channels: bool
) -> list[_Image]:
    """Return images of one or more channels; ``_0001`` is a case unless numbers are channels."""
    images = [
        _Image(
            tuple(channel_files(file)) if are_channels else (file,),
            read_case_name(file, is_channel=are_channels),
            patient_folders(file, root),
        )
        for file in files
        if not (are_channels and is_further_channel(file))
    ]
    for file in set(files).difference(*(image.files for image in images)):
        reasons[file] = statement(MISSING_CHANNEL, file=file.name)
    return images


def _is_of(label: _Label, image: _Image) -> bool:
    """Return whether a label may be of an image or of one of its frames."""
    return (
        label.name.key.base == image.name.key.base
        and may_share_patient(image.folders, label.folders)
        and (None in (image.name.phase, label.name.phase) or image.name.phase == label.name.phase)
    )


def _pairs_of(label: _Label, images: Sequence[_Image]) -> Iterator[tuple[_Image, CaseName, Pair]]:
    """Yield the image of a label, or of each of its frames, with the name of the case."""
    volume = read_labels(label.file)
    for frame, values in _labelled_frames(volume):
        image, name, image_frame = _image_of(label, frame, images)
        depth = 3 if None in (frame, image_frame) else 4
        _check_size(label.file, volume.shape[-depth:], image.files[0], image.shape[-depth:])
        yield image, name, Pair("", image.files, label.file, image_frame, frame, values)


def _image_of(
    label: _Label, frame: int | None, images: Sequence[_Image]
) -> tuple[_Image, CaseName, int | None]:
    """Return the image of a label or its ``frame``, the case name, and the frame to extract.

    A volume of the frame has priority over the cine.
    """
    name = CaseName(label.name.base, label.name.phase if frame is None else frame)
    near = [image for image in images if _is_of(label, image)]
    volumes = [image for image in near if image.phases < 2 and image.name.phase == name.phase]
    fits = volumes or [i for i in near if i.phases != 1 and i.name.phase is None]
    # Patients of several folders often have the same file names.
    fits = [image for image in fits if image.folders == label.folders] or fits
    if len(fits) > 1:
        names = " and ".join(image.files[0].name for image in fits)
        raise DataError(SEVERAL_IMAGES, file=label.file, images=names)
    if not fits:
        template = NO_IMAGE if name.phase is None else NO_IMAGE_NOR_CINE
        raise DataError(template, file=label.file, name=str(name) or "image", cine=name.base)
    if volumes:
        return fits[0], fits[0].name, None
    own = frame or _frame_of(label, fits[0])
    return fits[0], CaseName(fits[0].name.base, own), own


def _with_usual_channels(
    candidates: Sequence[tuple[_Image, CaseName, Pair]], reasons: _Reasons
) -> list[tuple[_Image, CaseName, Pair]]:
    counts = Counter(len(image.files) for image, _, _ in candidates)
    # nnU-Net needs the same number of channels in all cases.
    usual = max(counts, key=lambda count: (counts[count], count), default=1)
    for image, _, pair in candidates:
        if (count := len(image.files)) != usual:
            values = {"file": pair.label.name, "last": count - 1, "usual": usual - 1}
            reasons[pair.label] = statement(OTHER_CHANNELS, **values)
    return [candidate for candidate in candidates if len(candidate[0].files) == usual]


def _with_unique_names(
    candidates: Sequence[tuple[_Image, CaseName, Pair]], reasons: _Reasons
) -> Iterator[Pair]:
    """Yield the pairs with case names, which include the subfolders if they occur twice."""
    names = [
        (safe_name(str(name)), safe_name("_".join((*image.folders, str(name).strip("_")))))
        for image, name, _ in candidates
    ]
    short = Counter(name.casefold() for name, _ in names)
    of_name: dict[str, list[Pair]] = {}
    for (name, long_name), (_, _, pair) in zip(names, candidates, strict=True):
        # Case is ignored, because some file systems ignore it.
        unique = name if name and short[name.casefold()] == 1 else long_name
        unique = unique or safe_name(nifti_stem(pair.images[0]))
        of_name.setdefault(unique.casefold(), []).append(replace(pair, name=unique))
    for pairs in of_name.values():
        # Each of several names the next one.
        for pair, other in zip(pairs, pairs[1:] + pairs[:1], strict=True):
            if len(pairs) == 1:
                yield pair
            else:
                values = {"name": pair.name, "label": other.label.name}
                reasons[pair.label] = statement(SECOND_LABEL, file=pair.label.name, **values)


def _with_short_names(error: DataError) -> Statement:
    """Return the sentence of an error, with names of NIfTI files in place of their paths."""
    short = {
        name: value.name
        for name, value in error.values.items()
        if isinstance(value, Path) and value.name.lower().endswith(ENDINGS)
    }
    return replace(error.statement, values={**error.values, **short})


def _labelled_frames(label: Volume) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """Yield the frame, from 1 (None for a volume), and the values of every non-empty frame."""
    if not label.voxels.any():
        raise DataError(EMPTY_LABEL, file=label.source)
    frames = label.voxels if label.is_cine else label.voxels[np.newaxis]
    for number, frame in enumerate(frames, start=1):
        # Counting is faster than np.unique, which sorts.
        values = np.flatnonzero(np.bincount(frame.ravel())).tolist()
        if len(values) > MOST_VALUES:
            raise DataError(LOOKS_LIKE_IMAGE, file=label.source, count=len(values))
        if values != [0]:
            yield number if label.is_cine else None, tuple(sorted({0, *values}))


def _frame_of(label: _Label, image: _Image) -> int:
    """Return the frame in the name of a label; for ED and ES that of Info.cfg."""
    frame, phases = label.name.phase, image.shape[0]
    if isinstance(frame, str) and (info := read_info_cfg(image.files[0].parent, phases)):
        frame = info.ed if frame == "ED" else info.es
    values = {"file": label.file, "image": image.files[0].name, "phases": phases}
    if not isinstance(frame, int):
        raise DataError(UNNAMED_FRAME, **values, example=f"{label.name.base}_frame01_gt.nii.gz")
    if not 1 <= frame <= phases:
        raise DataError(UNKNOWN_FRAME, **values, phase=frame)
    return frame


def _check_size(file: Path, shape: tuple[int, ...], image: Path, expected: tuple[int, ...]) -> None:
    if shape != expected:
        found, needed = (" x ".join(map(str, sides[::-1])) for sides in (shape, expected))
        raise DataError(OTHER_SIZE, file=file, voxels=found, image=image.name, expected=needed)


def _known_names(*folders: Path) -> Mapping[int, str]:
    """Return names of label values in the nearest dataset.json, in or above the folders."""
    inside = [folder.absolute() for folder in folders]
    parents = [folder.parent for folder in inside]
    grandparents = [folder.parent for folder in parents]
    return next(filter(None, map(_names_in, (*inside, *parents, *grandparents))), {})


@dataclass(frozen=True)
class _LabelNames:
    """Labels of a ``dataset.json``, by name or, for nnU-Net 1, by value."""

    labels: dict[str, int | str | list[int]]


def _names_in(folder: Path) -> dict[int, str]:
    """Return names by value; {} without a readable dataset.json."""
    try:
        # It only suggests names, so a damaged file is no error here.
        labels = parse_json(read_small(folder / "dataset.json"), _LabelNames).labels
    except (OSError, ValueError):
        return {}
    pairs = [(name, str(value)) for name, value in labels.items() if not isinstance(value, list)]
    turned = [(value, name) if value.isdecimal() else (name, value) for name, value in pairs]
    return {int(value): name for value, name in turned if value.isdecimal()}

"""Matching of the images and labels of two folders.

An image and a label match if their names are equal without the words that mark them as an image or
a label, and their subfolders may be of one patient. A labelled frame without a volume of its own is
taken from the cine of that name.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...core.problems import Statement
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
from ..files.given_path import is_same_path, is_within
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
    """A file that will not be used.

    ``reason`` is a whole statement, or words that follow the name of the file.
    """

    file: Path
    reason: Statement | str

    @property
    def sentence(self) -> Statement | str:
        """Sentence that names the file and the reason."""
        if isinstance(self.reason, Statement):
            return self.reason
        return f"{self.file.name} {self.reason}."


@dataclass(frozen=True)
class Match:
    """Pairs and other files of two folders. ``known_names``: names of values in a dataset.json."""

    images: Path
    labels: Path
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
NO_FOLDER = "{folder} is not a folder. Choose a folder."
NO_NIFTI_FILES = (
    "{folder} and its subfolders have no NIfTI files (.nii.gz or .nii). Choose another folder."
)
NOTHING_MATCHES = (
    "No label in {labels} matches an image in {images}. Give label and image the same name, except "
    "for endings such as _0000 and _gt. For example: {example}"
)
UNREADABLE_FOLDER = "cannot be opened ({reason})"
LABEL_AMONG_IMAGES = "has the name of a label, but is among the images"
IMAGE_AMONG_LABELS = "has the name of an image, but is among the labels"
MISSING_CHANNEL = "is a further channel, but a channel between it and _0000 is missing"
UNUSABLE_IMAGE = "has the image {image}, which cannot be used"
UNUSABLE_LABEL = "has the label {label}, which cannot be used"
OTHER_FRAME_COUNT = "is a cine of {frames} frames, but {image} has {expected}"
CINE_LABEL_OF_VOLUME = "is a cine of {frames} frames, but {image} is a single volume"
NO_IMAGE = "has no image named {name}"
NO_CINE = ", nor a cine named {cine}"
NO_LABEL = "has no label of its name"
SEVERAL_IMAGES = "fits several images, {images} (keep one of them)"
SECOND_LABEL = "is a second label of {name}, next to {label} (keep one of them)"
OTHER_SIZE = "has {voxels} voxels, but its image {image} has {expected}"
OTHER_CHANNELS = "has channels up to _{last:04d}, but others up to _{usual:04d}"
CHANNEL_SIZES = "has channels of different sizes ({channel} has {voxels} voxels)"
LOOKS_LIKE_IMAGE = "has {count} different values, so it seems to be an image"
EMPTY_LABEL = "has no labels (all voxels are 0)"
UNNAMED_FRAME = (
    "is a single volume, but {image} is a cine of {frames} frames (add the frame to the name, as "
    "in {example})"
)
UNKNOWN_FRAME = "is for frame {frame}, but {image} has the frames 1 to {frames}"
"""Reasons follow the name of a file."""

MatchingProgress: TypeAlias = tuple[int, int]
_Reasons: TypeAlias = dict[Path, Statement | str]


class _CannotUseError(DataError):
    """Reason why a file cannot be used; the text follows the name of the file."""


@dataclass(frozen=True)
class _Image:
    """Channels of an image, the case in their name, and its subfolders."""

    files: tuple[Path, ...]
    name: CaseName
    folders: PatientFolders

    @property
    def file_name(self) -> str:
        return self.files[0].name

    @cached_property
    def phases(self) -> int:
        """Number of phases by the header, 1 for a volume, 0 if it cannot be read."""
        header = nifti_header(self.files[0])
        return 0 if header is None else phase_count(header)

    def read_shape(self) -> tuple[int, ...]:
        """Return (Z, Y, X) or (T, Z, Y, X) of the whole files.

        Raises DataError if a channel is damaged or differs.
        """
        shapes = [read_volume(file).shape for file in self.files]
        for file, shape in zip(self.files, shapes, strict=True):
            if shape != shapes[0]:
                raise _CannotUseError(CHANNEL_SIZES, channel=file.name, voxels=_sides(shape))
        return shapes[0]


@dataclass(frozen=True)
class _Candidate:
    """A pair whose name may also be that of another pair."""

    name: CaseName
    image: _Image
    pair: Pair

    @property
    def short_name(self) -> str:
        return safe_name(str(self.name)) or self.long_name

    @property
    def long_name(self) -> str:
        """Name that includes the subfolders."""
        parts = [*self.image.folders, str(self.name).strip("_")]
        return safe_name("_".join(filter(None, parts))) or safe_name(
            nifti_stem(self.image.files[0])
        )


def match_folders(images: Path, labels: Path) -> Generator[MatchingProgress, None, Match]:
    """Find the image of every label, by name, in two folders and their subfolders.

    Both may be the same folder. The labelled frames of a cine become cases. Yields (done, total).
    Raises DataError if a folder has no NIfTI files, or if nothing matches.
    """
    reasons: _Reasons = {}
    image_files = yield from _nifti_files(images, reasons)
    label_files = yield from _nifti_files(labels, reasons)
    if is_same_path(images, labels):
        label_files = [file for file in label_files if is_named_label(file, labels)]
        image_files = [file for file in image_files if not is_named_label(file, images)]
    else:
        image_files = _without_nested(image_files, labels, in_root=images)
        label_files = _without_nested(label_files, images, in_root=labels)
        image_files = _without_misplaced(image_files, images, reasons, are_labels=False)
        label_files = _without_misplaced(label_files, labels, reasons, are_labels=True)
    matching = _Matching(image_files, label_files, images, labels, reasons)
    for done, label in enumerate(label_files):
        yield done, len(label_files)
        matching.add(label)
    yield len(label_files), len(label_files)
    pairs = matching.pairs()
    mismatches = tuple(Mismatch(*item) for item in sorted(reasons.items()))
    if not pairs:
        example = mismatches[0].sentence
        raise DataError(NOTHING_MATCHES, labels=labels, images=images, example=example)
    return Match(images, labels, pairs, mismatches, tuple(_known_names(labels, images).items()))


def _nifti_files(root: Path, reasons: _Reasons) -> Generator[MatchingProgress, None, list[Path]]:
    """Return the files of a folder and its subfolders. Yields (0, files found so far)."""
    if not root.is_dir():
        raise DataError(NO_FOLDER, folder=root)
    unreadable: list[OSError] = []
    files: list[Path] = []
    for folder, inside, names in os.walk(root, onerror=unreadable.append):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        visible = sorted(name for name in names if not name.startswith("."))
        files += [Path(folder, name) for name in visible if name.lower().endswith(ENDINGS)]
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


def _without_misplaced(
    files: list[Path], root: Path, reasons: _Reasons, *, are_labels: bool
) -> list[Path]:
    """Return the files without those of the wrong kind next to one of the same case.

    Others are not misplaced, because all files in a folder of labels may be named like images, and
    the reverse.
    """
    wrong = [file for file in files if is_named_label(file, root) is not are_labels]
    right = {(file.parent, read_case_name(file).key.base) for file in {*files} - {*wrong}}
    misplaced = {f for f in wrong if (f.parent, read_case_name(f).key.base) in right}
    reasons |= dict.fromkeys(misplaced, IMAGE_AMONG_LABELS if are_labels else LABEL_AMONG_IMAGES)
    return [file for file in files if file not in misplaced]


class _Matching:
    """The pairs found so far, and the reasons why other files are not used."""

    def __init__(
        self,
        images: Sequence[Path],
        labels: Sequence[Path],
        images_root: Path,
        labels_root: Path,
        reasons: _Reasons,
    ) -> None:
        self.reasons = reasons
        self._candidates: list[_Candidate] = []
        self._shapes: dict[_Image, tuple[int, ...] | None] = {}
        # Labels have no channels, so their numbers, if there are several, count cases.
        are_channels = not any(map(is_further_channel, labels))
        self._labels = {
            file: (
                read_case_name(file, is_channel=are_channels),
                patient_folders(file, labels_root),
            )
            for file in labels
        }
        self._images = self._grouped(images, images_root)
        self._of_case: dict[str, list[_Image]] = {}
        for image in self._images:
            self._of_case.setdefault(image.name.key.base, []).append(image)

    def _grouped(self, files: Sequence[Path], root: Path) -> list[_Image]:
        """Return images of one or more channels; ``_0001`` is a case if a label has that name."""
        labelled = {name.key for name, _ in self._labels.values()}
        images: list[_Image] = []
        for file in files:
            name, folders = read_case_name(file, is_channel=False), patient_folders(file, root)
            if name.key in labelled:
                images.append(_Image((file,), name, folders))
            elif not is_further_channel(file):
                images.append(_Image(tuple(channel_files(file)), read_case_name(file), folders))
        missing = set(files).difference(*(image.files for image in images))
        self.reasons |= dict.fromkeys(missing, MISSING_CHANNEL)
        return images

    def add(self, label: Path) -> None:
        """Find the image of a label, or of each of its frames."""
        candidates = []
        try:
            volume = read_labels(label)
            for frame, values in _labelled_frames(volume):
                image, name, image_frame = self._image_of(volume, frame)
                shape = self._shape(image)
                if shape[-3:] != volume.shape[-3:]:
                    voxels, expected = _sides(volume.shape), _sides(shape)
                    raise _CannotUseError(
                        OTHER_SIZE, voxels=voxels, image=image.file_name, expected=expected
                    )
                pair = Pair("", image.files, label, image_frame, frame, values)
                candidates.append(_Candidate(name, image, pair))
            self._candidates += candidates
        except DataError as error:
            self.reasons[label] = _reason(label, error)

    def pairs(self) -> tuple[Pair, ...]:
        """Return the pairs with unique names and the usual number of channels, sorted by name."""
        candidates = self._with_unique_names(self._with_usual_channels())
        self._explain_unused_images(candidates)
        return tuple(sorted((c.pair for c in candidates), key=lambda pair: pair.name))

    def _image_of(self, label: Volume, frame: int | None) -> tuple[_Image, CaseName, int | None]:
        """Return the image of a label or its ``frame``, the case name, and the frame to extract.

        A volume of the frame has priority over the cine.
        """
        name, folders = self._labels[label.source]
        phase = name.phase if frame is None else frame
        near = self._near(name, folders)
        volumes = [image for image in near if image.phases < 2]
        if image := self._only([i for i in volumes if i.name.phase == phase], folders):
            return image, image.name, None
        cines = [i for i in near if i.phases != 1 and i.name.phase is None]
        if image := self._only(cines, folders):
            if frame is None:
                own = _frame_of(name, image)
            elif label.phases == image.phases:
                own = frame
            else:
                raise _CannotUseError(
                    OTHER_FRAME_COUNT,
                    frames=label.phases,
                    image=image.file_name,
                    expected=image.phases,
                )
            return image, CaseName(image.name.base, own), own
        if image := self._only([i for i in volumes if i.name.phase == name.phase], folders):
            raise _CannotUseError(CINE_LABEL_OF_VOLUME, frames=label.phases, image=image.file_name)
        template = NO_IMAGE + NO_CINE if name.phase else NO_IMAGE
        raise _CannotUseError(template, name=str(name) or "image", cine=name.base)

    def _only(self, images: Sequence[_Image], folders: PatientFolders) -> _Image | None:
        """Return the image that fits, the one in the same subfolders of several.

        Raises DataError if it cannot be used, or if several fit.
        """
        images = [image for image in images if image.folders == folders] or images
        if len(images) > 1:
            names = " and ".join(image.file_name for image in images)
            raise _CannotUseError(SEVERAL_IMAGES, images=names)
        for image in images:
            self._shape(image)
            return image
        return None

    def _shape(self, image: _Image) -> tuple[int, ...]:
        """Return (Z, Y, X) or (T, Z, Y, X) of a complete file, and keep why it cannot be used."""
        if image not in self._shapes:
            self._shapes[image] = None
            try:
                self._shapes[image] = image.read_shape()
            except DataError as error:
                self.reasons |= {file: _reason(file, error) for file in image.files}
        shape = self._shapes[image]
        if shape is None:
            raise _CannotUseError(UNUSABLE_IMAGE, image=image.file_name)
        return shape

    def _with_usual_channels(self) -> list[_Candidate]:
        counts = Counter(len(c.pair.images) for c in self._candidates)
        usual = max(counts, key=lambda count: (counts[count], count), default=1)
        for image, label in ((c.image, c.pair.label) for c in self._candidates):
            if (count := len(image.files)) != usual:
                reason = OTHER_CHANNELS.format(last=count - 1, usual=usual - 1)
                self.reasons |= dict.fromkeys(image.files, reason)
                self.reasons[label] = UNUSABLE_IMAGE.format(image=image.file_name)
        return [c for c in self._candidates if len(c.image.files) == usual]

    def _with_unique_names(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """Return the pairs with case names, which include the subfolders if they occur twice."""
        short = Counter(c.short_name.casefold() for c in candidates)
        named = [
            (c.short_name if short[c.short_name.casefold()] == 1 else c.long_name, c)
            for c in candidates
        ]
        labels: dict[str, list[Path]] = {}
        for name, c in named:
            labels.setdefault(name.casefold(), []).append(c.pair.label)
        kept = []
        for name, c in named:
            rivals = [label for label in labels[name.casefold()] if label != c.pair.label]
            if rivals:
                self.reasons[c.pair.label] = SECOND_LABEL.format(name=name, label=rivals[0].name)
            else:
                kept.append(replace(c, pair=replace(c.pair, name=name)))
        return kept

    def _near(self, name: CaseName, folders: PatientFolders) -> list[_Image]:
        """Return the images that may be of this examination, at any phase."""
        same = self._of_case.get(name.key.base, ())
        return [image for image in same if may_share_patient(image.folders, folders)]

    def _explain_unused_images(self, candidates: Iterable[_Candidate]) -> None:
        """Add the reasons of unused images, except cines whose frames were used as volumes."""
        used = {c.image for c in candidates}
        refused: dict[str, list[Path]] = {}
        for label, (name, _) in self._labels.items():
            if label in self.reasons:
                refused.setdefault(name.key.base, []).append(label)
        for image in self._images:
            if image in used or image.files[0] in self.reasons:
                continue
            own = (
                label
                for label in refused.get(image.name.key.base, ())
                if may_share_patient(image.folders, self._labels[label][1])
                and image.name.phase in (None, self._labels[label][0].phase)
            )
            near = self._near(image.name, image.folders)
            if found := next(own, None):
                reason = UNUSABLE_LABEL.format(label=found.name)
            elif not used.isdisjoint(near) and image.phases > 1:
                continue
            else:
                reason = NO_LABEL
            self.reasons |= dict.fromkeys(image.files, reason)


def _reason(file: Path, error: DataError) -> Statement | str:
    """Return the sentence of an error, with the name of ``file`` in place of its path."""
    if isinstance(error, _CannotUseError):
        return str(error)
    values = error.values
    short = {name: file.name for name, value in values.items() if value == file}
    return replace(error.statement, values={**values, **short})


def _labelled_frames(label: Volume) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """Yield the frame, from 1 (None for a volume), and the values of every non-empty frame."""
    if not label.voxels.any():
        raise _CannotUseError(EMPTY_LABEL)
    frames = label.voxels if label.is_cine else label.voxels[np.newaxis]
    for number, frame in enumerate(frames, start=1):
        values = np.flatnonzero(np.bincount(frame.ravel())).tolist()
        if len(values) > MOST_VALUES:
            raise _CannotUseError(LOOKS_LIKE_IMAGE, count=len(values))
        if values != [0]:
            yield number if label.is_cine else None, tuple(sorted({0, *values}))


def _frame_of(name: CaseName, image: _Image) -> int:
    """Return the frame in the name of a label; for ED and ES that of Info.cfg."""
    frame, phases = name.phase, image.phases
    if isinstance(frame, str) and (info := read_info_cfg(image.files[0].parent, phases)):
        frame = info.ed if frame == "ED" else info.es
    if not isinstance(frame, int):
        example = f"{name.base}_frame01_gt.nii.gz"
        raise _CannotUseError(UNNAMED_FRAME, image=image.file_name, frames=phases, example=example)
    if not 1 <= frame <= phases:
        raise _CannotUseError(UNKNOWN_FRAME, frame=frame, image=image.file_name, frames=phases)
    return frame


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape[:-4:-1])


def _known_names(*folders: Path) -> dict[int, str]:
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
        labels = parse_json(read_small(folder / "dataset.json"), _LabelNames).labels
    except (OSError, ValueError):
        return {}
    pairs = [(name, str(value)) for name, value in labels.items() if not isinstance(value, list)]
    turned = [(value, name) if value.isdecimal() else (name, value) for name, value in pairs]
    return {int(value): name for value, name in turned if value.isdecimal()}

"""Matching of the images and labels of two folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...core.problems import Statement
from .. import DataError
from ..files.case_names import (
    CaseName,
    PatientFolders,
    label_names,
    may_share_patient,
    nifti_stem,
    patient_folders,
    safe_name,
)
from ..files.json_files import parse_json
from ..files.limits import read_small
from ..images.integrity import nifti_header, phase_count
from ..images.nifti import Volume, read_info_cfg, read_labels, read_volume
from .folder_contents import FolderFiles, ImageFiles, list_contents
from .pairs import Match, Mismatch, Pair

MOST_VALUES = 255
"""Maximum number of label values of a file; a file with more is an image."""
NOTHING_MATCHES = (
    "No label in {labels} matches an image in {images}. Give label and image the same name, except "
    "for endings such as _0000 and _gt. For example: {example}"
)
UNUSABLE_IMAGE = "has the image {image}, which cannot be used"
UNUSABLE_LABEL = "has the label {label}, which cannot be used"
OTHER_FRAME_COUNT = "is a cine of {frames} frames, but {image} has {expected}"
CINE_LABEL_OF_VOLUME = "is a cine of {frames} frames, but {image} is a single volume"
NO_IMAGE = "has no image named {name}"
NO_CINE = ", nor a cine named {name}"
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


class _CannotUseError(Exception):
    """Reason why a file cannot be used; the text follows the name of the file."""


@dataclass(frozen=True)
class _Candidate:
    """A pair whose name may also be that of another pair."""

    name: CaseName
    image: ImageFiles
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
    files = yield from list_contents(images, labels)
    matching = _Matching(files, labels)
    for done, label in enumerate(files.labels):
        yield done, len(files.labels)
        matching.add(label)
    yield len(files.labels), len(files.labels)
    pairs = matching.pairs()
    mismatches = tuple(Mismatch(*item) for item in sorted(matching.reasons.items()))
    if not pairs:
        example = mismatches[0].sentence
        raise DataError(NOTHING_MATCHES, labels=labels, images=images, example=example)
    return Match(images, labels, pairs, mismatches, tuple(_known_names(labels, images).items()))


def _reason(file: Path, error: DataError | _CannotUseError) -> Statement | str:
    """Return the sentence of an error, with the name of ``file`` in place of its path."""
    if isinstance(error, _CannotUseError):
        return str(error)
    values = error.values
    short = {name: file.name for name, value in values.items() if value == file}
    return replace(error.statement, values={**values, **short})


class _Matching:
    """The pairs found so far, and the reasons why other files are not used."""

    def __init__(self, files: FolderFiles, root: Path) -> None:
        self.reasons = files.reasons
        self._files, self._root = files, root
        self._candidates: list[_Candidate] = []
        self._phases: dict[ImageFiles, int] = {}
        self._shapes: dict[ImageFiles, tuple[int, ...] | None] = {}
        self._named: dict[CaseName, dict[ImageFiles, None]] = {}
        for image in files.images:
            for name in image.names:
                self._named.setdefault(name.key, {})[image] = None

    def add(self, label: Path) -> None:
        """Find the image of a label, or of each of its frames."""
        candidates = []
        try:
            volume = read_labels(label)
            for frame, values in _labelled_frames(volume):
                image, name, image_frame = self._image_of(volume, frame)
                self._check_shape(image, volume)
                pair = Pair("", image.files, label, image_frame, frame, values)
                candidates.append(_Candidate(name, image, pair))
            self._candidates += candidates
        except (DataError, _CannotUseError) as error:
            self.reasons[label] = _reason(label, error)

    def pairs(self) -> tuple[Pair, ...]:
        """Return the pairs with unique names and the usual number of channels, sorted by name."""
        candidates = self._with_unique_names(self._with_usual_channels())
        self._explain_unused_images(candidates)
        return tuple(sorted((c.pair for c in candidates), key=lambda pair: pair.name))

    def _image_of(
        self, label: Volume, frame: int | None
    ) -> tuple[ImageFiles, CaseName, int | None]:
        """Return the image of a label or its ``frame``, the case name, and the frame to extract.

        A volume of the frame has priority over the cine.
        """
        names = label_names(label.source)
        wanted = names if frame is None else [CaseName(name.base, frame) for name in names]
        folders = patient_folders(label.source, self._root)
        if image := self._image(wanted, folders, is_cine=False):
            return image, image.names[-1], None
        for name in names:
            if image := self._image([CaseName(name.base)], folders, is_cine=True):
                phases = self._phases[image]
                if frame is None:
                    own = _frame_of(name, image, phases)
                elif label.phases == phases:
                    own = frame
                else:
                    raise _CannotUseError(
                        OTHER_FRAME_COUNT.format(
                            frames=label.phases, image=image.file_name, expected=phases
                        )
                    )
                return image, CaseName(image.names[-1].base, own), own
        if frame is not None and (image := self._image(names, folders, is_cine=False)):
            raise _CannotUseError(
                CINE_LABEL_OF_VOLUME.format(frames=label.phases, image=image.file_name)
            )
        name = names[-1]
        cine = NO_CINE.format(name=name.base) if name.phase else ""
        raise _CannotUseError(NO_IMAGE.format(name=str(name) or "image") + cine)

    def _image(
        self, names: Iterable[CaseName], folders: PatientFolders, *, is_cine: bool
    ) -> ImageFiles | None:
        """Return the image with the first existing of these names, in the same subfolders."""
        for name in names:
            fitting = [
                image
                for image in self._named.get(name.key, ())
                if may_share_patient(image.folders, folders)
                and self._may_be(image, is_cine=is_cine)
            ]
            fitting = [image for image in fitting if image.folders == folders] or fitting
            if len(fitting) > 1:
                images = " and ".join(image.file_name for image in fitting)
                raise _CannotUseError(SEVERAL_IMAGES.format(images=images))
            if fitting and self._phases[fitting[0]] == 0:
                raise _CannotUseError(UNUSABLE_IMAGE.format(image=fitting[0].file_name))
            if fitting:
                return fitting[0]
        return None

    def _may_be(self, image: ImageFiles, *, is_cine: bool) -> bool:
        """Return whether the image is a cine or a volume; an unreadable file may be both."""
        if image not in self._phases:
            header = nifti_header(image.files[0])
            if header is None:
                self._shape(image)  # which keeps the reason
            self._phases[image] = 0 if header is None else phase_count(header)
        return self._phases[image] == 0 or (self._phases[image] > 1) is is_cine

    def _shape(self, image: ImageFiles) -> tuple[int, ...] | None:
        """Return (Z, Y, X) or (T, Z, Y, X) of a complete file, None if it cannot be used."""
        if image not in self._shapes:
            try:
                self._shapes[image] = _read_shape(image)
            except (DataError, _CannotUseError) as error:
                self._shapes[image] = None
                for file in image.files:
                    self.reasons[file] = _reason(file, error)
        return self._shapes[image]

    def _check_shape(self, image: ImageFiles, label: Volume) -> None:
        shape = self._shape(image)
        if shape is None:
            raise _CannotUseError(UNUSABLE_IMAGE.format(image=image.file_name))
        if shape[-3:] != label.shape[-3:]:
            raise _CannotUseError(
                OTHER_SIZE.format(
                    voxels=_sides(label.shape), image=image.file_name, expected=_sides(shape)
                )
            )

    def _refuse(self, image: ImageFiles, reason: str) -> None:
        self.reasons |= dict.fromkeys(image.files, reason)

    def _with_usual_channels(self) -> list[_Candidate]:
        counts = Counter(len(c.pair.images) for c in self._candidates)
        usual = max(counts, key=lambda count: (counts[count], count), default=1)
        kept = []
        for candidate in self._candidates:
            count = len(candidate.pair.images)
            if count == usual:
                kept.append(candidate)
                continue
            self._refuse(candidate.image, OTHER_CHANNELS.format(last=count - 1, usual=usual - 1))
            self.reasons[candidate.pair.label] = UNUSABLE_IMAGE.format(
                image=candidate.image.file_name
            )
        return kept

    def _with_unique_names(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """Return the pairs with case names, which include the subfolders if they occur twice."""
        short = Counter(c.short_name.casefold() for c in candidates)
        names = [
            c.short_name if short[c.short_name.casefold()] == 1 else c.long_name for c in candidates
        ]
        labels: dict[str, list[Path]] = {}
        for name, c in zip(names, candidates, strict=True):
            labels.setdefault(name.casefold(), []).append(c.pair.label)
        kept = []
        for name, c in zip(names, candidates, strict=True):
            rivals = [label for label in labels[name.casefold()] if label != c.pair.label]
            if rivals:
                self.reasons[c.pair.label] = SECOND_LABEL.format(name=name, label=rivals[0].name)
            else:
                kept.append(replace(c, pair=replace(c.pair, name=name)))
        return kept

    def _explain_unused_images(self, candidates: Iterable[_Candidate]) -> None:
        """Add the reasons of unused images, except cines whose frames were used as volumes."""
        used = {c.image for c in candidates}
        bases = {(c.name.key.base, c.image.folders) for c in candidates}
        refused: dict[CaseName, list[Path]] = {}
        for label in filter(self.reasons.__contains__, self._files.labels):
            for name in label_names(label):
                for key in {name.key, CaseName(name.key.base)}:
                    refused.setdefault(key, []).append(label)
        for image in self._files.images:
            if image in used or image.files[0] in self.reasons:
                continue
            own = [
                label
                for name in image.names
                for label in refused.get(name.key, ())
                if may_share_patient(image.folders, patient_folders(label, self._root))
            ]
            base = image.names[-1].key.base
            near = any(
                base == b and may_share_patient(image.folders, folders) for b, folders in bases
            )
            if own:
                self._refuse(image, UNUSABLE_LABEL.format(label=own[0].name))
            elif not (near and self._may_be(image, is_cine=True)):
                self._refuse(image, NO_LABEL)


def _labelled_frames(label: Volume) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """Yield the frame, from 1 (None for a volume), and the values of every non-empty frame."""
    frames = label.voxels if label.is_cine else label.voxels[np.newaxis]
    is_empty = True
    for number, frame in enumerate(frames, start=1):
        values = np.flatnonzero(np.bincount(frame.ravel())).tolist()
        if values == [0]:
            continue
        if len(values) > MOST_VALUES:
            raise _CannotUseError(LOOKS_LIKE_IMAGE.format(count=len(values)))
        is_empty = False
        yield number if label.is_cine else None, tuple(sorted({0, *values}))
    if is_empty:
        raise _CannotUseError(EMPTY_LABEL)


def _frame_of(name: CaseName, image: ImageFiles, phases: int) -> int:
    """Return the frame in the name of a label; for ED and ES that of Info.cfg."""
    frame = name.phase
    if isinstance(frame, str) and (info := read_info_cfg(image.files[0].parent, phases)):
        frame = info.ed if frame == "ED" else info.es
    if not isinstance(frame, int):
        example = f"{name.base}_frame01_gt.nii.gz"
        raise _CannotUseError(
            UNNAMED_FRAME.format(image=image.file_name, frames=phases, example=example)
        )
    if not 1 <= frame <= phases:
        raise _CannotUseError(
            UNKNOWN_FRAME.format(frame=frame, image=image.file_name, frames=phases)
        )
    return frame


def _read_shape(image: ImageFiles) -> tuple[int, ...]:
    """Return (Z, Y, X) or (T, Z, Y, X).

    Raises DataError if a channel is damaged, _CannotUseError if it differs.
    """
    shapes = {file: read_volume(file).shape for file in image.files}
    first = shapes[image.files[0]]
    for file, shape in shapes.items():
        if shape != first:
            sizes = CHANNEL_SIZES.format(channel=file.name, voxels=_sides(shape))
            raise _CannotUseError(sizes)
    return first


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

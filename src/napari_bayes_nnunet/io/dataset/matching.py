"""Two folders, one of images and one of labels: which belong together, and a dataset of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

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
from ..images.nifti import Volume, read_info_cfg, read_labels, read_volume
from .folder_contents import FolderFiles, ImageFiles, look_into
from .pairs import Match, Mismatch, Pair
from .writer import file_shape

MOST_VALUES = 255
"""An image that is taken for a label holds more."""
_UNUSABLE = "has the image {image}, which cannot be used"

MatchingProgress: TypeAlias = tuple[int, int]


class _CannotUseError(Exception):
    """Why the label that is looked at is no use."""


@dataclass(frozen=True)
class _Found:
    """A pair whose name may yet turn out to be that of another one too."""

    name: CaseName
    image: ImageFiles
    pair: Pair

    @property
    def short_name(self) -> str:
        return safe_name(str(self.name)) or self.long_name

    @property
    def long_name(self) -> str:
        """With the sub-folders."""
        parts = [*self.image.folders, str(self.name).strip("_")]
        return safe_name("_".join(filter(None, parts))) or safe_name(
            nifti_stem(self.image.files[0])
        )


def match_folders(images: Path, labels: Path) -> Generator[MatchingProgress, None, Match]:
    """Find the image of every label, by name, in two folders and their sub-folders.

    Both may be the same folder. The labelled frames of a cine become cases. Yields (done, total).
    Raises DataError where a folder holds no NIfTI files and where nothing matches.
    """
    found = yield from look_into(images, labels)
    matching = _Matching(found, labels)
    for done, label in enumerate(found.labels):
        yield done, len(found.labels)
        matching.add(label)
    yield len(found.labels), len(found.labels)
    pairs = matching.pairs()
    mismatches = tuple(Mismatch(*item) for item in sorted(matching.reasons.items()))
    if not pairs:
        why = f"; {mismatches[0].file.name}, for one, {mismatches[0].reason}" if mismatches else ""
        raise DataError(
            f"No label in {labels} could be matched with an image in {images}: their names should "
            f"be the same but for endings such as _0000 and _gt{why}."
        )
    return Match(images, labels, pairs, mismatches, tuple(_known_names(labels, images).items()))


class _Matching:
    """The pairs found so far, and the reasons why other files are not used."""

    def __init__(self, files: FolderFiles, root: Path) -> None:
        self.reasons = files.reasons
        self._files, self._root = files, root
        self._found: list[_Found] = []
        self._phases: dict[ImageFiles, int] = {}
        self._shapes: dict[ImageFiles, tuple[int, ...] | None] = {}
        self._named: dict[CaseName, dict[ImageFiles, None]] = {}
        for image in files.images:
            for name in image.names:
                self._named.setdefault(name.key, {})[image] = None

    def add(self, label: Path) -> None:
        """Look for the image of a label, or for those of its frames."""
        found = []
        try:
            volume = read_labels(label)
            for frame, values in _labelled_frames(volume):
                image, name, image_frame = self._image_of(volume, frame)
                self._check_shape(image, volume)
                pair = Pair("", image.files, label, image_frame, frame, values)
                found.append(_Found(name, image, pair))
            self._found += found
        except (DataError, _CannotUseError) as error:
            self.reasons[label] = str(error).removeprefix(str(label)).strip(" .")

    def pairs(self) -> tuple[Pair, ...]:
        """Those with names of their own and as many channels as the others, sorted by name."""
        found = self._named_apart(self._with_usual_channels())
        self._explain_images_left(found)
        return tuple(sorted((f.pair for f in found), key=lambda pair: pair.name))

    def _image_of(
        self, label: Volume, frame: int | None
    ) -> tuple[ImageFiles, CaseName, int | None]:
        """Image of a label or of its ``frame``, name of the case, frame of the image to cut out.

        A volume of the very frame goes before the cine.
        """
        names = label_names(label.source)
        asked = names if frame is None else [CaseName(name.base, frame) for name in names]
        place = patient_folders(label.source, self._root)
        if image := self._image(asked, place, is_cine=False):
            return image, image.names[-1], None
        for name in names:
            if image := self._image([CaseName(name.base)], place, is_cine=True):
                phases = self._phases[image]
                if frame is None:
                    own = _frame_of(name, image, phases)
                elif label.phases == phases:
                    own = frame
                else:
                    raise _CannotUseError(
                        f"is a cine of {label.phases} frames, but {image.file_name} of {phases}"
                    )
                return image, CaseName(image.names[-1].base, own), own
        if frame is not None and (image := self._image(names, place, is_cine=False)):
            raise _CannotUseError(
                f"is a cine of {label.phases} frames, but {image.file_name} is a single volume"
            )
        name = names[-1]
        cine = f", nor a cine named {name.base}" if name.phase else ""
        raise _CannotUseError(f"has no image named {str(name) or 'image'}{cine}")

    def _image(
        self, names: Iterable[CaseName], place: PatientFolders, *, is_cine: bool
    ) -> ImageFiles | None:
        """The image with the first of these names that there is, in the same sub-folders."""
        for name in names:
            fitting = [
                image
                for image in self._named.get(name.key, ())
                if may_share_patient(image.folders, place) and self._may_be(image, is_cine=is_cine)
            ]
            fitting = [image for image in fitting if image.folders == place] or fitting
            if len(fitting) > 1:
                several = " and ".join(image.file_name for image in fitting)
                raise _CannotUseError(f"fits several images, {several}: keep one of them")
            if fitting and self._phases[fitting[0]] == 0:
                raise _CannotUseError(_UNUSABLE.format(image=fitting[0].file_name))
            if fitting:
                return fitting[0]
        return None

    def _may_be(self, image: ImageFiles, *, is_cine: bool) -> bool:
        """Whether it is a cine or a volume, as asked; a file that cannot be read may be either."""
        if image not in self._phases:
            # Of most files the header is enough; nibabel knows those by their name alone.
            shape = (file_shape(image.files[0]) or ())[::-1] or self._shape(image)
            self._phases[image] = 0 if shape is None else shape[-4] if len(shape) > 3 else 1
        return self._phases[image] == 0 or (self._phases[image] > 1) is is_cine

    def _shape(self, image: ImageFiles) -> tuple[int, ...] | None:
        """(Z, Y, X) or (T, Z, Y, X) of a whole file; None of one that cannot be used."""
        if image not in self._shapes:
            try:
                self._shapes[image] = _read_shape(image)
            except DataError as error:
                self._shapes[image] = None
                self._refuse(image, str(error))
        return self._shapes[image]

    def _check_shape(self, image: ImageFiles, label: Volume) -> None:
        shape = self._shape(image)
        if shape is None:
            raise _CannotUseError(_UNUSABLE.format(image=image.file_name))
        if shape[-3:] != label.shape[-3:]:
            raise _CannotUseError(
                f"has {_sides(label.shape)} voxels, but its image {image.file_name} "
                f"has {_sides(shape)}"
            )

    def _refuse(self, image: ImageFiles, reason: str) -> None:
        for file in image.files:
            self.reasons[file] = reason.removeprefix(str(file)).strip(" .")

    def _with_usual_channels(self) -> list[_Found]:
        counts = Counter(len(found.pair.images) for found in self._found)
        usual = max(counts, key=lambda count: (counts[count], count), default=1)
        kept = []
        for found in self._found:
            count = len(found.pair.images)
            if count == usual:
                kept.append(found)
                continue
            self._refuse(
                found.image, f"has channels up to _{count - 1:04d}, others to _{usual - 1:04d}"
            )
            self.reasons[found.pair.label] = _UNUSABLE.format(image=found.image.file_name)
        return kept

    def _named_apart(self, found: list[_Found]) -> list[_Found]:
        """With case names: those that occur twice get the sub-folders' names too."""
        short = Counter(f.short_name.casefold() for f in found)
        names = [
            f.short_name if short[f.short_name.casefold()] == 1 else f.long_name for f in found
        ]
        labels: dict[str, list[Path]] = {}
        for name, f in zip(names, found, strict=True):
            labels.setdefault(name.casefold(), []).append(f.pair.label)
        kept = []
        for name, f in zip(names, found, strict=True):
            rivals = [label for label in labels[name.casefold()] if label != f.pair.label]
            if rivals:
                self.reasons[f.pair.label] = (
                    f"is a second label of {name}, beside {rivals[0].name}: keep one of them"
                )
            else:
                kept.append(replace(f, pair=replace(f.pair, name=name)))
        return kept

    def _explain_images_left(self, found: Iterable[_Found]) -> None:
        """A cine is not named where volumes of its frames were used."""
        used = {f.image for f in found}
        bases = {(f.name.key.base, f.image.folders) for f in found}
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
            near = any(base == b and may_share_patient(image.folders, place) for b, place in bases)
            if own:
                self._refuse(image, f"has the label {own[0].name}, which cannot be used")
            elif not (near and self._may_be(image, is_cine=True)):
                self._refuse(image, "has no label of its name")


def _labelled_frames(label: Volume) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """Frame, from 1 (None of a volume), and values of every one that is not empty."""
    frames = label.voxels if label.is_cine else label.voxels[np.newaxis]
    is_empty = True
    for number, frame in enumerate(frames, start=1):
        values = np.flatnonzero(np.bincount(frame.ravel())).tolist()
        if values == [0]:
            continue
        if len(values) > MOST_VALUES:
            raise _CannotUseError(
                f"holds {len(values)} different values: it seems to be an image, not a label"
            )
        is_empty = False
        yield number if label.is_cine else None, tuple(sorted({0, *values}))
    if is_empty:
        raise _CannotUseError("holds no labels: all its voxels are 0")


def _frame_of(name: CaseName, image: ImageFiles, phases: int) -> int:
    """Frame of a cine that the name of a label tells, or with ED and ES its Info.cfg."""
    frame = name.phase
    if isinstance(frame, str) and (info := read_info_cfg(image.files[0].parent)):
        frame = info.ed if frame == "ED" else info.es
    if not isinstance(frame, int):
        raise _CannotUseError(
            f"is a single volume, but {image.file_name} is a cine of {phases} frames: name the "
            f"frame, as in {name.base}_frame01_gt.nii.gz"
        )
    if not 1 <= frame <= phases:
        raise _CannotUseError(
            f"is of frame {frame}, but {image.file_name} has the frames 1 to {phases}"
        )
    return frame


def _read_shape(image: ImageFiles) -> tuple[int, ...]:
    """(Z, Y, X) or (T, Z, Y, X). Raises DataError where a channel is damaged or unlike others."""
    shapes = {file: read_volume(file).shape for file in image.files}
    first = shapes[image.files[0]]
    for file, shape in shapes.items():
        if shape != first:
            raise DataError(f"has channels of unlike size: {file.name} has {_sides(shape)} voxels")
    return first


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape[:-4:-1])


def _known_names(*folders: Path) -> dict[int, str]:
    """Names of label values in the nearest dataset.json: in the folders, beside or above them."""
    inside = [folder.absolute() for folder in folders]
    beside = [folder.parent for folder in inside]
    above = [folder.parent for folder in beside]
    return next(filter(None, map(_names_in, (*inside, *beside, *above))), {})


@dataclass(frozen=True)
class _LabelNames:
    """The labels in a ``dataset.json``, by name or, of nnU-Net 1, by value."""

    labels: dict[str, int | str | list[int]]


def _names_in(folder: Path) -> dict[int, str]:
    """Return names by value; {} without a readable dataset.json."""
    try:
        labels = parse_json((folder / "dataset.json").read_bytes(), _LabelNames).labels
    except (OSError, ValueError):
        return {}
    pairs = [(name, str(value)) for name, value in labels.items() if not isinstance(value, list)]
    turned = [(value, name) if value.isdecimal() else (name, value) for name, value in pairs]
    return {int(value): name for value, name in turned if value.isdecimal()}

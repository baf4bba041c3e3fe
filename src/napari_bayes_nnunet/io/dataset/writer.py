"""Writer of matched images and labels as an nnU-Net raw dataset, with links or copies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import DataError
from ..files.appearing import appearing
from ..files.atomic import replacing, write_json
from ..files.disk import is_disk_full
from ..images.geometry import Geometry
from ..images.nibabel_types import nifti_errors
from ..images.nifti import Volume, VoxelArray, read_labels, read_volume, write_image, write_labels
from .check import IGNORE
from .raw_dataset import RawDataset, read_dataset

if TYPE_CHECKING:
    from .matching import Match, Pair

_BACKGROUND = "background"
ENDING = ".nii.gz"
FOLDER_NOT_EMPTY = "{folder} is not empty. Choose a new folder for the dataset."
CHANGED_LABEL = (
    "{file} has the new label value {value} since the folders were compared. Choose the folders "
    "again."
)
NO_LINKS = "Links cannot be made in {folder} ({reason}). Choose copies."
BUSY_FOLDER = "{folder} is being written by another window. Wait until it is finished."


def write_dataset(
    match: Match,
    folder: Path,
    *,
    names: Mapping[int, str],
    channels: Sequence[str] | None,
    link: bool,
) -> Generator[tuple[int, int], None, RawDataset]:
    """Write the pairs of ``match`` as a new nnU-Net raw dataset. Yields (done, total) cases.

    ``names`` are those of all label values, each another one, with the background at 0. The values
    are numbered 0, 1, 2 … in their order. ``channels`` are the names of the image channels.
    ``link`` makes links to files that need no change: volumes in .nii.gz, labels that keep their
    numbers. Frames of a cine and all other files are written. The folder appears when it is
    complete; an interruption leaves nothing.

    Raises DataError if the folder is not empty, the system does not allow links, a file has changed
    since the match, or the disk is full.
    """
    numbers = _numbers(match, names)
    count = len(match.pairs[0].images)
    default = ["MRI"] if count == 1 else [f"MRI {n}" for n in range(1, count + 1)]
    content = {
        "channel_names": {str(n): name for n, name in enumerate(channels or default)},
        "labels": {names.get(value, _BACKGROUND): number for value, number in numbers.items()},
        "numTraining": len(match.pairs),
        "file_ending": ENDING,
    }
    # Links in the dataset must not depend on the current folder.
    folder = Path(os.path.abspath(folder))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(FOLDER_NOT_EMPTY, folder=folder)
    with appearing(folder) as building:
        cases = _CaseWriter(building, numbers, link=link, cached=count)
        for done, pair in enumerate(match.pairs):
            yield done, len(match.pairs)
            cases.write(pair)
        yield len(match.pairs), len(match.pairs)
        write_json(building / "dataset.json", content)
        # Another window may have removed the unfinished dataset as a leftover.
        if len(read_dataset(building).cases) != len(match.pairs):
            raise DataError(BUSY_FOLDER, folder=folder)
    return read_dataset(folder)


def volume_geometry(geometry: Geometry) -> Geometry:
    """Return the geometry of a training case.

    It has no fourth axis of length 1, which nnU-Net takes for a cine, and its spacing is in pixdim,
    which nnU-Net reads, even if it was given or is that of the affine.
    """
    header = geometry.parsed()
    header.set_data_shape(geometry.file_shape[:3])
    volume = replace(geometry, header=header.binaryblock)
    return volume if volume.spacing_source == "pixdim" else volume.with_stored_spacing()


@dataclass
class _CaseWriter:
    """Writer of pairs to ``imagesTr`` and ``labelsTr``, cached for consecutive frames of a cine."""

    folder: Path
    numbers: Mapping[int, int]
    link: bool
    cached: int

    def __post_init__(self) -> None:
        # The frames of a cine follow each other, and each reads all channels of the cine.
        self._read_image: Callable[[Path], Volume] = lru_cache(self.cached)(read_volume)
        self._read_labels: Callable[[Path], Volume] = lru_cache(1)(read_labels)

    def write(self, pair: Pair) -> None:
        for channel, file in enumerate(pair.images):
            target = self.folder / "imagesTr" / f"{pair.name}_{channel:04d}{ENDING}"
            if pair.image_frame is None and _is_usable(file):
                self._link_or_copy(file, target)
            else:
                volume = self._read_image(file).frame(pair.image_frame or 1)
                write_image(target, volume.voxels, volume_geometry(volume.geometry))
        target = self.folder / "labelsTr" / f"{pair.name}{ENDING}"
        keeps_numbers = all(self.numbers.get(value) == value for value in pair.values)
        if pair.label_frame is None and keeps_numbers and _is_usable(pair.label):
            self._link_or_copy(pair.label, target)
        else:
            volume = self._read_labels(pair.label).frame(pair.label_frame or 1)
            labels = self._renumbered(volume.voxels, pair.label)
            write_labels(target, labels, volume_geometry(volume.geometry))

    def _renumbered(self, labels: VoxelArray, file: Path) -> VoxelArray:
        # A value without a number becomes negative.
        table = np.full(1 << 16, -1)
        table[list(self.numbers)] = list(self.numbers.values())
        numbered = table[labels]
        if numbered.min() < 0:
            raise DataError(CHANGED_LABEL, file=file, value=int(labels[numbered < 0][0]))
        return numbered

    def _link_or_copy(self, file: Path, target: Path) -> None:
        if not self.link:
            with replacing(target) as temporary:
                shutil.copyfile(file, temporary)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.symlink_to(os.path.abspath(file))
        except OSError as error:
            if is_disk_full(error):
                raise
            folder = self.folder.parent
            raise DataError(NO_LINKS, folder=folder, reason=error.strerror) from error


def _is_usable(file: Path) -> bool:
    """Return whether nibabel, and so nnU-Net, opens a file by its name as one with three axes."""
    import nibabel

    try:
        image: Any = nibabel.load(file)
    except nifti_errors(OSError, EOFError, ValueError):
        return False
    # nnU-Net expects one ending, and takes a fourth axis for channels.
    return file.name.lower().endswith(ENDING) and len(image.shape) == 3


def _numbers(match: Match, names: Mapping[int, str]) -> dict[int, int]:
    """Return the number of every label value in the dataset: without gaps, IGNORE last."""
    # nnU-Net requires the highest number for voxels that are ignored.
    ordered = sorted({0, *match.values}, key=lambda value: (names.get(value) == IGNORE, value))
    return {value: number for number, value in enumerate(ordered)}

"""NIfTI files, DICOM folders and studies as napari layers, in the voxel grid they are stored in.

A layer has a positive scale and no affine: napari cannot show a layer whose affine mixes shown and
hidden axes, as that of an oblique short-axis stack does. The true geometry is in its metadata.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...io import DataError
from ...io.dicom.files import may_hold_dicom
from ...io.images.nifti import ENDINGS, Volume, case_name, holds_labels, read_volume
from ...io.study.info import is_study
from ..common.wording import in_the_window
from .metadata import LayerData, layer_data

if TYPE_CHECKING:
    from ...io.dicom.series import Stack

NO_LAYER: Any = (None,)
"""What napari takes for "read, but there is nothing to show"."""
DICOM_ENDING = ".dcm"
LABEL_NAME = re.compile(r"[_-](gt|seg|segmentation|labels?|mask)$", re.IGNORECASE)


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[Any]] | None:
    """Return the reader of one path or several.

    None where one is neither a ``.nii`` or ``.nii.gz``, nor the folder of a study, nor DICOM: a
    folder that holds such files, or a ``.dcm``.
    """
    paths = _listed(path)
    return read_layers if paths and all(map(_is_ours, paths)) else None


def read_layers(path: str | Sequence[str]) -> list[Any]:
    """One layer per file; of a study, image, entropy, prediction and corrected labels.

    Of a DICOM folder the short-axis cine; where several series could be it, the user chooses. A
    file that cannot be used is reported in one sentence in the open napari window, and the
    others are still shown; where there is no window, its DataError is raised.
    """
    layers: list[Any] = []
    for file in _listed(path):
        try:
            layers += _read_one(file)
        except DataError as error:
            _report(error)
    return layers or [NO_LAYER]


def _listed(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, (str, Path)) else [Path(one) for one in path]


def _is_ours(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith(ENDINGS) or is_study(path):
        return True
    return (path.is_dir() or name.endswith(DICOM_ENDING)) and may_hold_dicom(path)


def _read_one(path: Path) -> list[Any]:
    if is_study(path):
        return _read_study(path)
    return [_read(path)] if path.name.lower().endswith(ENDINGS) else _read_dicom(path)


def _read_dicom(path: Path) -> list[Any]:
    from ...io.dicom.reader import (
        read_stack,  # takes a moment to load, which NIfTI files need not wait for
    )
    from ...io.dicom.seg import find_seg_files, read_seg

    labels = [
        layer_data(read_seg(file), case=file.stem, role="labels") for file in find_seg_files(path)
    ]
    if labels:
        return labels
    stack = _the_stack(path)
    return [] if stack is None else [layer_data(read_stack(stack, path))]


def _the_stack(path: Path) -> Stack | None:
    """The short-axis cine, or what the user takes for it; None where that is nothing."""
    from napari import current_viewer

    from ...io.dicom.reader import choose_stack, read_stacks

    stacks = read_stacks(path)
    candidates = sum(stack.is_short_axis_cine for stack in stacks)
    if candidates == 1 or len(stacks) == 1 or current_viewer() is None:
        return choose_stack(stacks)
    from .series_dialog import ask_for_stack

    return ask_for_stack(stacks)


def _read(file: Path) -> LayerData:
    # A map of zeros (the mutual information of one member) is worth a look, so blank is allowed.
    volume = read_volume(file, allow_blank=True)
    if _is_label_file(volume) and holds_labels(volume.voxels):
        kind = np.uint16 if volume.voxels.max() > 255 else np.uint8
        return layer_data(replace(volume, voxels=volume.voxels.astype(kind)), role="labels")
    return layer_data(volume)


def _read_study(folder: Path) -> list[Any]:
    from .study_layers import study_layers  # needs napari, which files do not

    return list(study_layers(folder))


def _is_label_file(volume: Volume) -> bool:
    """Whether intent (NIfTI labels), name (as in ``_gt``) or nnU-Net folder say labels."""
    return (
        volume.geometry.is_label_image
        or LABEL_NAME.search(case_name(volume.source)) is not None
        or volume.source.parent.name in ("labelsTr", "labelsTs")
    )


def _report(error: DataError) -> None:
    from napari import current_viewer
    from napari.utils.notifications import show_error

    if current_viewer() is None:
        raise error
    show_error(in_the_window(error))

"""Reader of NIfTI files, DICOM folders and studies as napari layers in their voxel grid.

A layer has a positive scale and no affine: napari cannot show a layer whose affine mixes displayed
and hidden axes, as that of an oblique short-axis stack does. The true geometry is in its metadata.
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
from ..common.settings import Settings
from ..common.wording import in_the_window
from .metadata import MOST_LABELS, SERIES_VIEWS, LayerData, layer_data

if TYPE_CHECKING:
    from ...io.dicom.examination import SeriesView

OPENS_IN_REVIEW = (
    "{study} is a study. Plugins → Bayesian nnU-Net → Review opens it with its contours and queue."
)
NO_LAYER: Any = (None,)
"""Return value by which napari knows that a file was read and has nothing to show."""
DICOM_ENDING = ".dcm"
LABEL_NAME = re.compile(r"[_-](gt|seg|segmentation|labels?|mask)$", re.IGNORECASE)


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[Any]] | None:
    """Return the reader of one path or several, or None if another reader should open them.

    Each path must be a ``.nii``, ``.nii.gz`` or ``.dcm`` file, a folder of DICOM files, or a study.
    """
    paths = _list_paths(path)
    return read_layers if paths and all(map(_is_readable, paths)) else None


def read_layers(path: str | Sequence[str]) -> list[Any]:
    """Return one layer per file; image, entropy, prediction and corrected labels of a study.

    A DICOM folder gives its short-axis cine; if several series match, the user chooses. An
    unusable file is reported in the open napari window and the other files are still read.
    Without a window, its DataError is raised.
    """
    layers: list[Any] = []
    for file in _list_paths(path):
        try:
            layers += _read_path(file)
        except DataError as error:
            if not _tell("show_error", in_the_window(error)):
                raise
    return layers or [NO_LAYER]


def _list_paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, (str, Path)) else [Path(file) for file in path]


def _is_readable(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith(ENDINGS) or is_study(path):
        return True
    return (path.is_dir() or name.endswith(DICOM_ENDING)) and may_hold_dicom(path)


def _read_path(path: Path) -> list[Any]:
    if is_study(path):
        return _read_study(path)
    return [_read_nifti(path)] if path.name.lower().endswith(ENDINGS) else _read_dicom(path)


def _read_dicom(path: Path) -> list[Any]:
    # Imported here, because it is slow and NIfTI files do not need it.
    from ...io.dicom.seg import find_seg_files, read_seg

    labels = [
        layer_data(read_seg(file), case=file.stem, role="labels") for file in find_seg_files(path)
    ]
    if labels:
        return labels
    views = _choose_views(path)
    if not views:
        return []
    return [read_examination(views, path)]


def read_examination(views: Sequence[SeriesView], path: Path) -> LayerData:
    """Return the short axis of an examination in ``path`` with its long axes, as a layer.

    Raises DataError if the short axis cannot be read.
    """
    from ...io.dicom.examination import SHORT_AXIS_VIEW
    from ...io.dicom.reader import read_stack

    stack = next(series.stack for series in views if series.view == SHORT_AXIS_VIEW)
    volume = read_stack(stack, path, views=views)
    for note in volume.notes:  # with their folder, because they outlast its image on screen
        _tell("show_warning", f"{path.name}: {in_the_window(note)}")
    settings = Settings()
    if settings.kept.shows_study_dates:
        settings.add("study_dates", {stack.pseudonym: volume.patient.date})
    layer = layer_data(volume)
    layer[1]["metadata"]["bayes"] |= {"dicom": str(path.absolute()), SERIES_VIEWS: tuple(views)}
    return layer


def _choose_views(path: Path) -> list[SeriesView]:
    """Return what the series show, asking which is the short axis; [] if the user cancels."""
    from napari import current_viewer

    from ...io.dicom.examination import classify_series
    from ...io.dicom.reader import choose_stack, read_stacks

    stacks = read_stacks(path)
    candidates = sum(stack.is_short_axis_cine for stack in stacks)
    if candidates == 1 or len(stacks) == 1 or current_viewer() is None:
        return classify_series(stacks, choose_stack(stacks))
    from .series_dialog import ask_for_views

    return ask_for_views(stacks)


def _read_nifti(file: Path) -> LayerData:
    # The mutual information of a single member is zero everywhere, so blank maps are allowed.
    volume = read_volume(file, allow_blank=True)
    is_mask = 0 < volume.voxels.max() <= MOST_LABELS
    if (is_mask or _is_label_file(volume)) and holds_labels(volume.voxels):
        kind = np.uint16 if volume.voxels.max() > 255 else np.uint8
        return layer_data(replace(volume, voxels=volume.voxels.astype(kind)), role="labels")
    return layer_data(volume)


def _read_study(folder: Path) -> list[Any]:
    from .study_layers import study_layers  # imports napari, which plain files do not need

    layers = study_layers(folder)
    _tell("show_info", OPENS_IN_REVIEW.format(study=folder.name))
    return list(layers)


def _is_label_file(volume: Volume) -> bool:
    """Return whether NIfTI intent, name (such as ``_gt``) or nnU-Net folder indicate labels."""
    return (
        volume.geometry.is_label_image
        or LABEL_NAME.search(case_name(volume.source)) is not None
        or volume.source.parent.name in ("labelsTr", "labelsTs")
    )


def _tell(show: str, text: str) -> bool:
    """Show a text by this function of napari; return False without a window."""
    from napari import current_viewer
    from napari.utils import notifications

    has_window = current_viewer() is not None
    if has_window:
        getattr(notifications, show)(text)
    return has_window

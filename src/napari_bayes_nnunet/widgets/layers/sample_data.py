"""Layers of the sample cine, for File ▸ Open Sample."""

from __future__ import annotations

from ...io import DataError
from ...io.images.nifti import read_info_cfg, read_volume
from ...sample_data import CINE, FOLDER
from .metadata import LayerData, layer_data

PATIENT = "SCD0000301"


def cine() -> list[LayerData]:
    """Open the whole cine, (T, Z, Y, X)."""
    return [layer_data(read_volume(CINE), case=f"{PATIENT}_cine")]


def end_diastole() -> list[LayerData]:
    """Open the end-diastolic volume, (Z, Y, X)."""
    phases = read_info_cfg(FOLDER)
    if phases is None:
        raise DataError(
            "{folder} has no Info.cfg. Install napari-bayes-nnunet again.", folder=FOLDER
        )
    return [layer_data(read_volume(CINE).frame(phases.ed), case=f"{PATIENT}_ED")]

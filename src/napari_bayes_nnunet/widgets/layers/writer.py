"""Layers as NIfTI files on the grid of the image they belong to, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...io import DataError
from ...io.images.geometry import Geometry
from ...io.images.nifti import ENDINGS, write_image, write_labels
from .metadata import metadata_geometry


def write_image_layer(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write an image layer and return the written path.

    Raises DataError where the layer has no geometry or another shape than it.
    """
    file, voxels = _with_ending(path), _full_resolution(data, attributes)
    write_image(file, voxels, _geometry(voxels.shape, attributes))
    return [str(file)]


def write_labels_layer(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write a labels layer and return the written path.

    Raises DataError where the layer has no geometry or another shape than it.
    """
    file, labels = _with_ending(path), _full_resolution(data, attributes)
    write_labels(file, labels, _geometry(labels.shape, attributes))
    return [str(file)]


def _with_ending(path: str) -> Path:
    """With a filter chosen in napari's dialog the name may come without its ending."""
    return Path(path if path.lower().endswith(ENDINGS) else f"{path}{ENDINGS[0]}")


def _full_resolution(data: Any, attributes: Mapping[str, Any]) -> Any:
    return np.asarray(data[0] if attributes.get("multiscale") else data)


def _geometry(shape: tuple[int, ...], attributes: Mapping[str, Any]) -> Geometry:
    """Geometry of the layer; (Z, Y, X) data of a cine takes the geometry of one phase."""
    name = attributes.get("name", "")
    geometry = metadata_geometry(attributes.get("metadata", {}))
    if geometry is None:
        raise DataError(
            f"Layer '{name}' does not know its place in the patient, so it cannot be saved as "
            "NIfTI: copy what you drew into a layer made by this plugin, or into one it opened."
        )
    for candidate in (geometry, geometry.frame()):
        if candidate.shape == shape:
            return candidate
    raise DataError(
        f"Layer '{name}' has the shape {shape}, but its image has {geometry.shape}: undo the "
        "change of shape, or save it in another format than NIfTI."
    )

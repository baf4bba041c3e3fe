"""Writer of layers as NIfTI files on the grid of their image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...io import DataError
from ...io.images.geometry import Geometry
from ...io.images.nifti import ENDINGS, write_image, write_labels
from .metadata import metadata_geometry


def write_image_layer(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write an image layer and return the written path.

    Raises DataError if the layer has no geometry or does not have its shape.
    """
    return _write(write_image, path, data, attributes)


def write_labels_layer(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write a labels layer and return the written path.

    Raises DataError if the layer has no geometry or does not have its shape.
    """
    return _write(write_labels, path, data, attributes)


def _write(
    write: Callable[..., object], path: str, data: Any, attributes: Mapping[str, Any]
) -> list[str]:
    # napari's save dialog can omit the ending.
    file = Path(path if path.lower().endswith(ENDINGS) else f"{path}{ENDINGS[0]}")
    # The first level of a multiscale layer has the full resolution.
    voxels = np.asarray(data[0] if attributes.get("multiscale") else data)
    write(file, voxels, _geometry(voxels.shape, attributes))
    return [str(file)]


def _geometry(shape: tuple[int, ...], attributes: Mapping[str, Any]) -> Geometry:
    """Return the geometry of the layer, or of one phase for (Z, Y, X) data of a cine."""
    name = attributes.get("name", "")
    geometry = metadata_geometry(attributes.get("metadata", {}))
    if geometry is None:
        raise DataError(
            "Layer {layer} has no known position in the patient, so it cannot be saved as NIfTI. "
            "Copy its labels into a layer that this plugin has made or opened.",
            layer=name,
        )
    for candidate in (geometry, geometry.frame()):
        if candidate.shape == shape:
            return candidate
    raise DataError(
        "Layer {layer} has the shape {shape}, but its image has {expected}. Restore the shape, or "
        "save in another format.",
        layer=name,
        shape=shape,
        expected=geometry.shape,
    )

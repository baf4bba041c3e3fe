"""The metadata and the grid that this plugin puts on its layers, and reads from any."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ...core.types import Spacing
from ...io.images.geometry import Geometry
from ...io.images.nifti import ENDINGS, Volume, case_name

if TYPE_CHECKING:
    from napari.layers import Image, Layer

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]


def layer_data(
    volume: Volume, *, case: str = "", role: Literal["image", "labels"] = "image"
) -> LayerData:
    """Turn a volume into napari's (data, attributes, layer type), named after its case."""
    name = case or case_name(volume.source)
    attributes = {
        "name": name,
        **layer_grid(volume.geometry),
        "metadata": {
            "bayes": {
                "role": role,
                "case": name,
                "source": str(volume.source),
                "geometry": volume.geometry,
            }
        },
    }
    if role == "image":
        attributes |= _window(volume.voxels)
    return volume.voxels, attributes, role


def layer_grid(geometry: Geometry) -> dict[str, Any]:
    """``scale``, ``units`` and ``axis_labels`` of every layer on this grid.

    (z, y, x) in mm; before it t in ms for a cine, one step 1 where its frame time is unknown.
    """
    grid = {
        "scale": geometry.spacing,
        "units": ("mm", "mm", "mm"),
        "axis_labels": ("z", "y", "x"),
    }
    if len(geometry.shape) == 3:
        return grid
    time = {"scale": (geometry.frame_time or 1.0,), "units": ("ms",), "axis_labels": ("t",)}
    return {key: (*time[key], *grid[key]) for key in grid}


def metadata_geometry(metadata: Mapping[str, Any]) -> Geometry | None:
    """Return the geometry in the metadata of a layer, or None where there is none."""
    ours = metadata.get("bayes")
    geometry = ours.get("geometry") if isinstance(ours, Mapping) else None
    return geometry if isinstance(geometry, Geometry) else None


def _window(voxels: Any) -> dict[str, Any]:
    """Contrast limits up to the 99.5th percentile: fat near the coil would darken the heart."""
    some = voxels[..., ::2, ::2]
    low, high = float(some.min()), float(np.percentile(some, 99.5))
    return {"contrast_limits": (low, high)} if high > low else {}


def bayes_metadata(layer: Layer) -> dict[str, Any]:
    """The metadata of this plugin on a layer; empty where it has none."""
    found = layer.metadata.get("bayes")
    return found if isinstance(found, dict) else {}


def layer_voxels(layer: Image) -> Any:
    """The array of a layer at full resolution, not computed where it is lazy."""
    return layer.data[0] if layer.multiscale else layer.data


def layer_geometry(layer: Image) -> Geometry | None:
    """The geometry of the file a layer came from, unless its voxels were cropped or replaced."""
    geometry = metadata_geometry(layer.metadata)
    same = geometry is not None and geometry.shape == tuple(layer_voxels(layer).shape)
    return geometry if same else None


def layer_spacing(layer: Image) -> Spacing | None:
    """(z, y, x) in mm, or None where the units of the layer are no lengths (napari's "pixel")."""
    geometry = layer_geometry(layer)
    if geometry is not None:
        return geometry.spacing
    units = layer.units[-3:]
    if not all(unit.is_compatible_with("millimeter") for unit in units):
        return None
    z, y, x = (
        abs(float((step * unit).to("millimeter").magnitude))
        for step, unit in zip(layer.scale[-3:], units, strict=True)
    )
    return z, y, x


def layer_case(layer: Image) -> str:
    """The name of the case: the reader's, else the layer's without its ending and slashes."""
    name = str(bayes_metadata(layer).get("case") or layer.name)
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return re.sub(r"[\\/:*?\"<>|]+", "_", name).strip(" .") or "image"


def layer_source(layer: Image) -> Path | None:
    """The file a layer came from, where it knows it."""
    source = bayes_metadata(layer).get("source") or layer.source.path
    return Path(source) if source else None

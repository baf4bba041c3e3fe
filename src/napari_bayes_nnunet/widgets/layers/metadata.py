"""Metadata and grid of layers: written by this plugin, read from layers of any reader."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ...core.heart.intensity_window import image_window
from ...core.heart.patient_record import NOBODY, PatientRecord
from ...core.types import Spacing
from ...io.images.geometry import Geometry
from ...io.images.nifti import ENDINGS, Volume, case_name

if TYPE_CHECKING:
    from napari.layers import Image, Layer

PHASE_CASES: Final = "phase_cases"
WHOSE: Final = "patient"
LONG_AXES: Final = "long_axes"
SERIES_VIEWS: Final = "views"
"""Keys in our metadata of a layer; the views are those of the series of its examination."""
MOST_LABELS: Final = 10
"""Highest value of voxels that are labels; intensities reach further."""
LayerData: TypeAlias = tuple[Any, dict[str, Any], str]


def layer_data(
    volume: Volume, *, case: str = "", role: Literal["image", "labels"] = "image"
) -> LayerData:
    """Turn a volume into napari's (data, attributes, layer type), named after its case.

    The source in the metadata is an absolute path, which is the same wherever it is read from.
    """
    name = case or case_name(volume.source)
    attributes = {
        "name": name,
        **layer_grid(volume.geometry),
        "metadata": {
            "bayes": {
                "role": role,
                "case": name,
                "source": os.path.abspath(volume.source),
                "geometry": volume.geometry,
                "doubt": volume.doubt,
                "notes": volume.notes,
                WHOSE: volume.patient,
                LONG_AXES: volume.long_axes,
            }
        },
    }
    if role == "image":
        low, high = image_window(volume.voxels)
        attributes |= {"contrast_limits": (low, high)} if high > low else {}
        attributes["metadata"]["bayes"]["window"] = attributes.get("contrast_limits")
    return volume.voxels, attributes, role


def layer_grid(geometry: Geometry) -> dict[str, Any]:
    """Return ``scale``, ``units`` and ``axis_labels`` of every layer on this grid.

    The axes are (z, y, x) in mm, and for a cine the phases in ms before them, with a step of 1 ms
    if the frame time is unknown. The first ones have the names that a reader sees at the sliders.
    """
    grid = {
        "scale": geometry.spacing,
        "units": ("mm", "mm", "mm"),
        "axis_labels": ("slice", "y", "x"),
    }
    if len(geometry.shape) == 3:
        return grid
    time = {"scale": (geometry.frame_time or 1.0,), "units": ("ms",), "axis_labels": ("phase",)}
    return {key: (*time[key], *grid[key]) for key in grid}


def metadata_geometry(metadata: Mapping[str, Any]) -> Geometry | None:
    """Return the geometry in the metadata of a layer, or None if it has none."""
    bayes = metadata.get("bayes")
    geometry = bayes.get("geometry") if isinstance(bayes, Mapping) else None
    return geometry if isinstance(geometry, Geometry) else None


def bayes_metadata(layer: Layer) -> dict[str, Any]:
    """Return the plugin's metadata of a layer; empty if it has none."""
    metadata = layer.metadata.get("bayes")
    return metadata if isinstance(metadata, dict) else {}


def note_owner(layer: Layer) -> None:
    """Note in the plugin's metadata of a layer that they are its own; copies keep the note."""
    layer.metadata["bayes"]["layer"] = layer.unique_id


def is_copy(layer: Layer) -> bool:
    """Return whether a layer is the user's copy of a layer of this plugin."""
    return bool(bayes_metadata(layer).get("layer", layer.unique_id) != layer.unique_id)


def layer_voxels(layer: Image) -> Any:
    """Return the array of a layer at full resolution; a lazy array stays lazy."""
    return layer.data[0] if layer.multiscale else layer.data


def layer_geometry(layer: Image) -> Geometry | None:
    """Return the geometry of a layer's file, or None if the layer has another shape than it."""
    geometry = metadata_geometry(layer.metadata)
    # Parts of a layer, as of napari's Split Stack, keep the metadata of the whole.
    fits = geometry is not None and geometry.shape == tuple(layer_voxels(layer).shape)
    return geometry if fits else None


def layer_spacing(layer: Image) -> Spacing | None:
    """Return (z, y, x) in mm, or None if the layer's units are not lengths (napari's "pixel")."""
    geometry = layer_geometry(layer)
    if geometry is not None:
        return geometry.spacing
    units = layer.units[-3:]
    if not all(unit.is_compatible_with("millimeter") for unit in units):
        return None
    z, y, x = (
        # A mirrored axis has a negative scale.
        abs(float((step * unit).to("millimeter").magnitude))
        for step, unit in zip(layer.scale[-3:], units, strict=True)
    )
    return z, y, x


def layer_case(layer: Image) -> str:
    """Return the case name: the reader's, or the layer's without file ending and slashes."""
    name = str(bayes_metadata(layer).get("case") or layer.name)
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    # Case names become file names, in which Windows allows none of these.
    return re.sub(r"[\\/:*?\"<>|]+", "_", name).strip(" .") or "image"


def layer_phase_cases(layer: Image) -> tuple[str, ...]:
    """Return the names of the phases that were joined from files of their own, () for others.

    Parts of such a layer keep its metadata, but have other phases.
    """
    cases = tuple(bayes_metadata(layer).get(PHASE_CASES, ()))
    voxels = layer_voxels(layer)
    return cases if voxels.ndim == 4 and len(voxels) == len(cases) else ()


def dicom_path(layers: Iterable[Layer], case: str) -> str:
    """Return the folder or file of the DICOM images of a case among the layers, or ""."""
    for layer in layers:
        about = bayes_metadata(layer)
        path = str(about.get("dicom", ""))
        if path and about.get("case") == case and Path(path).exists():
            return path
    return ""


def layer_patient(layer: Layer) -> PatientRecord:
    """Return whose heart a layer shows: by its header, or by the name of its file or of itself."""
    source = layer_source(layer)
    name = layer.name if source is None else source.name
    patient: PatientRecord = bayes_metadata(layer).get(WHOSE, NOBODY)
    return patient.or_named(name)


def layer_source(layer: Image) -> Path | None:
    """Return the file of a layer, or None if it is unknown."""
    source = bayes_metadata(layer).get("source") or layer.source.path
    return Path(source) if source else None

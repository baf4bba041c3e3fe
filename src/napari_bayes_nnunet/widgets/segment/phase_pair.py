"""ED and ES of one heart in two files, joined to a cine of two phases that has an EF."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from napari.layers import Image

from ...io.dataset.phase_pairs import examination_of
from ...io.images.nifti import Volume
from ..layers.front import bring_to_front
from ..layers.image_input import is_segmentable
from ..layers.metadata import layer_case, layer_data, layer_geometry, layer_source, layer_voxels
from ..layers.result_layers import add_image

SOURCE_NAMES: Final = "{first} and {second}"
"""Name of the image in reports."""


def other_phase(viewer: Any, image: Image) -> Image | None:
    """Return the other phase of the heart in the 3D ``image``; None if it is not clear.

    It is the only other 3D image whose name differs only in the phase, and has the same grid. If
    both are joined already, there is none.
    """
    examination, geometry = examination_of(layer_case(image)), layer_geometry(image)
    if image.ndim != 3 or geometry is None or not examination:
        return None
    images = [layer for layer in viewer.layers if is_segmentable(layer) and layer is not image]
    if any(layer.ndim == 4 and layer_case(layer) == examination for layer in images):
        return None
    others = [layer for layer in images if examination_of(layer_case(layer)) == examination]
    if len(others) != 1 or others[0].ndim != 3:
        return None
    grid = layer_geometry(others[0])
    return others[0] if grid is not None and grid.same_grid(geometry) else None


def join_phases(viewer: Any, image: Image, other: Image) -> Image:
    """Add both phases, in the order of their names, as one layer in front of them; return it."""
    first, second = sorted((image, other), key=layer_case)
    geometry, source = layer_geometry(first), layer_source(first)
    assert geometry is not None
    assert source is not None
    name = SOURCE_NAMES.format(first=layer_case(first), second=layer_case(second))
    volume = Volume(
        voxels=np.stack([layer_voxels(layer) for layer in (first, second)]),
        geometry=geometry.with_phases(2),
        source=source.with_name(name),  # not a file, so the study keeps the voxels
    )
    joined = add_image(viewer, layer_data(volume, case=examination_of(layer_case(first))))
    assert isinstance(joined, Image)
    viewer.layers.selection.active = joined
    bring_to_front(viewer, joined)
    return joined

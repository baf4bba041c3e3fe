"""ED and ES of one heart in two files, joined to a cine of two phases that has an EF."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from ...core.heart.intensity_window import image_window
from ...core.types import Spacing
from ...io.dataset.phase_pairs import examination_of, phase_order
from ...io.images.nifti import Volume
from ..layers.front import bring_to_front
from ..layers.image_input import is_segmentable
from ..layers.metadata import (
    PHASE_CASES,
    bayes_metadata,
    layer_case,
    layer_data,
    layer_geometry,
    layer_phase_cases,
    layer_source,
    layer_voxels,
)
from ..layers.result_layers import add_image

SOURCE_NAMES: Final = "{first} and {second}"
"""Name of the image in reports."""
SAME_SCALE: Final = 2.0
"""Ratio up to which two ranges of intensities can be seen at one brightness."""


def other_phases(viewer: Any, image: Image) -> list[Image]:
    """Return the other phases of the heart in the 3D ``image``; one alone can be joined with it.

    They are the other 3D images from the same folder whose names differ only in the phase. If the
    image is joined already, or is open twice, there are none.
    """
    case, source = layer_case(image), layer_source(image)
    if image.ndim != 3 or source is None or not examination_of(case):
        return []
    others: dict[Image, str] = {}
    for layer in filter(is_segmentable, viewer.layers):
        path = layer_source(layer)
        if layer is image or path is None or path.parent != source.parent:
            continue
        if case in layer_phase_cases(layer):
            return []
        if examination_of(layer_case(layer)) == examination_of(case):
            others[layer] = layer_case(layer)
    return [] if case in others.values() else list(others)


def are_on_one_grid(image: Image, other: Image) -> bool:
    """Return whether the files of both layers have one grid, whatever voxel size was given."""
    first, second = (layer_geometry(layer) for layer in (image, other))
    if first is None or second is None:
        return False
    return replace(first, given_spacing=None).same_grid(replace(second, given_spacing=None))


def join_phases(
    viewer: Any, image: Image, other: Image, *, spacing: Spacing | None = None
) -> Image:
    """Add both phases as one layer in front of them, ED first, and return it.

    ``spacing`` (z, y, x) in mm is the one given by the user in place of that of the header.
    """
    first, second = sorted((image, other), key=lambda layer: phase_order(layer_case(layer)))
    geometry, source = layer_geometry(first), layer_source(first)
    assert geometry is not None
    assert source is not None
    cases = layer_case(first), layer_case(second)
    voxels = layer_voxels(first), layer_voxels(second)
    volume = Volume(
        voxels=np.stack([voxels[0], _on_scale_of(*voxels)]),
        geometry=replace(geometry.with_phases(2), given_spacing=spacing),
        # Not a file, so the study keeps the voxels.
        source=source.with_name(SOURCE_NAMES.format(first=cases[0], second=cases[1])),
        notes=tuple(n for layer in (first, second) for n in bayes_metadata(layer).get("notes", ())),
        doubt=bayes_metadata(first).get("doubt") or bayes_metadata(second).get("doubt"),
    )
    data, attributes, kind = layer_data(volume, case=examination_of(cases[0]))
    attributes["metadata"]["bayes"][PHASE_CASES] = cases
    joined = add_image(viewer, (data, attributes, kind))
    assert isinstance(joined, Image)
    viewer.layers.selection.active = joined
    bring_to_front(viewer, joined)
    return joined


def _on_scale_of(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Return the second phase, with the intensities of the first if theirs differ greatly.

    Both are seen at one brightness, and networks normalize each phase.
    """
    (low, high), (own_low, own_high) = image_window(first), image_window(second)
    width, own = high - low, own_high - own_low
    if min(width, own) <= 0 or 1 / SAME_SCALE <= own / width <= SAME_SCALE:
        return second
    return np.asarray((second - own_low) * (width / own) + low, dtype=np.float32)

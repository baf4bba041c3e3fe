"""Layers of a review.

They lie on the grid of the image and are found by their role in ``metadata["bayes"]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from napari.layers import Image, Labels, Layer, Points, Vectors
from numpy.typing import NDArray

from ...core.types import Place
from ...io.images.geometry import Geometry
from .front import HIDDEN, SET_ASIDE
from .metadata import bayes_metadata, is_copy, layer_case, layer_source, note_owner
from .result_layers import (
    CONTOUR_WIDTH,
    insert_layer,
    is_behind,
    labels_look,
    layer_placement,
    result_layers,
)
from .viewing import index_of

ReviewRole: TypeAlias = Literal[
    "edited",
    "contours",
    "outlines",
    "long axis",
    "contour",
    "contour handles",
    "insertions",
    "stroke",
    "brush region",
]

BRUSH_MM = 8.0
"""Initial width of the brush: about half the thickness of the myocardium."""
HANDLE_PIXELS = 11
CLOSED_UNSAVED: Final = "not saved"
"""End of the name of corrected labels whose study was closed, but could not be saved."""
UNDER_REVIEW: Final = "reviewed"
"""Key in our metadata of corrected labels that the Review dock has made."""
HANDLE_COLORS: Final = ("black", "white")
"""Fill and border of a handle, visible on dark and bright images."""


class LinesLayer(Vectors):
    """Vectors without a thumbnail, which takes napari 25 ms for 1000 segments."""

    @property
    def _type_string(self) -> str:
        return "vectors"  # chooses icon and controls

    def _update_thumbnail(self) -> None:
        """Keep the empty thumbnail."""


def edited_layer(
    image: Image,
    labels: NDArray[np.uint8],
    structures: Mapping[str, int],
    geometry: Geometry | None,
    study: Path | None = None,
) -> Labels:
    """Make the layer of all corrections, whose array is ``labels``, (Z, Y, X) or (T, Z, Y, X).

    It looks like the prediction. ``structures`` maps names to labels, without background.
    Painting replaces existing labels unless ``preserve_labels`` of the layer is set.
    """
    layer = Labels(
        labels,
        **labels_look(structures),
        **_common(
            image,
            "edited",
            geometry=geometry,
            structures=dict(structures),
            study=str(study or ""),
        ),
        opacity=1.0,
    )
    note_owner(layer)
    layer.contour = CONTOUR_WIDTH
    # With 3, napari's brush would paint into the neighbouring slices.
    layer.n_edit_dimensions = 2
    layer.brush_size = max(1, round(BRUSH_MM / float(np.mean(np.abs(image.scale[-2:])))))
    layer.selected_label = min(structures.values(), default=1)
    return layer


def lines_layer(
    image: Image,
    role: ReviewRole,
    vectors: NDArray[np.float64],
    colors: NDArray[np.float64],
    *,
    width: float,
    visible: bool = True,
) -> Vectors:
    """Make lines of (n, 2, D) segments (start, direction), (n, 4) colours; ``width`` in voxels."""
    layer = LinesLayer(
        vectors,
        ndim=image.ndim,
        **_common(image, role),
        edge_color=colors if len(colors) else "white",
        edge_width=width,
        vector_style="line",
        opacity=1.0,
        visible=visible,
    )
    note_owner(layer)
    return layer


def handles_layer(
    image: Image, points: NDArray[np.float64], role: ReviewRole = "contour handles"
) -> Points:
    """Make handles at (k, D) points in voxels, of constant size on the screen."""
    color, border = HANDLE_COLORS
    return Points(
        points,
        ndim=image.ndim,
        **_common(image, role),
        size=1,
        canvas_size_limits=(HANDLE_PIXELS, HANDLE_PIXELS),
        face_color=color,
        border_color=border,
        border_width=0.12,
        border_width_is_relative=True,
        opacity=1.0,
    )


def put_on_top(
    viewer: Any, layer: Layer, *, active: bool = False, below: Layer | None = None
) -> None:
    """Add a layer above all others but ``below``; make it ``active`` or keep the selection."""
    layers = viewer.layers
    index = layers.index(below) if below in layers else len(layers)
    if active:
        layers.insert(index, layer)
        layers.selection.active = layer
    else:
        insert_layer(viewer, index, layer)


def find_layer(viewer: Any, image: Image, role: str) -> Layer | None:
    """Return the layer of this role for ``image``, whatever its name.

    Copies and the layers of a result that is not the chosen one do not count.
    """
    for layer in viewer.layers:
        about = bayes_metadata(layer)
        is_of_image = about.get("role") == role and about.get("image") == image.unique_id
        if is_of_image and not is_copy(layer) and not is_behind(layer):
            return layer
    return None


def show_as_closed(layer: Labels) -> None:
    """Show unsaved labels read-only after their study was closed, and say so in their name."""
    layer.editable = False
    layer.metadata["bayes"]["closed"] = True
    layer.name = f"{layer.name} ({CLOSED_UNSAVED})"


def is_reviewed(viewer: Any, image: Image) -> bool:
    """Return whether a review of ``image`` is open, whose layers must stay as they are."""
    layer = find_layer(viewer, image, "edited")
    return layer is not None and _is_under_review(layer)


def other_is_reviewed(viewer: Any, image: Image) -> bool:
    """Return whether a review of another image is open."""
    is_open = any(_is_under_review(layer) for layer in viewer.layers)
    return is_open and not is_reviewed(viewer, image)


def _is_under_review(layer: Layer) -> bool:
    about = bayes_metadata(layer)
    return bool(about.get(UNDER_REVIEW)) and not about.get("closed") and not is_copy(layer)


def hide_closed_review(viewer: Any, image: Image) -> None:
    """Hide corrected labels whose study was closed, and show a new result in their place."""
    layer = find_layer(viewer, image, "edited")
    if layer is not None and bayes_metadata(layer).get("closed"):
        was_shown = layer.visible
        layer.visible = False
        for flag in (HIDDEN, SET_ASIDE):  # or they would return with their image
            was_shown |= bool(layer.metadata.pop(flag, False))
        if was_shown:
            show_hidden_result(viewer, image)


def show_hidden_result(viewer: Any, image: Image) -> None:
    """Show the prediction of the chosen result, and its map if all of it is hidden, as by a review.

    If ``image`` is hidden behind another one, they are shown with it.
    """
    layers = result_layers(viewer, image)
    waits = HIDDEN in image.metadata and not image.visible
    marks = {HIDDEN, SET_ASIDE} if waits else set()
    shown = [role for role, layer in layers.items() if layer.visible or marks & {*layer.metadata}]
    for role, layer in layers.items():
        if role in shown or (shown and role != "prediction"):
            continue
        if waits:
            layer.metadata[HIDDEN] = True
        else:
            layer.visible = True


def set_slices(layer: Labels, slices: Mapping[Place, NDArray[np.uint8]]) -> int:
    """Write (Y, X) labels into slices as one undo step; return how many voxels changed."""
    changed = 0
    with layer.block_history():
        for place, labels in slices.items():
            index = index_of(place)
            before = np.asarray(layer.data[index])
            voxels = np.nonzero(before != labels)
            if len(voxels[0]):
                slice_axes = tuple(np.full(len(voxels[0]), number) for number in index)
                # One refresh for all slices is enough.
                layer.data_setitem((*slice_axes, *voxels), labels[voxels], refresh=False)
                changed += len(voxels[0])
    if changed:
        layer.refresh(extent=False)
    return changed


def _common(image: Image, role: ReviewRole, **more: Any) -> dict[str, Any]:
    about = {
        "role": role,
        "case": layer_case(image),
        "image": image.unique_id,
        "source": str(layer_source(image) or ""),
        **more,
    }
    name = f"{layer_case(image)} {role}"
    return {"name": name, "metadata": {"bayes": about}, **layer_placement(image)}

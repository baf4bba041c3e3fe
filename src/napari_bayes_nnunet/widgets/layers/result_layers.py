"""The layers of a result: the one place where this plugin adds, changes or removes layers.

They are found by role and image in ``metadata["bayes"]``; users rename layers. Scale, units and
axis labels are those of the image, whose voxel frame they share.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Literal, TypeAlias

from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from ...core.heart.structures import structure_colors, structure_title
from .metadata import LayerData, bayes_metadata
from .result import SegmentationResult

ResultRole: TypeAlias = Literal["entropy", "mutual information", "prediction"]
ROLES: Final[tuple[ResultRole, ...]] = ("entropy", "mutual information", "prediction")
"""From bottom to top."""
CONTOUR_WIDTH = 1
"""Voxels; a wider outline would cover the rims of the entropy."""
ENTROPY_OPACITY = 0.6


def warm_up_imports() -> None:
    """Import what napari imports for its first labels, half a second long; for a thread."""
    import_module("pandas")


def add_image(viewer: Any, data: LayerData) -> Layer:
    """Add what a reader returned."""
    return viewer.add_layer(Layer.create(*data))


def put_result(
    viewer: Any, image: Image, result: SegmentationResult, *, mutual_information: bool
) -> None:
    """Show ``result`` over ``image`` in place of an earlier one; painted layers stay untouched."""
    for role, layer in result_layers(viewer, image).items():
        if layer.data is not _array(result, role):
            viewer.layers.remove(layer)
    present = result_layers(viewer, image)
    wanted = [role for role in ROLES if role != "mutual information" or mutual_information]
    for role in wanted:
        if role not in present:
            _add(viewer, image, result, role)
    refresh_result(viewer, image, result)


def refresh_result(viewer: Any, image: Image, result: SegmentationResult) -> None:
    """Redraw the layers whose arrays ``result`` has changed in place, and nothing else.

    Layers the user has deleted meanwhile do not come back.
    """
    for role, layer in result_layers(viewer, image).items():
        if layer.data is _array(result, role):
            bayes_metadata(layer)["reports"] = _reports(result)
            layer.refresh(extent=False)


def show_mutual_information(
    viewer: Any, image: Image, result: SegmentationResult, shown: bool
) -> None:
    """Add or remove the layer of the part of the entropy the members disagree on."""
    present = result_layers(viewer, image).get("mutual information")
    if shown and present is None:
        _add(viewer, image, result, "mutual information")
    elif not shown and present is not None:
        viewer.layers.remove(present)


def result_layers(viewer: Any, image: Image) -> dict[ResultRole, Layer]:
    """The layers this plugin has made for ``image``, by role."""
    found: dict[ResultRole, Layer] = {}
    for layer in viewer.layers:
        about = bayes_metadata(layer)
        if about.get("image") == image.unique_id and about.get("role") in ROLES:
            found[about["role"]] = layer
    return found


def result_layer(image: Image, result: SegmentationResult, role: ResultRole) -> Layer:
    """Make the layer of one of the arrays of ``result``, which it shares, over ``image``."""
    make = _prediction if role == "prediction" else _map
    return make(image, result, role)


def _add(viewer: Any, image: Image, result: SegmentationResult, role: ResultRole) -> None:
    """Insert the layer above the image and the results below it in ``ROLES``; keep the selection.

    A result of an image that was removed meanwhile is not shown.
    """
    if image not in viewer.layers:
        return
    results = result_layers(viewer, image).items()
    below = [image, *(layer for other, layer in results if _is_below(other, role))]
    place = 1 + max(viewer.layers.index(layer) for layer in below)
    selection, active = set(viewer.layers.selection), viewer.layers.selection.active
    viewer.layers.insert(place, result_layer(image, result, role))
    viewer.layers.selection = selection
    viewer.layers.selection.active = active


def _is_below(one: ResultRole, other: ResultRole) -> bool:
    return ROLES.index(one) < ROLES.index(other)


def _prediction(image: Image, result: SegmentationResult, role: ResultRole) -> Labels:
    layer = Labels(
        result.labels,
        **_common(image, result, role),
        **labels_look(result.structures),
        opacity=1.0,
    )
    layer.contour = CONTOUR_WIDTH
    layer.editable = False
    if hasattr(layer, "locked"):
        layer.locked = True
    return layer


def _map(image: Image, result: SegmentationResult, role: ResultRole) -> Image:
    """An uncertainty map. Its scale is fixed, so that cases can be compared."""
    layer = Image(
        _array(result, role),
        **_common(image, result, role),
        contrast_limits=(0.0, result.largest_entropy),
        colormap="inferno",
        blending="additive",
        opacity=ENTROPY_OPACITY,
        interpolation2d="nearest",
    )
    layer.editable = False
    if role == "entropy" and hasattr(layer, "colorbar"):
        layer.colorbar.visible = True
    return layer


def _common(image: Image, result: SegmentationResult, role: ResultRole) -> dict[str, Any]:
    about = {
        "role": role,
        "case": result.case,
        "image": image.unique_id,
        "source": str(result.source or ""),
        "geometry": result.geometry,
        "structures": dict(result.structures),
        "ensemble": result.ensemble,
        "method": result.settings.method,
    }
    return {
        "name": f"{result.case} {role}",
        "metadata": {"bayes": about},
        **frame_of(image),
    }


def frame_of(image: Image) -> dict[str, Any]:
    """Where the image lies: all our layers lie there too."""
    return {
        "scale": image.scale,
        "translate": image.translate,
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": image.affine.affine_matrix,
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def labels_look(structures: Mapping[str, int]) -> dict[str, Any]:
    """``colormap`` and ``features`` of a labels layer, so that the status bar names structures."""
    colors: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    for label, color in structure_colors(structures).items():
        colors[label] = color
    names = {label: structure_title(name) for name, label in structures.items() if label}
    index = [0, *sorted(names)]
    return {
        "colormap": DirectLabelColormap(color_dict=colors),
        "features": {
            "index": index,
            "structure": ["background", *(names[label] for label in index[1:])],
        },
    }


def _reports(result: SegmentationResult) -> dict[int | None, Any]:
    return {
        phase: state.report for phase, state in result.phases.items() if state.report is not None
    }


def _array(result: SegmentationResult, role: ResultRole) -> NDArray[Any]:
    arrays: dict[ResultRole, NDArray[Any]] = {
        "entropy": result.entropy,
        "mutual information": result.mutual_information,
        "prediction": result.labels,
    }
    return arrays[role]

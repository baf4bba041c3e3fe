"""Layers of a segmentation result.

They are found by role and image in ``metadata["bayes"]``, because users rename layers. They have
scale, units and axis labels of the image and share its voxel grid. Of the uncertainty maps at most
one is visible, because their values must not be added up.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from threading import Lock
from typing import Any, Final

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap
from napari.utils.colormaps.standardize_color import transform_color
from napari.utils.transforms import Affine
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from ...core.ensemble.maps import ENTROPY, MAPS
from ...core.heart.structures import structure_colors, structure_title
from ...core.steps import drain
from ...io.images.geometry import Geometry
from ..common.background import Background, single_shot
from ..common.canvas import SHADE, make_overlay
from .metadata import LayerData, bayes_metadata, is_copy, layer_grid, note_owner
from .result import SegmentationResult

UNCERTAINTY_MAPS: Final = {entry.title: entry for entry in MAPS.values()}
"""Role → map."""
WARM_UP_AFTER_MS = 1000
"""Delay of what is slow at the first labels, so that a dock opens first."""
ROLES: Final = (*UNCERTAINTY_MAPS, "prediction")
"""From bottom to top."""
CONTOUR_WIDTH = 1
"""Width in voxels; a wider outline would hide the entropy along the contours."""
MOST_COVERED: Final = 0.5
"""Opacity of a map at the end of its scale; at 0 it is transparent."""
MAP_COLORS: Final = ("#FFB000", "#FF0080")
"""Colours at the ends of the scale, unlike those of the structures, blood, muscle and air."""
NO_STRUCTURE_COLOR: Final = "#FF0000"
"""Colour of labels that are no structures, which another program may have drawn."""
_COLOR_STEPS: Final = 32
_WARMING_UP: Final = Lock()
_BAR_SIZE: Final = (15.0, 100.0)
"""Width and height of the colour bar in pixels."""
RESULT: Final = "bayes result"
"""Key in the metadata of an image."""
BEHIND: Final = "behind"
"""Key in our metadata of a layer whose result is not the chosen one: whether it was visible."""
FORGOTTEN: Final = "forgotten"
"""Key in our metadata of a layer in which a review showed its study when its result was removed."""
NAME: Final = "name"
"""Key in our metadata of a layer: the name that it was given here."""


class LabelsWarmUp(QObject):
    """What napari does once, done in the thread of a dock: its first labels take half a second.

    It begins after a second. The units are loaded before, because loading them in two threads at a
    time fails.
    """

    def __init__(self, background: Background) -> None:
        super().__init__(background)
        self._background = background
        single_shot(self, self._start, WARM_UP_AFTER_MS).start()

    def _start(self) -> None:
        Affine(ndim=1)
        self._background.run(warm_up)


def warm_up() -> None:
    """Make labels unless they were made, in one thread at a time, as napari's warnings demand."""
    with _WARMING_UP:
        _make_first_labels()


@cache
def _make_first_labels() -> None:
    import_module("pandas")
    import_module("scipy.ndimage")
    Labels(np.zeros((1, 1), np.uint8), **labels_look({"LV": 1}))
    # The dashes of lines, which the labels' polygon is drawn with, are computed once.
    with suppress(ImportError, AttributeError):
        import_module("vispy.visuals.line.dash_atlas").DashAtlas()


def add_image(viewer: Any, data: LayerData) -> Layer:
    """Add the layer that a reader returned."""
    return viewer.add_layer(Layer.create(*data))


def keep_result(image: Image, result: SegmentationResult) -> None:
    """Keep ``result`` with its image, in place of an earlier one of its method, as the chosen one.

    It outlives the dock that made it.
    """
    method = result.settings.method
    results = {**_kept(image).get("results", {}), method: result}
    image.metadata[RESULT] = {"image": image.unique_id, "chosen": method, "results": results}


def kept_result(image: Image) -> SegmentationResult | None:
    """Return the chosen result kept with an image; None for a copy of the layer."""
    return kept_results(image).get(_kept(image).get("chosen", ""))


def kept_results(image: Image) -> dict[str, SegmentationResult]:
    """Return the results kept with an image by method, the oldest first."""
    return dict(_kept(image).get("results", {}))


def forget_result(viewer: Any, image: Image, method: str, *, is_reviewed: bool = False) -> None:
    """Remove the result of a method and its layers; the last of the others becomes the chosen.

    While the image is reviewed, the layers in front stay, because the review shows its study there.
    They are removed when a result of another method is put.
    """
    results = kept_results(image)
    results.pop(method, None)
    chosen = next(reversed(results), "")
    image.metadata[RESULT] = {"image": image.unique_id, "chosen": chosen, "results": results}
    layers = [layer for layer in _all_layers(viewer, image) if _method(layer) == method]
    gone = [layer for layer in layers if not is_reviewed or is_behind(layer)]
    for layer in layers:
        bayes_metadata(layer)[FORGOTTEN] = True
    remove_layers(viewer, *gone)
    _name_by_method(viewer, image)


def remove_results(viewer: Any, image: Image) -> None:
    """Remove the layers of results that are not kept with ``image``."""
    kept = kept_results(image)
    gone = [
        layer
        for layer in _all_layers(viewer, image)
        if FORGOTTEN in bayes_metadata(layer) or _method(layer) not in kept
    ]
    remove_layers(viewer, *gone)


def remove_layers_of(viewer: Any, image: Image) -> None:
    """Remove the layers of all results of an image that was removed, but for edited labels."""
    gone = [
        layer
        for layer in viewer.layers
        if image not in viewer.layers
        and bayes_metadata(layer).get("image") == image.unique_id
        and bayes_metadata(layer).get("role") != "edited"
        and not is_copy(layer)
    ]
    remove_layers(viewer, *gone)


def _kept(image: Image) -> dict[str, Any]:
    kept = image.metadata.get(RESULT, {})
    # napari copies the metadata with a layer, so a copy would seem to own the results.
    return kept if kept.get("image") == image.unique_id else {}


def steps_to_put(
    viewer: Any,
    image: Image,
    result: SegmentationResult,
    *,
    shown: str = ENTROPY.title,
    visible: bool = True,
) -> Generator[None, None, None]:
    """Show ``result`` over ``image``, with the entropy and the ``shown`` map, or hidden.

    Layers of an earlier result of its method take its arrays. Those of other methods stay, hidden
    and named by their method. napari needs long for each new layer, so each is a step.
    """
    _bring_method_to_front(viewer, image, result.settings.method)
    present = result_layers(viewer, image)
    wanted = (ENTROPY.title, shown, "prediction")
    roles = [role for role in ROLES if role in wanted and _array(result, role) is not None]
    for role, layer in present.items():
        if layer.data is not _array(result, role):
            if role in roles:
                _replace(layer, image, result, role)
            else:
                viewer.layers.remove(layer)
    for role in roles:
        if role not in present:
            yield
            yield from _steps_to_add(viewer, image, result, role, visible=visible)
    yield
    refresh_result(viewer, image, result)
    _name_by_method(viewer, image)


def _steps_to_add(
    viewer: Any, image: Image, result: SegmentationResult, role: str, *, visible: bool
) -> Generator[None, None, None]:
    """Add a layer above the image, in the order of ``ROLES``, unless the image was removed.

    Layer, overlays and first drawing take napari 30 to 80 ms each, so each is a step.
    """
    layer = result_layer(image, result, role)
    layer.visible = False
    yield
    if image not in viewer.layers:
        return
    show_tools = hold_tools(layer)
    _insert(viewer, image, layer, role)
    yield
    show_tools()
    if visible and hasattr(layer, "colorbar"):
        make_overlay(layer.colorbar)
    if visible:
        yield
        layer.visible = True
    if role in UNCERTAINTY_MAPS:
        yield
        _show_bar(layer)


def _bring_method_to_front(viewer: Any, image: Image, method: str) -> None:
    """Hide the layers of other methods, and show those of ``method`` as they were before."""
    layers = _all_layers(viewer, image)
    for layer in (layer for layer in layers if _method(layer) != method):
        if FORGOTTEN in bayes_metadata(layer):
            viewer.layers.remove(layer)
        elif not is_behind(layer):
            bayes_metadata(layer)[BEHIND] = layer.visible
            layer.visible = False
    for layer in (layer for layer in layers if _method(layer) == method):
        bayes_metadata(layer).pop(FORGOTTEN, None)
        if is_behind(layer):
            layer.visible = bayes_metadata(layer).pop(BEHIND)


def _replace(layer: Layer, image: Image, result: SegmentationResult, role: str) -> None:
    """Let a layer show another result of its method, which is quicker than a new layer."""
    new = result_layer(image, result, role)
    name = layer.metadata["bayes"].get(NAME, new.name)
    layer.metadata["bayes"] = {**new.metadata["bayes"], NAME: name}
    note_owner(layer)
    if isinstance(layer, Labels):
        layer.colormap, layer.features = new.colormap, new.features
    else:
        layer.contrast_limits_range = new.contrast_limits_range
        layer.contrast_limits = new.contrast_limits
    layer.data = new.data


def _name_by_method(viewer: Any, image: Image) -> None:
    """Name layers by their method if there are several; names that the user has given stay."""
    layers = _all_layers(viewer, image)
    has_several = len({_method(layer) for layer in layers}) > 1
    for layer in layers:
        about = bayes_metadata(layer)
        name = _name(about["case"], about["role"], _method(layer) if has_several else "")
        before = about.get(NAME, name)
        # napari adds " [1]" to the second layer of one name.
        if name != before and layer.name.startswith(before):
            layer.name = name
        about[NAME] = name


def _method(layer: Layer) -> str:
    return str(bayes_metadata(layer).get("method", ""))


def _name(case: str, role: str, method: str = "") -> str:
    """Return the name of a layer: "heart prediction", "heart entropy, bit (single)".

    napari shortens long names in the middle. Its colour bar has no unit.
    """
    unit = UNCERTAINTY_MAPS[role].unit if role in UNCERTAINTY_MAPS else ""
    return f"{case} {role}{f', {unit}' if unit else ''}{f' ({method})' if method else ''}"


def refresh_result(viewer: Any, image: Image, result: SegmentationResult) -> None:
    """Redraw the layers of ``result`` after its arrays were changed in place.

    Layers that the user has deleted are not added again.
    """
    for role, layer in result_layers(viewer, image).items():
        # The layers may show another result of the image.
        if layer.data is _array(result, role):
            bayes_metadata(layer)["reports"] = _reports(result)
            layer.refresh(extent=False)


def show_map(viewer: Any, image: Image, result: SegmentationResult, role: str) -> None:
    """Show the map of a role in place of the others, which are removed but for the entropy."""
    layers = result_layers(viewer, image)
    further = layers.keys() & UNCERTAINTY_MAPS.keys() - {ENTROPY.title, role}
    was_visible = any(layers[other].visible for other in further)
    for other in further:
        viewer.layers.remove(layers[other])
    if role in layers:
        layers[role].visible = was_visible or layers[role].visible
    elif role != ENTROPY.title:
        drain(_steps_to_add(viewer, image, result, role, visible=True))


def result_layers(viewer: Any, image: Image) -> dict[str, Layer]:
    """Return the layers of the chosen result of ``image`` by role; the user's copies do not count.

    Layers of other methods do not count either.
    """
    layers = (layer for layer in _all_layers(viewer, image) if not is_behind(layer))
    return {bayes_metadata(layer)["role"]: layer for layer in layers}


def is_behind(layer: Layer) -> bool:
    """Return whether a layer belongs to a result that is not the chosen one of its image."""
    return BEHIND in bayes_metadata(layer)


def _all_layers(viewer: Any, image: Image) -> list[Layer]:
    """Return the layers of all results of ``image``."""
    return [
        layer
        for layer in viewer.layers
        if bayes_metadata(layer).get("image") == image.unique_id
        and bayes_metadata(layer).get("role") in ROLES
        and not is_copy(layer)
    ]


def result_layer(image: Image, result: SegmentationResult, role: str) -> Layer:
    """Make the layer of one array of ``result``; it shares the array and the grid of ``image``."""
    make = _make_prediction if role == "prediction" else _make_map
    layer = make(image, result, role)
    note_owner(layer)
    return layer


def insert_layer(viewer: Any, index: int, layer: Layer) -> None:
    """Insert a layer before ``index``, and keep the selection.

    Nothing listens meanwhile, or napari would show the controls of the new layer for a moment.
    """
    selection = viewer.layers.selection
    selected, active = set(selection), selection.active
    with selection.events.blocker_all():
        viewer.layers.insert(index, layer)
        viewer.layers.selection = selected
        viewer.layers.selection.active = active


def remove_layers(viewer: Any, *layers: Layer | None) -> None:
    """Remove those of the layers that are still in the viewer, and keep the selection.

    They are removed in one batch, because napari needs a quarter of a second after each removal.
    """
    present = [layer for layer in layers if layer in viewer.layers]
    if not present:
        return
    selection, chosen = set(viewer.layers.selection), viewer.layers.selection.active
    with viewer.layers.batched_update():
        for layer in present:
            viewer.layers.remove(layer)
    if chosen not in present:
        viewer.layers.selection = selection - {*present}
        viewer.layers.selection.active = chosen


def hold_tools(layer: Layer) -> Callable[[], None]:
    """Hide napari's overlays of the tools of new labels; return what shows them again.

    napari makes them when they are shown with their layer.
    """
    tools = [tool for tool in getattr(layer, "_overlays", {}).values() if tool.visible]

    def show(visible: bool = True) -> None:
        for tool in tools:
            tool.visible = visible

    show(False)
    return show


def _insert(viewer: Any, image: Image, layer: Layer, role: str) -> None:
    results = result_layers(viewer, image).items()
    below = [image, *(other for lower, other in results if _is_below(lower, role))]
    insert_layer(viewer, 1 + max(viewer.layers.index(other) for other in below), layer)
    if role in UNCERTAINTY_MAPS:
        layer.events.visible.connect(partial(_show_one_map, viewer, image, layer))


def _show_bar(layer: Layer) -> None:
    """Show the colour bar of a map once the map is visible, as napari needs 30 ms to make it."""

    def show(event: object = None) -> None:
        if layer.visible:
            layer.events.visible.disconnect(show)
            layer.colorbar.visible = True

    if hasattr(layer, "colorbar"):
        layer.events.visible.connect(show)
        show()


def _show_one_map(viewer: Any, image: Image, shown: Layer, event: object = None) -> None:
    """Hide the other maps, of any method, while this one is visible."""
    if shown.visible and shown in viewer.layers:
        for layer in _all_layers(viewer, image):
            if layer is not shown and bayes_metadata(layer)["role"] in UNCERTAINTY_MAPS:
                layer.visible = False


def _is_below(lower: str, upper: str) -> bool:
    return ROLES.index(lower) < ROLES.index(upper)


def _make_prediction(image: Image, result: SegmentationResult, role: str) -> Labels:
    layer = Labels(
        result.labels,
        **_common(image, result, role),
        **labels_look(result.structures),
        opacity=1.0,
    )
    layer.contour = CONTOUR_WIDTH
    layer.editable = False
    # New in napari 0.9; it guards against deletion.
    if hasattr(layer, "locked"):
        layer.locked = True
    return layer


def _make_map(image: Image, result: SegmentationResult, role: str) -> Image:
    """Return an uncertainty map, with a fixed scale so that cases can be compared."""
    layer = Image(
        _array(result, role),
        **_common(image, result, role),
        contrast_limits=(0.0, UNCERTAINTY_MAPS[role].end(result.classes)),
        colormap=map_colormap(),
        # Additive maps that are visible together add up their colours and hide the anatomy.
        blending="translucent_no_depth",
        opacity=1.0,
        interpolation2d="linear",
    )
    layer.editable = False
    if hasattr(layer, "colorbar"):
        layer.colorbar.update(
            {
                "position": "bottom_right",
                "size": _BAR_SIZE,
                "color": "white",
                "box_color": SHADE,
            }
        )
    return layer


def map_colormap() -> Colormap:
    """Return colours that cover nothing at 0, and at most half of the image at the other end."""
    share = np.linspace(0.0, 1.0, _COLOR_STEPS)[:, None]
    low, high = transform_color([*MAP_COLORS])
    colors = (1 - share) * low + share * high
    colors[:, 3:] = MOST_COVERED * np.sqrt(share)  # so that small values can be seen
    return Colormap(colors, name="uncertainty")


def _common(image: Image, result: SegmentationResult, role: str) -> dict[str, Any]:
    about = {
        "role": role,
        "case": result.case,
        "image": image.unique_id,
        "source": str(result.source or ""),
        "geometry": result.geometry,
        "structures": dict(result.structures),
        "ensemble": result.ensemble,
        "method": result.settings.method,
        NAME: _name(result.case, role),
    }
    return {
        "name": about[NAME],
        "metadata": {"bayes": about},
        **layer_placement(image),
    }


def layer_placement(image: Image) -> dict[str, Any]:
    """Return the placement of an image, which all layers made for it share."""
    return {
        "scale": image.scale,
        "translate": image.translate,
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": image.affine.affine_matrix,
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def set_voxel_size(viewer: Any, image: Image, geometry: Geometry) -> None:
    """Give an image and all layers made for it the voxel size of ``geometry``.

    ``geometry`` replaces the one that was read with the image. Time keeps its step and unit.
    """
    if "geometry" in bayes_metadata(image):
        image.metadata["bayes"]["geometry"] = geometry
    grid = layer_grid(geometry)
    for layer in viewer.layers:
        is_made_for_it = bayes_metadata(layer).get("image") == image.unique_id
        if layer is image or (is_made_for_it and layer.ndim == image.ndim):
            # A layer that the user has mirrored stays mirrored.
            steps = np.copysign(grid["scale"][-3:], layer.scale[-3:])
            layer.units = (*layer.units[:-3], *grid["units"][-3:])
            if not np.allclose(layer.scale[-3:], steps):
                layer.scale = (*layer.scale[:-3], *steps)


def labels_look(structures: Mapping[str, int]) -> dict[str, Any]:
    """Return ``colormap`` and ``features`` of labels; the status bar then names structures.

    Labels that are no structures are red, so that they can be found and painted over.
    """
    colors: dict[int | None, str] = {None: NO_STRUCTURE_COLOR, 0: "transparent"}
    for label, color in structure_colors(structures).items():
        colors[label] = color
    names = {label: structure_title(name) for name, label in structures.items() if label}
    # napari finds the name of a voxel by its label in this column.
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


def _array(result: SegmentationResult, role: str) -> NDArray[Any] | None:
    """Return the values of a layer; None for a map that the study of the result lacks."""
    return result.labels if role == "prediction" else result.maps.get(UNCERTAINTY_MAPS[role].name)

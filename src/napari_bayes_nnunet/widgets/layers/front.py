"""Image in front of the others, because one patient is on screen at a time."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Any, Final

from napari.layers import Image, Labels, Layer

from .image_input import is_segmentable
from .metadata import bayes_metadata, layer_case
from .result_layers import BEHIND, is_behind
from .viewing import show_in_reading_orientation, show_place, shown_place

HIDDEN, SET_ASIDE = "bayes_nnunet_hidden", "bayes_nnunet_set_aside"
"""Keys in the metadata of layers that were hidden to show another image.

They are not among this plugin's own metadata, which layers of other readers lack.
"""
SEE_THROUGH: Final = ("additive", "minimum", "multiplicative")
"""Blending modes that do not cover the layers below."""
COVERS_FROM: Final = 0.8
"""Lowest opacity at which a layer covers those below."""


def image_in_front(viewer: Any, *, opaque: bool = False) -> Image | None:
    """Return the uppermost visible image, None if there is none or images are side by side.

    Results of this plugin and pictures do not count. With ``opaque``, pictures count, but no
    see-through images.
    """
    # Side by side, no layer covers another.
    if viewer.canvas.grid.enabled:
        return None
    for layer in reversed(viewer.layers):
        counts = is_segmentable(layer) or (opaque and is_picture(layer))
        shown = counts and layer.visible and layer.opacity > 0
        if shown and (not opaque or _covers(layer)):
            assert isinstance(layer, Image)
            return layer
    return None


def image_of_labels(viewer: Any) -> Image | None:
    """Return the image of visible layers of this plugin, which may itself be hidden."""
    if viewer.canvas.grid.enabled:
        return None
    owners = {bayes_metadata(layer).get("image") for layer in viewer.layers if layer.visible}
    return next((layer for layer in viewer.layers if layer.unique_id in owners), None)


def is_covered(viewer: Any, image: Image) -> bool:
    """Return whether another image lies over this one, or is shown in its place."""
    return image_in_front(viewer, opaque=True) not in (None, image)


def bring_to_front(viewer: Any, *images: Image) -> bool:
    """Show ``images``, the channels of one scan, and hide other images with their layers.

    Layers of the first image that this plugin has hidden are shown again, but those of a result
    that is not the chosen one only once it is chosen. Layers that belong to no image stay as they
    are. Images that the user has hidden stay hidden, unless another image is in front. Returns
    whether anything was hidden or shown.
    """
    first, changed = images[0], False
    was_covered = image_in_front(viewer) not in (None, *images)
    for layer in list(viewer.layers):
        visible = layer.visible
        waits_for = layer.metadata.get(HIDDEN, True)
        if layer not in images and _is_of_another(viewer, layer, first):
            hide(layer)
        elif waits_for not in (True, first.unique_id):
            continue  # labels that came while another image was in front
        else:
            flags = [layer.metadata.pop(flag, False) for flag in (HIDDEN, SET_ASIDE)]
            if any(flags) and is_behind(layer):
                bayes_metadata(layer)[BEHIND] = True  # is shown once its result is chosen
            elif any(flags) or (was_covered and layer in images):
                layer.visible = True
        changed |= layer.visible != visible
    if changed:
        # The image that was in front may have been turned in another way.
        show_in_reading_orientation(viewer, first)
        show_place(viewer, first, shown_place(viewer, first))
    return changed


def hide(layer: Layer, image: Image | None = None) -> None:
    """Hide a layer until its image is brought to the front; for the user's labels, ``image``."""
    if layer.visible:
        waits_for = image.unique_id if image is not None and is_no_candidate(layer) else True
        layer.metadata[HIDDEN] = waits_for
    layer.visible = False


def set_aside(viewer: Any, image: Image) -> None:
    """Hide the new layers of an image that is not in front, until it is brought to the front."""
    for layer in viewer.layers:
        if bayes_metadata(layer).get("image") == image.unique_id and layer.visible:
            layer.metadata[SET_ASIDE] = True
            layer.visible = False


def is_set_aside(viewer: Any, image: Image) -> bool:
    """Return whether ``image`` or its new layers are still hidden by this module."""
    new = [
        layer
        for layer in viewer.layers
        if SET_ASIDE in layer.metadata and bayes_metadata(layer).get("image") == image.unique_id
    ]
    hidden = [image] if HIDDEN in image.metadata else []
    return any(not layer.visible for layer in (*hidden, *new))


def _covers(layer: Layer) -> bool:
    return layer.opacity >= COVERS_FROM and str(layer.blending) not in SEE_THROUGH


def is_foreign(layer: Layer, image: Image) -> bool:
    """Return whether a layer has no place in the review of ``image``.

    It is another image, lies on another one, or is the user's and cannot be segmented.
    """
    if layer.unique_id == image.unique_id:
        return False
    owner = bayes_metadata(layer).get("image", image.unique_id)
    return owner != image.unique_id or is_segmentable(layer) or is_no_candidate(layer)


def is_no_candidate(layer: Layer) -> bool:
    """Return whether a layer is the user's, but cannot be segmented: a picture, or labels."""
    is_mask = isinstance(layer, Labels) and bayes_metadata(layer).get("role", "labels") == "labels"
    return is_mask or is_picture(layer)


def is_picture(layer: Layer) -> bool:
    """Return whether a layer is an image that cannot be segmented, such as a photo."""
    is_ours = bool(bayes_metadata(layer))
    return isinstance(layer, Image) and not is_ours and not is_segmentable(layer)


def _is_of_another(viewer: Any, layer: Layer, image: Image) -> bool:
    """Return whether a layer is another image, or belongs to one."""
    about = bayes_metadata(layer)
    if owner := about.get("image"):
        return bool(owner != image.unique_id)
    if about.get("role") != "labels":
        return is_segmentable(layer) or is_picture(layer)
    # Files of labels are named after their image: patient011_frame01 and patient011_frame01_gt.
    shared = {
        other: _shared_words(layer_case(other), layer_case(layer))
        for other in viewer.layers
        if is_segmentable(other)
    }
    return shared.get(image, 0) < max(shared.values(), default=0)


def _shared_words(first: str, second: str) -> int:
    """Return the number of words that two names share at their beginning."""
    words = zip(*(re.split(r"[\W_]+", name.lower()) for name in (first, second)), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], words))

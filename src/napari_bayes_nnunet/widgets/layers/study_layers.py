"""Read-only layers of a study; the Review dock opens a study for corrections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari.layers import Image, Labels, Layer

from ...io import DataError
from ...io.study.info import find_image, read_study_image
from ...io.study.readings import own_review
from ...io.study.study import Study, read_study
from ..common.settings import Settings
from .metadata import layer_data
from .result import SegmentationResult
from .result_layers import result_layer
from .review_layers import edited_layer

IMAGE_NOT_FOUND = (
    "{image} was not found. Copy it next to {folder}, or open the study in the Review dock and "
    "choose the image there."
)


def study_layers(folder: Path) -> list[Layer]:
    """Return image, entropy, prediction and corrected labels, none of them editable.

    Without the corrected labels if they are those of another reader, see `own_review`.

    ``metadata["bayes"]["study"]`` of each is the folder. Raises DataError if the study cannot be
    read, or if its image is missing or has changed.
    """
    # Layers show nothing of the posteriors.
    study = read_study(folder, posteriors=False)
    image = _read_image(study)
    result = SegmentationResult.from_study(study)
    entropy = result_layer(image, result, "entropy")
    prediction = result_layer(image, result, "prediction")
    layers = [image, entropy, prediction]
    if own_review(folder, Settings().kept.reader) is None:
        prediction.visible = False  # most of its outlines coincide with the edited labels
        layers.append(_make_edited(image, study))
    for layer in layers:
        layer.metadata["bayes"]["study"] = str(folder)
    return layers


def _read_image(study: Study) -> Image:
    info = study.info
    file = find_image(info, study.folder)
    if file is None:
        name = info.image.name if info.image is not None else "The image"
        raise DataError(IMAGE_NOT_FOUND, image=name, folder=study.folder)
    volume = read_study_image(info, file)
    data = layer_data(replace(volume, patient=study.patient), case=info.case)
    image = Layer.create(*data)
    assert isinstance(image, Image)
    return image


def _make_edited(image: Image, study: Study) -> Labels:
    """Return the corrected labels; not editable, because changes would not reach the study."""
    info = study.info
    layer = edited_layer(image, study.edited, info.structures, info.geometry, study.folder)
    layer.editable = False
    return layer

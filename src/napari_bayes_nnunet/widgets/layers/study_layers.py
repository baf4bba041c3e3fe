"""A study as layers to look at; to correct it, the dock Review opens it."""

from __future__ import annotations

from pathlib import Path

from napari.layers import Image, Labels, Layer

from ...io import DataError
from ...io.images.nifti import read_volume
from ...io.study.study import Study, find_image, read_study
from .metadata import layer_data
from .result import SegmentationResult
from .result_layers import result_layer
from .review_layers import edited_layer


def study_layers(folder: Path) -> list[Layer]:
    """Image, entropy, prediction and corrected labels, none of them to be painted in.

    ``metadata["bayes"]["study"]`` of each is the folder. Raises DataError, one sentence, where
    the study cannot be read or its image is not found or has changed.
    """
    study = read_study(folder, posteriors=False)
    image = _image(study)
    result = SegmentationResult.of_study(study)
    entropy = result_layer(image, result, "entropy")
    prediction = result_layer(image, result, "prediction")
    prediction.visible = False  # most of its outlines are those of the edited labels
    layers = [image, entropy, prediction, _edited(image, study)]
    for layer in layers:
        layer.metadata["bayes"]["study"] = str(folder)
    return layers


def _image(study: Study) -> Image:
    info = study.info
    file = find_image(info, study.folder)
    if file is None:
        name = info.image.name if info.image is not None else "The image"
        raise DataError(
            f"{name} was not found: put it beside {study.folder}, or open the study in the dock "
            "Review and choose the image there."
        )
    volume = read_volume(file, allow_blank=True)
    image = Layer.create(*layer_data(volume, case=info.case))
    assert isinstance(image, Image)
    return image


def _edited(image: Image, study: Study) -> Labels:
    """What is painted here would not come into the study, so nothing can be."""
    info = study.info
    layer = edited_layer(image, study.edited, info.structures, info.geometry, study.folder)
    layer.editable = False
    return layer

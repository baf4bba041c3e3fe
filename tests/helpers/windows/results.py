"""Results on screen."""

from typing import Any

from napari.layers import Image

from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.widgets.layers.result import SegmentationResult
from napari_bayes_nnunet.widgets.layers.result_layers import steps_to_put


def put_result(viewer: Any, image: Image, result: SegmentationResult, **options: Any) -> None:
    """Do all `steps_to_put` at once."""
    drain(steps_to_put(viewer, image, result, **options))

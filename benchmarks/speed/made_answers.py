"""Answers of random members, so that the heart's window and the stopping can be timed with them.

Random members find no heart. They compute all that they are asked, and the reference takes the
place of what they answer: the window is where a trained ensemble would have it. Because all members
agree, slices stop as early as they can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.image_check import checked_image
from napari_bayes_nnunet.app.segmentation.member_predictions import InputImage, image_digest

CONFIDENCE = 0.97
"""Probability of the label; the entropy must stay below the one that widens the window."""


def answer_as(
    ensemble: Ensemble,
    phases: Sequence[NDArray[Any]],
    references: Sequence[NDArray[Any]],
    spacing: Any,
) -> None:
    """Let the members of an ensemble answer with the labels (Z, Y, X) of the references in turn."""
    answers = {
        image_digest(checked_image(image, spacing)[0], spacing): references[n % len(references)]
        for n, image in enumerate(phases)
    }
    members, classes = ensemble._members, len(ensemble.folder.labels)
    predict = members.predict

    def predict_and_replace(forward_pass: Any, images: Any, **options: Any) -> list[Any]:
        predict(forward_pass, images, **options)
        return [_probabilities(image, answers[image.digest], classes) for image in images]

    members.predict = predict_and_replace  # type: ignore[method-assign]


def _probabilities(image: InputImage, labels: NDArray[Any], classes: int) -> Any:
    """Return the (C, Z, Y, X) probabilities of what is computed of an image."""
    import torch

    voxels = image.computed_box if image.cutout is None else image.cutout.voxels
    found = labels[voxels] == np.arange(classes).reshape(-1, 1, 1, 1)
    rest = (1 - CONFIDENCE) / (classes - 1)
    return torch.from_numpy(np.where(found, CONFIDENCE, rest).astype(np.float32))

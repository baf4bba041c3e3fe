"""Kind of an image: like the training images or not, and a short-axis cine or not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.metrics.failure import FailureAssessment
from ...core.metrics.feature_distance import FeatureRule, fit_features
from .case_signs import FEATURE_DISTANCE, MUSCLE_TO_BLOOD

UNLIKE_TRAINING: Final = (
    "The image is unlike the training images. Check every slice, and do not rely on intervals and "
    "scores (feature distance {distance:.0f}, at most {usual:.0f} in the validation patients)."
)
LOOKS_LIKE_NO_CINE: Final = (
    "The image does not look like a short-axis cine, because {reason}. Check that the right series "
    "was chosen."
)
OTHER_FEATURES: Final = "its features are very far from those of the training images"
STRANGE_CONTRAST: Final = (
    "the predicted muscle has {share:.0f} % of the intensity of the blood, instead of {low:.0f} to "
    "{high:.0f} %"
)
BLACK_BLOOD: Final = "the predicted blood is as dark as the darkest parts of the image"
NO_HEART: Final = "hardly any left ventricle was found"
OTHER_SHAPES: Final = "the predicted shapes are not those of a heart"
UNLIKE_FACTOR: Final = 1.75
"""Multiple of the validation patients' distance from which an image is unlike the training images.

See docs/explanation/failure.md, where it is measured on another scanner.
"""
OTHER_FACTOR: Final = 2.5
"""Multiple of this distance from which an image is not a short-axis cine."""
STRANGE_SCORE: Final = 6.0
"""Failure score, in multiples of the usual range, from which no heart was segmented."""
RATIO_MARGIN: Final = 1.5
"""Factor by which the ratio of muscle to blood may leave the range of the validation cases."""
MOST_RATIO: Final = 0.95
"""Ratio of muscle to blood from which blood is not brighter than muscle."""


@dataclass(frozen=True, kw_only=True)
class ImageRule:
    """Usual ``features`` and the range of the ratio of muscle to blood in validation cases."""

    features: FeatureRule
    muscle_to_blood: tuple[float, float]

    def is_unlike_training(self, signs: Mapping[str, float]) -> bool:
        """Return whether the features of an image with these signs are unlike those in training."""
        distance = signs.get(FEATURE_DISTANCE, math.nan)
        return distance > UNLIKE_FACTOR * self.features.threshold

    def why_no_cine(
        self, signs: Mapping[str, float], failure: FailureAssessment | None = None
    ) -> str:
        """Return why an image with these signs is not a short-axis cine, as a clause, or ""."""
        if signs.get(FEATURE_DISTANCE, math.nan) > OTHER_FACTOR * self.features.threshold:
            return OTHER_FEATURES
        ratio, (low, high) = signs.get(MUSCLE_TO_BLOOD, math.nan), self.muscle_to_blood
        if math.isnan(ratio):
            return NO_HEART
        if failure is not None and failure.score > STRANGE_SCORE:
            return OTHER_SHAPES
        if ratio == math.inf:
            return BLACK_BLOOD
        if not low / RATIO_MARGIN <= ratio <= min(high * RATIO_MARGIN, MOST_RATIO):
            return STRANGE_CONTRAST.format(share=100 * ratio, low=100 * low, high=100 * high)
        return ""


def fit_image_rule(
    training: Sequence[NDArray[np.floating]],
    validation: Sequence[NDArray[np.floating] | None],
    ratios: Sequence[float],
    patients: Sequence[str],
) -> ImageRule | None:
    """Return the rule for the features of ``training`` (N) and ``validation`` (M) images.

    ``ratios`` (M,) of muscle to blood and ``patients`` (M,) are those of the validation images.
    None with too few images or patients, or without features or ratios.
    """
    known = [ratio for ratio in ratios if math.isfinite(ratio)]
    features = [own for own in validation if own is not None]
    if len(features) < len(validation) or not known or not len(training):
        return None
    rule = fit_features(np.array(training), np.array(features), patients)
    if rule is None:
        return None
    return ImageRule(features=rule, muscle_to_blood=(min(known), max(known)))

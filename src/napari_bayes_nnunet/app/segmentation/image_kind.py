"""Signs of a failed result, and the kind of an image: like the training images, a cine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core.heart.measurements import voxel_ml
from ...core.heart.plausibility import fragment_share, open_wall_share
from ...core.heart.slice_volumes import heart_structures
from ...core.metrics.border import far_from_contours
from ...core.metrics.cine_rule import CineRule, fit_cine_rule
from ...core.metrics.failure import FailureAssessment
from ...core.metrics.feature_distance import FeatureRule, fit_features
from ...core.slice_axis import find_slice_axis
from ...core.types import LabelMap, Spacing

MUSCLE_TO_BLOOD: Final = "muscle_to_blood"
FEATURE_DISTANCE: Final = "feature_distance"
CINE_SCORE: Final = "cine_score"
OF_THE_IMAGE: Final = (MUSCLE_TO_BLOOD, FEATURE_DISTANCE, CINE_SCORE)
"""Signs that are no part of the failure score."""


def failure_signs(
    labels: LabelMap,
    mutual_information: NDArray[np.floating],
    spacing: Spacing,
    structures: Mapping[str, int],
    agreement: Mapping[str, float],
) -> dict[str, float]:
    """Return the signs by name, each higher for a worse expected result.

    ``labels`` and ``mutual_information`` (bit, of the untempered members) are (Z, Y, X),
    ``spacing`` (z, y, x) in mm, ``agreement`` the pairwise Dice of the members. ``disagreement`` is
    1 - the mean agreement (NaN for a single member), which is 0 for a part that was not found;
    ``distant_information`` is log(1 + x) for the mutual information x more than 3 mm from every
    contour, in mL · bit; ``fragments`` is the share of voxels in separate pieces, and ``open_wall``
    that of the cavity's contour without muscle.
    """
    heart = heart_structures(structures)
    missing = {label for label in heart.values() if not (labels == label).any()}
    known = [
        # Members that all find nothing agree perfectly, and the failure would pass unnoticed.
        0.0 if structures[name] in missing else value
        for name, value in agreement.items()
        if math.isfinite(value)
    ]
    axis = find_slice_axis(labels.shape, spacing) or 0
    labels = np.moveaxis(labels, axis, 0)
    steps = (spacing[axis], *(step for n, step in enumerate(spacing) if n != axis))
    distant = np.moveaxis(mutual_information, axis, 0)[far_from_contours(labels, steps)]
    amount = float(distant.sum(dtype=np.float64)) * voxel_ml(spacing)
    signs = {
        "disagreement": 1 - fmean(known) if known else math.nan,
        "distant_information": math.log1p(amount),
        "fragments": fragment_share(labels, structures.values()),
    }
    if "LV" in heart and "MYO" in heart:
        signs["open_wall"] = open_wall_share(labels, heart["LV"], heart["MYO"])
    return signs


UNLIKE_TRAINING: Final = (
    "The image is unlike the training images, so there are no intervals. Check every slice "
    "(feature distance {distance:.0f}, at most {usual:.0f} in the validation patients)."
)
MAY_BE_NO_CINE: Final = (
    "This may not be a short-axis cine, because {reason}, so there are no intervals. Check that "
    "the right series was chosen."
)
OTHER_KIND: Final = "in the heart it looks less like the training cines than like other images"
STRANGE_CONTRAST: Final = (
    "the predicted muscle has {share:.0f} % of the intensity of the blood, instead of {low:.0f} to "
    "{high:.0f} %"
)
BLACK_BLOOD: Final = "the predicted blood is as dark as the darkest parts of the image"
NO_HEART: Final = "hardly any left ventricle was found"
OTHER_SHAPES: Final = "the predicted shapes are not those of a heart"
UNCHECKED: Final = (
    "Not checked: {what}. Calibrate the ensemble {needs}, or check the image yourself."
)
_NEEDS_PATIENTS: Final = "for these settings with 5 or more validation patients"
CHECKS: Final = {
    "whether this is a short-axis cine": "with 40 or more training images",
    "whether the image is like the training images": _NEEDS_PATIENTS,
    "whether the segmentation has failed": _NEEDS_PATIENTS,
}
"""Check → what a calibration with this check needs."""
UNLIKE_FACTOR: Final = 1.75
"""Multiple of the validation patients' distance from which an image is unlike the training images.

See docs/explanation/failure.md, where it is measured on another scanner.
"""
STRANGE_SCORE: Final = 6.0
"""Failure score, in multiples of the usual range, from which no heart was segmented."""
RATIO_MARGIN: Final = 1.5
"""Factor by which the ratio of muscle to blood may leave the range of the validation cases."""
MOST_RATIO: Final = 0.95
"""Ratio of muscle to blood from which blood is not brighter than muscle."""


class HeartLook(NamedTuple):
    """Features of the heart that one member finds in an image, (features,), None without a heart.

    ``muscle_to_blood`` is the ratio of their intensities, NaN without an LV or its muscle.
    """

    features: NDArray[np.float64] | None
    muscle_to_blood: float


@dataclass(frozen=True, kw_only=True)
class ImageRule:
    """Usual looks of one member at images, for all settings of its ensemble.

    ``features`` are those of the training images, ``cine`` tells cines from other images (None with
    too few images for either), and ``muscle_to_blood`` is the range in the validation cases. The
    member is that with the checksum ``sha256``; ``plans_sha256`` is that of the `EnsembleFolder`.
    """

    muscle_to_blood: tuple[float, float]
    sha256: str
    plans_sha256: str
    features: FeatureRule | None = None
    cine: CineRule | None = None

    def signs(self, look: HeartLook) -> dict[str, float]:
        """Return the signs of the kind of an image; those of its heart only if it shows one."""
        signs = {MUSCLE_TO_BLOOD: look.muscle_to_blood}
        if look.features is not None and self.features is not None:
            signs[FEATURE_DISTANCE] = self.features.distance(look.features)
        if look.features is not None and self.cine is not None:
            signs[CINE_SCORE] = self.cine.score(look.features)
        return signs

    def is_unlike_training(self, signs: Mapping[str, float]) -> bool | None:
        """Return whether the features of an image are unlike those in training, None if unknown."""
        if self.features is None:
            return None
        # An image without a heart has no distance; NaN exceeds nothing, and another sentence is on
        # it.
        return signs.get(FEATURE_DISTANCE, math.nan) > UNLIKE_FACTOR * self.features.threshold

    def why_no_cine(
        self,
        signs: Mapping[str, float],
        failure: FailureAssessment | None = None,
        *,
        is_cine_by_tags: bool = False,
    ) -> str:
        """Return why an image with these signs may not be a short-axis cine, as a clause, or "".

        Tags of a cine outweigh the features, but not what contradicts a heart.
        """
        ratio, (low, high) = signs.get(MUSCLE_TO_BLOOD, math.nan), self.muscle_to_blood
        if math.isnan(ratio):
            return NO_HEART
        if failure is not None and failure.score > STRANGE_SCORE:
            return OTHER_SHAPES
        # Blood without any signal.
        if ratio == math.inf:
            return BLACK_BLOOD
        if not low / RATIO_MARGIN <= ratio <= min(high * RATIO_MARGIN, MOST_RATIO):
            return STRANGE_CONTRAST.format(share=100 * ratio, low=100 * low, high=100 * high)
        if self.cine is None or is_cine_by_tags:
            return ""
        return OTHER_KIND if signs.get(CINE_SCORE, math.nan) > self.cine.limit else ""


def fit_image_rule(
    training: Mapping[str, Sequence[HeartLook]],
    validation: Mapping[str, Sequence[HeartLook]],
    others: Mapping[str, Sequence[HeartLook]],
    *,
    sha256: str,
    plans_sha256: str,
) -> ImageRule | None:
    """Return the rule for the looks of each patient.

    They are those at the ``training`` and ``validation`` cases, and at ``others``, which are not
    cines. None if no validation case has a usual ratio of muscle to blood, such as of a network
    that has learnt little.
    """
    ratios = [look.muscle_to_blood for looks in validation.values() for look in looks]
    known = [ratio for ratio in ratios if ratio <= MOST_RATIO]
    if not known:
        return None
    cines, patients = _known_features(training)
    return ImageRule(
        muscle_to_blood=(min(known), max(known)),
        sha256=sha256,
        plans_sha256=plans_sha256,
        features=fit_features(cines, *_known_features(validation)),
        cine=fit_cine_rule(cines, patients, *_known_features(others)),
    )


def _known_features(
    looks: Mapping[str, Sequence[HeartLook]],
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the (N, features) of images with a heart, and their patients."""
    known = [(name, look) for name, of_patient in looks.items() for look in of_patient]
    known = [(name, look) for name, look in known if look.features is not None]
    return np.array([look.features for _, look in known]), [name for name, _ in known]

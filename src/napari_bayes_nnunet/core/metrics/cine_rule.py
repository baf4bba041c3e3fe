"""Direction among the features of an image that separates cines from other images.

Logistic regression, applied without scikit-learn. A distance would take every difference, such as
that of another scanner, for another kind of image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .. import InputError
from .feature_distance import rounded

FEWEST_CINES: Final = 40
"""Cines needed for a rule."""
_PERCENTILE: Final = 95
"""Percentile of the scores of cines that the rule was not fitted on, used as its limit."""
_FOLDS: Final = 5
_CLIP: Final = 12.0
"""Most standard deviations from the cines that count."""
_REGULARISATION: Final = 1e-3
"""Inverse strength of the penalty.

Features outnumber patients: a weaker one learns how non-cines were made.
"""


@dataclass(frozen=True, kw_only=True)
class CineRule:
    """Weights of the features in multiples of the ``deviations`` of cines from their ``means``.

    All have the shape (features,). A score above ``limit`` asks if an image is a cine. ``cines`` is
    the number of cines the rule was fitted on. Raises InputError for different numbers of features,
    or deviations that are not above 0.
    """

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    limit: float
    cines: int

    def __post_init__(self) -> None:
        sizes = {len(self.means), len(self.deviations), len(self.weights)}
        if len(sizes) != 1 or not all(deviation > 0 for deviation in self.deviations):
            raise InputError("Expected as many weights as means, found {sizes}.", sizes=sizes)

    def score(self, features: NDArray[np.floating]) -> float:
        """Return the score of an image with these (features,), higher for other images."""
        return float(_scaled(features, self.means, self.deviations) @ self.weights + self.intercept)


def fit_cine_rule(
    cines: NDArray[np.floating],
    patients: Sequence[str],
    others: NDArray[np.floating],
    patients_of_others: Sequence[str],
) -> CineRule | None:
    """Return the rule for ``cines`` (N, features) and ``others`` (M, features).

    The limit is that of cines whose patients the rule was not fitted on. None with fewer than 40
    cines or five patients, or without others.
    """
    distinct = sorted(set(patients))
    if len(cines) < FEWEST_CINES or len(distinct) < _FOLDS or not len(others):
        return None
    fold_of = {patient: number % _FOLDS for number, patient in enumerate(distinct)}
    folds = np.array([fold_of[patient] for patient in patients])
    # Those of unknown patients are in no fold, and so in every fit.
    of_others = np.array([fold_of.get(patient) for patient in patients_of_others])
    scores: list[float] = []
    for fold in range(_FOLDS):
        rule = _fitted(cines[folds != fold], others[of_others != fold])
        scores += map(rule.score, cines[folds == fold])
    # A score of a cine and not one in between, so that at most five percent exceed it.
    limit = float(np.percentile(scores, _PERCENTILE, method="higher"))
    return replace(_fitted(cines, others), limit=limit)


def _fitted(cines: NDArray[np.floating], others: NDArray[np.floating]) -> CineRule:
    """Return the rule with a limit of 0."""
    from sklearn.linear_model import LogisticRegression

    # Something is added, because a feature may be the same in all cines.
    means, deviations = rounded(cines.mean(axis=0)), rounded(cines.std(axis=0) + 1e-6)
    # Balanced, because several other images are made from each cine.
    model = LogisticRegression(C=_REGULARISATION, class_weight="balanced", max_iter=1000)
    kinds = np.repeat([0, 1], [len(cines), len(others)])
    model.fit(_scaled(np.vstack([cines, others]), means, deviations), kinds)
    (weights,), (intercept,) = model.coef_, model.intercept_
    return CineRule(
        means=means,
        deviations=deviations,
        weights=rounded(weights),
        intercept=float(intercept),
        limit=0.0,
        cines=len(cines),
    )


def _scaled(
    features: NDArray[np.floating], means: Sequence[float], deviations: Sequence[float]
) -> NDArray[np.float64]:
    z: NDArray[np.float64] = (features - np.array(means)) / np.array(deviations)
    return z.clip(-_CLIP, _CLIP)

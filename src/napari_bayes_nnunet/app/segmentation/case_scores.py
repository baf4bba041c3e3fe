"""Comparison of a case with the validation cases of its ensemble."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ...core.heart.measurements import Spread
from ...io.ensemble.ensemble_folder import EnsembleFolder

CaseScores = dict[str, dict[str, float]]
"""Structure → name of a score → value."""
LOW_AGREEMENT = (
    "{name}: the members agree less (Dice {value:.3f}) than on any validation case (lowest "
    "{low:.3f})."
)
UNUSUAL_VOLUME = (
    "{name}: the volume of {value:.0f} mL is outside the range of the validation cases, "
    "{low:.0f} to {high:.0f} mL."
)
HIGH_SPREAD = (
    "{name}: the volumes of the members differ more (SD {value:.1f} mL) than on any validation "
    "case (highest {high:.1f} mL)."
)
DIGITS = {"pairwise_dice": 3, "volume_ml": 0, "volume_standard_deviation_ml": 1}
"""Decimals shown for each score."""


def case_scores(
    volumes: Mapping[str, float], spreads: Mapping[str, Spread], agreement: Mapping[str, float]
) -> CaseScores:
    """Return structure → ``pairwise_dice``, ``volume_ml``, ``volume_standard_deviation_ml``.

    Scores of a missing agreement or spread are NaN.
    """
    return {
        name: {
            "pairwise_dice": agreement.get(name, math.nan),
            "volume_ml": volumes[name],
            "volume_standard_deviation_ml": (
                spreads[name].standard_deviation if name in spreads else math.nan
            ),
        }
        for name in volumes
    }


def score_ranges(cases: Iterable[CaseScores]) -> dict[str, dict[str, list[float]]]:
    """Return structure → score → lowest and highest value of the validation cases."""
    seen: dict[str, dict[str, list[float]]] = {}
    for case in cases:
        for name, scores in case.items():
            for score, value in scores.items():
                if math.isfinite(value):
                    seen.setdefault(name, {}).setdefault(score, []).append(value)
    return {
        name: {score: [min(values), max(values)] for score, values in scores.items()}
        for name, scores in seen.items()
    }


def mean_scores(cases: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return structure → mean over the cases whose score is known."""
    seen: dict[str, list[float]] = {}
    for case in cases:
        for name, value in case.items():
            if math.isfinite(value):
                seen.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in seen.items()}


def validation_warnings(
    folder: EnsembleFolder,
    volumes: Mapping[str, float],
    spreads: Mapping[str, Spread],
    agreement: Mapping[str, float],
) -> tuple[str, ...]:
    """Return a sentence for every score outside the range of the ensemble's validation cases.

    Values are compared as they are shown, with `DIGITS` decimals.
    """
    sentences = []
    for name, scores in case_scores(volumes, spreads, agreement).items():
        for score, value in scores.items():
            low, high = folder.validation_range(name, score) or (-math.inf, math.inf)
            digits = DIGITS[score]
            value, low, high = (round(number, digits) for number in (value, low, high))
            if score == "pairwise_dice" and value < low:
                sentences.append(LOW_AGREEMENT.format(name=name, value=value, low=low))
            elif score == "volume_ml" and not low <= value <= high:
                sentences.append(UNUSUAL_VOLUME.format(name=name, value=value, low=low, high=high))
            elif score == "volume_standard_deviation_ml" and value > high:
                sentences.append(HIGH_SPREAD.format(name=name, value=value, high=high))
    return tuple(sentences)

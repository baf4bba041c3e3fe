"""Evaluations of cases and reliability bins as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_bayes_nnunet.app.evaluation.aggregates import ALL
from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation, structure_means
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins
from napari_bayes_nnunet.io.files.atomic import null_for_nan


def case_to_json(case: CaseEvaluation) -> dict[str, Any]:
    """Return all fields as plain JSON; NaN becomes null."""
    content = {name: getattr(case, name) for name in case.__dataclass_fields__}
    content["reliability"] = bins_to_json(case.reliability) if case.reliability else None
    return dict(null_for_nan(content))


def case_from_json(content: Mapping[str, Any]) -> CaseEvaluation:
    """Return the evaluation of `case_to_json`. Raises KeyError or TypeError for anything else."""
    numbers = content["numbers"] if "numbers" in content else _older_numbers(content)
    bins = content["reliability"]
    return CaseEvaluation(
        case=content["case"],
        patient=content["patient"],
        groups=dict(content["groups"]),
        numbers={
            structure: {column: _number(value) for column, value in of_structure.items()}
            for structure, of_structure in numbers.items()
        },
        reliability=bins_from_json(bins) if bins is not None else None,
    )


def _older_numbers(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the numbers of a file that has them in several fields, as until version 0.2.0."""
    structures = content["structures"]
    whole = {n: v for n, v in content.items() if isinstance(v, float) or v is None}
    for name, detection in content["detection"].items():
        whole |= {f"{area} {name}": detection[area] for area in ("auroc", "auprc")}
    if bins := content["reliability"]:
        whole["ece"] = bins_from_json(bins).ece
    known = {
        name: {column: _number(value) for column, value in of_structure.items()}
        for name, of_structure in structures.items()
    }
    return {**known, ALL: whole | structure_means(known)}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def bins_to_json(bins: ReliabilityBins) -> dict[str, list[float]]:
    """Return the fields as plain lists; `bins_from_json` restores them exactly."""
    return {name: getattr(bins, name).tolist() for name in bins.__dataclass_fields__}


def bins_from_json(fields: Mapping[str, Sequence[float]]) -> ReliabilityBins:
    """Return bins from `bins_to_json`. Raises KeyError for missing lists."""
    return ReliabilityBins(
        voxels=np.array(fields["voxels"], np.int64),
        correct=np.array(fields["correct"], np.int64),
        confidence_sum=np.array(fields["confidence_sum"], np.float64),
    )

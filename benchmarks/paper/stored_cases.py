"""Evaluations of cases as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from napari_bayes_nnunet.app.evaluation.case import (
    CALIBRATION_NUMBERS,
    FAILURE_NUMBERS,
    CaseEvaluation,
    IntervalResult,
    StructureResult,
)
from napari_bayes_nnunet.core.ensemble.maps import MAPS
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins
from napari_bayes_nnunet.core.metrics.detection import ErrorDetection
from napari_bayes_nnunet.io.files.atomic import null_for_nan


def case_to_json(case: CaseEvaluation) -> dict[str, Any]:
    """Return all fields as plain JSON; NaN becomes null."""
    content = {name: getattr(case, name) for name in case.__dataclass_fields__}
    content["structures"] = {name: asdict(r) for name, r in case.structures.items()}
    content["detection"] = {name: asdict(d) for name, d in case.detection.items()}
    content["reliability"] = case.reliability.as_dict() if case.reliability else None
    means = content.pop("means")
    content |= {f"mean_{m.key}": means.get(name) for name, m in MAPS.items()}
    content["intervals"] = {name: asdict(i) for name, i in case.intervals.items()}
    return dict(null_for_nan(content))


def case_from_json(content: Mapping[str, Any]) -> CaseEvaluation:
    """Return the evaluation of `case_to_json`. Raises KeyError or TypeError for anything else."""
    names = (*CALIBRATION_NUMBERS, *FAILURE_NUMBERS)
    numbers = {name: _number(content.get(name)) for name in names}
    bins = content["reliability"]
    return CaseEvaluation(
        case=content["case"],
        patient=content["patient"],
        groups=dict(content["groups"]),
        structures={
            name: StructureResult(**{key: _number(value) for key, value in result.items()})
            for name, result in content["structures"].items()
        },
        reliability=ReliabilityBins.from_dict(bins) if bins is not None else None,
        detection={
            name: ErrorDetection(
                auroc=_number(detection["auroc"]),
                auprc=_number(detection["auprc"]),
                errors=detection["errors"],
                voxels=detection["voxels"],
            )
            for name, detection in content["detection"].items()
        },
        intervals={
            name: IntervalResult(**{key: _number(value) for key, value in interval.items()})
            for name, interval in content.get("intervals", {}).items()
        },
        means={
            name: float(mean)
            for name, entry in MAPS.items()
            if (mean := content.get(f"mean_{entry.key}")) is not None
        },
        **numbers,
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)

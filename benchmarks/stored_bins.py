"""Reliability bins as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins


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

"""Mean scores of the validation cases of an ensemble."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


def mean_scores(cases: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return structure → mean over the cases whose score is known."""
    seen: dict[str, list[float]] = {}
    for case in cases:
        for name, value in case.items():
            if math.isfinite(value):
                seen.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in seen.items()}

"""Functional diversity: how alike members of one cycle, and of different cycles, segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.core.metrics.bootstrap import Estimate, mean_estimate

from ..results import with_interval
from .judging import file_of, read_lines
from .rows import Row
from .shifts import UNSHIFTED

NO_PAIRS = "–"


@dataclass(frozen=True, kw_only=True)
class RowDiversity:
    """Mean pairwise Dice of a row's members ``within`` a cycle and ``between`` different cycles.

    Trainings count as different cycles. ``difference`` is between minus within, of the same cases.
    """

    within: Estimate
    between: Estimate
    difference: Estimate

    @property
    def cells(self) -> list[str]:
        """The three numbers with their 95 % intervals, "–" for one without pairs."""
        numbers = (self.within, ""), (self.between, ""), (self.difference, "+")
        return [
            NO_PAIRS if np.isnan(estimate.value) else with_interval(estimate, sign=sign)
            for estimate, sign in numbers
        ]


def measure_diversity(output: Path, row: Row, cases: Sequence[str]) -> RowDiversity | None:
    """Return the diversity of a row on unshifted ``cases``, None before all are evaluated.

    It is the mean over structures and volumes. Lines of version 0.1.0 have none.
    """
    lines = dict(read_lines(file_of(output, UNSHIFTED, row)))
    wanted = [lines[case] for case in cases if "diversity" in lines.get(case, {})]
    if not wanted or len(wanted) < len(cases):
        return None
    values = np.array(
        [
            [[d[kind] for d in line["diversity"].values()] for kind in ("within", "between")]
            for line in wanted
        ],
        float,
    ).mean(axis=2)
    patients = [line["evaluation"]["patient"] for line in wanted]
    within, between = (mean_estimate(column, patients) for column in values.T)
    difference = mean_estimate(values[:, 1] - values[:, 0], patients)
    return RowDiversity(within=within, between=between, difference=difference)

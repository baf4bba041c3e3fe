"""Tables of an evaluation: Tables 1 and 2 of the paper, and further measures.

Each has a row per method and, if a ``group`` is given, a block of columns per value of the group.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...core.counts import format_count
from ...core.metrics.conformal import COVERAGES
from .evaluate import MethodEvaluation, judged_structures, known_intervals, known_maps
from .measures import (
    ECE,
    FURTHER_CALIBRATION,
    Measure,
    absolute_volume_measures,
    agreement_measures,
    detection_measures,
    dice_measures,
    distance_measures,
    failure_measures,
    interval_measures,
    volume_measures,
)
from .phases import PHASE
from .tables import Block, Table, difference_table, evaluation_table, group_blocks

Methods = Sequence[MethodEvaluation]


def dice_table(methods: Methods, group: str | None = None) -> Table:
    """Return Table 1 of the paper: Dice of each structure, and their mean unless grouped."""
    structures = judged_structures(methods)
    measures = dice_measures(structures)[: len(structures) if group else None]
    return evaluation_table(methods, _blocks(methods, measures, group))


def ece_table(methods: Methods, group: str | None = None) -> Table:
    """Return Table 2 of the paper: ECE in %, pooled and as the mean of the volumes."""
    return evaluation_table(methods, _blocks(methods, ECE, group))


def calibration_table(methods: Methods) -> Table:
    """Return class-wise and adaptive calibration error, and proper scores."""
    return evaluation_table(methods, _blocks(methods, FURTHER_CALIBRATION, None))


def contour_table(methods: Methods) -> Table:
    """Return distances between the contours, mm."""
    structures = judged_structures(methods)
    blocks = (
        ("95 % Hausdorff distance", distance_measures(structures, "hausdorff95_mm")),
        ("Average distance", distance_measures(structures, "average_distance_mm")),
    )
    return evaluation_table(methods, [Block(title=t, measures=m) for t, m in blocks])


def volume_table(methods: Methods) -> Table:
    """Return signed and absolute volume errors, mL."""
    structures = judged_structures(methods)
    blocks = (
        ("Prediction − reference", volume_measures(structures)),
        ("Absolute error", absolute_volume_measures(structures)),
    )
    return evaluation_table(methods, [Block(title=t, measures=m) for t, m in blocks])


def detection_table(methods: Methods) -> Table:
    """Return how well each map detects wrong voxels."""
    maps = known_maps(methods)
    blocks = [
        Block(title=title, measures=detection_measures(maps, gross=gross))
        for title, gross in (("All wrong voxels", False), ("Gross errors", True))
    ]
    return evaluation_table(methods, blocks)


def failure_table(methods: Methods, phase: str | None = None) -> Table:
    """Return the areas under risk and coverage of scores of a whole case, of all or of a phase."""
    return _failure_table(methods, "lower", phase)


def ranking_table(methods: Methods, phase: str | None = None) -> Table:
    """Return how well scores of a whole case rank the cases of a phase by their Dice."""
    return _failure_table(methods, "higher", phase)


def _failure_table(methods: Methods, better: str, phase: str | None) -> Table:
    blocks = [
        Block(
            title=title,
            measures=measures,
            takes=lambda case: phase is None or case.groups.get(PHASE) == phase,
        )
        for title, measures in failure_measures().items()
        if measures[0].better == better
    ]
    return evaluation_table(methods, blocks)


def interval_table(methods: Methods) -> Table | None:
    """Return coverage and width of the prediction intervals; None without intervals."""
    names = known_intervals(methods)
    blocks = [
        Block(title=title, measures=measures)
        for level in reversed(COVERAGES)
        for title, measures in interval_measures(names, level).items()
    ]
    return evaluation_table(methods, blocks) if names else None


def agreement_table(methods: Methods) -> Table:
    """Return the pairwise Dice of the members for each structure."""
    measures = agreement_measures(judged_structures(methods))
    return evaluation_table(methods, _blocks(methods, measures, None))


def paired_table(methods: Methods) -> Table:
    """Return paired differences of Dice and calibration error from the first method."""
    blocks = [
        Block(title="Dice", measures=dice_measures(judged_structures(methods))),
        Block(title="Calibration error", measures=ECE),
    ]
    return difference_table(methods, blocks)


def _blocks(methods: Methods, measures: Sequence[Measure], group: str | None) -> list[Block]:
    if group is not None:
        return group_blocks(methods, group, measures)
    return [
        Block(title=f"All ({format_count(len(methods[0].cases), 'volume')})", measures=measures)
    ]

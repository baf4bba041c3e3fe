"""The tables of an evaluation: Tables 1 and 2 of the paper, and those of what it does not measure.

Each takes the methods, and where a ``group`` is named, has a block of columns for each of its
values. They are the same for the report and for a Markdown page (``evaluation_tables``).
"""

from __future__ import annotations

from collections.abc import Sequence

from .evaluate import MethodEvaluation, judged_structures
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
    volume_measures,
)
from .tables import Block, Table, difference_table, evaluation_table, group_blocks, volumes

Methods = Sequence[MethodEvaluation]


def dice_table(methods: Methods, group: str | None = None) -> Table:
    """Table 1 of the paper: Dice of each structure, and without a group their mean."""
    structures = judged_structures(methods)
    measures = dice_measures(structures)[: len(structures) if group else None]
    return evaluation_table(methods, _blocks(methods, measures, group))


def ece_table(methods: Methods, group: str | None = None) -> Table:
    """Table 2 of the paper: expected calibration error in %, pooled and as a mean of volumes."""
    return evaluation_table(methods, _blocks(methods, ECE, group))


def calibration_table(methods: Methods) -> Table:
    """Class-wise and adaptive calibration error, and the proper scores."""
    return evaluation_table(methods, _blocks(methods, FURTHER_CALIBRATION, None))


def contour_table(methods: Methods) -> Table:
    """Distances between the contours, mm."""
    structures = judged_structures(methods)
    blocks = (
        ("95 % Hausdorff distance", distance_measures(structures, "hausdorff95_mm")),
        ("Average distance", distance_measures(structures, "average_distance_mm")),
    )
    return evaluation_table(methods, [Block(title=t, measures=m) for t, m in blocks])


def volume_table(methods: Methods) -> Table:
    """Error of the volumes, mL: predicted less reference, and its size."""
    structures = judged_structures(methods)
    blocks = (
        ("Predicted less reference", volume_measures(structures)),
        ("Size of the error", absolute_volume_measures(structures)),
    )
    return evaluation_table(methods, [Block(title=t, measures=m) for t, m in blocks])


def detection_table(methods: Methods) -> Table:
    """How well entropy and mutual information find the wrong voxels."""
    blocks = [
        Block(title=title, measures=detection_measures(gross=gross))
        for title, gross in (("All wrong voxels", False), ("Gross errors", True))
    ]
    return evaluation_table(methods, blocks)


def failure_table(methods: Methods) -> Table:
    """How well scores of a whole case tell the failed ones."""
    measures = failure_measures()
    half = len(measures) // 2
    blocks = (("AURC", measures[:half]), ("Spearman", measures[half:]))
    return evaluation_table(methods, [Block(title=t, measures=m) for t, m in blocks])


def agreement_table(methods: Methods) -> Table:
    """Pairwise Dice of the members, of each structure."""
    measures = agreement_measures(judged_structures(methods))
    return evaluation_table(methods, _blocks(methods, measures, None))


def paired_table(methods: Methods) -> Table:
    """What each method differs from the first in Dice and calibration error, patient by patient."""
    blocks = [
        Block(title="Dice", measures=dice_measures(judged_structures(methods))),
        Block(title="Calibration error", measures=ECE),
    ]
    return difference_table(methods, blocks)


def _blocks(methods: Methods, measures: Sequence[Measure], group: str | None) -> list[Block]:
    if group is not None:
        return group_blocks(methods, group, measures)
    return [Block(title=f"All ({volumes(len(methods[0].cases))})", measures=measures)]

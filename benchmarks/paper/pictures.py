"""Cases as in the paper's Fig. 3: a good one and two failed ones, with methods as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation
from napari_bayes_nnunet.app.evaluation.example_cases import ShownCase, ShownMethod, chosen_cases
from napari_bayes_nnunet.app.evaluation.example_picture import case_pictures
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels

from .judging import Case, Task, tallies
from .rows import FIRST, Row

METHODS = ("vanilla", "mc-dropout", "deep-ensemble", "single", "multi")
"""The columns; of each the row with the most members."""
FAILED = 2


def columns(rows: Sequence[Row]) -> list[Row]:
    """The rows that are drawn, as far as they are among ``rows``."""
    compared = [r for r in rows if r.seeds in FIRST and r.folder not in ("poly/seed1", "short")]
    found = ([row for row in compared if row.method == method] for method in METHODS)
    return [max(same, key=lambda row: row.members) for same in found if same]


def draw_cases(
    methods: Sequence[MethodEvaluation],
    rows: Sequence[Row],
    cases: Sequence[Case],
    output: Path,
    images: Path,
    *,
    mirroring: str,
) -> None:
    """Write paper_case_1.png and so on: the best case by the mean Dice over ``rows``, the worst.

    ``methods`` are the evaluations of ``rows`` on ``cases``, none of which is shifted.
    """
    of_name = {case.name: case for case in cases}
    for n, (name, is_good) in enumerate(chosen_cases(methods)[: 1 + FAILED], start=1):
        shown = _shown(of_name[name], methods, rows, output, mirroring, is_good=is_good)
        (picture,) = case_pictures(shown, list(of_name[name].structures))
        (images / f"paper_case_{n}.png").write_bytes(picture)


def _shown(
    case: Case,
    methods: Sequence[MethodEvaluation],
    rows: Sequence[Row],
    output: Path,
    mirroring: str,
    *,
    is_good: bool,
) -> ShownCase:
    """The slice with the largest reference, or the one with the most wrong voxels."""
    reference = read_labels(case.label).voxels.astype(np.uint8)
    image = read_channels(case.image)[0]
    results = [next(c for c in method.cases if c.case == case.name) for method in methods]
    answers = dict(_answers(case, rows, output, mirroring))
    wrong = sum(np.count_nonzero(answers[r][0] != reference, axis=(1, 2)) for r in rows)
    z = int(np.argmax(np.count_nonzero(reference, axis=(1, 2)) if is_good else wrong))
    return ShownCase(
        case=results[0],
        z=z + 1,
        slices=len(reference),
        is_good=is_good,
        image=image.voxels[z],
        reference=reference[z],
        methods=tuple(
            ShownMethod(
                name=row.title,
                labels=answers[row][0][z],
                entropy=answers[row][1][z],
                dice=result.mean_dice,
            )
            for row, result in zip(rows, results, strict=True)
        ),
        spacing=image.spacing[1:],
    )


def _answers(
    case: Case, rows: Sequence[Row], output: Path, mirroring: str
) -> Iterator[tuple[Row, tuple[np.ndarray, np.ndarray]]]:
    """Labels and entropy by every row."""
    for row in rows:
        task = Task(case, output / "trainings" / row.folder, (row,), mirroring, "auto")
        tally = tallies(task)[row]
        yield (
            row,
            (
                tally.measure(RunningPosterior.labels),
                tally.measure(RunningPosterior.total_entropy),
            ),
        )

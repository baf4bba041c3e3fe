"""Pictures of a good case and two failed ones with methods as columns, as in the paper's Fig. 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation
from napari_bayes_nnunet.app.evaluation.example_cases import (
    ShownCase,
    ShownMethod,
    case_pictures,
    chosen_cases,
)
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior
from napari_bayes_nnunet.io.images.nifti import read_channels

from .judging import Case, Task, read_reference, row_statistics
from .rows import Row

METHODS = ("vanilla", "mc-dropout", "deep-ensemble", "single", "multi")
"""Columns, each with its row of most members."""
FAILED = 2


def choose_columns(rows: Sequence[Row]) -> list[Row]:
    """Return those of ``rows`` that are drawn as columns."""
    compared = [
        r
        for r in rows
        if r.group == "compared" and not r.is_twin and r.folder not in ("poly/seed1", "short")
    ]
    by_method = ([row for row in compared if row.method == method] for method in METHODS)
    return [max(same, key=lambda row: row.members) for same in by_method if same]


def draw_cases(
    methods: Sequence[MethodEvaluation],
    rows: Sequence[Row],
    cases: Sequence[Case],
    output: Path,
    images: Path,
    *,
    mirroring: str,
    device: str,
) -> None:
    """Write paper_case_1.png and so on: the best and the worst cases by mean Dice over ``rows``.

    ``methods`` are the evaluations of ``rows`` on ``cases``, which are unshifted. Without rows
    nothing is drawn.
    """
    by_name = {case.name: case for case in cases}
    chosen = chosen_cases(methods)[: 1 + FAILED] if methods else []
    for n, (name, is_good) in enumerate(chosen, start=1):
        case = by_name[name]
        maps = {
            row: _labels_and_entropy(
                Task(case, output / "trainings" / row.folder, (row,), mirroring, device)
            )
            for row in rows
        }
        shown = _shown_case(case, methods, maps, is_good=is_good)
        (picture,) = case_pictures(shown, list(case.structures))
        (images / f"paper_case_{n}.png").write_bytes(picture)


def _shown_case(
    case: Case,
    methods: Sequence[MethodEvaluation],
    maps: Mapping[Row, tuple[np.ndarray, np.ndarray]],
    *,
    is_good: bool,
) -> ShownCase:
    """Return the slice with the largest reference or, for a bad case, with the most errors.

    ``maps`` are labels and entropy, (Z, Y, X), by row.
    """
    reference = read_reference(case)
    image = read_channels(case.image)[0]
    results = [next(c for c in method.cases if c.case == case.name) for method in methods]
    wrong = sum(np.count_nonzero(labels != reference, axis=(1, 2)) for labels, _ in maps.values())
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
                labels=labels[z],
                entropy=entropy[z],
                dice=result.number("dice"),
            )
            for (row, (labels, entropy)), result in zip(maps.items(), results, strict=True)
        ),
        spacing=image.spacing[1:],
    )


def _labels_and_entropy(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and entropy, (Z, Y, X), of the only row of a task."""
    (statistics,) = row_statistics(task).values()
    return (
        statistics.measure(RunningPosterior.labels),
        statistics.measure(RunningPosterior.total_entropy),
    )

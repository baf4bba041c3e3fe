"""Figures of the experiment: calibration, failure detection and training trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation
from napari_bayes_nnunet.app.evaluation.figures import reliability_picture, risk_coverage_picture
from napari_bayes_nnunet.app.trajectory.analysis import analyse_trajectory
from napari_bayes_nnunet.app.trajectory.figures import draw_trajectory

from .rows import Row


def draw_figures(
    methods: dict[str, MethodEvaluation], rows: Sequence[Row], output: Path, images: Path
) -> None:
    """Write paper_reliability.png, paper_risk_coverage.png and paper_trajectory.png."""
    images.mkdir(parents=True, exist_ok=True)
    shown = [methods[row.name] for row in rows if row.name in methods and _is_shown(row)]
    for name, picture in (
        ("reliability", reliability_picture),
        ("risk_coverage", risk_coverage_picture),
    ):
        drawn = picture(shown) if shown else None
        if drawn:
            (images / f"paper_{name}.png").write_bytes(drawn)
    run = output / "trainings" / "restarts" / "seed1"
    if (run / "fold_0" / "trajectory").exists():
        draw_trajectory(analyse_trajectory(run)).savefig(images / "paper_trajectory.png", dpi=110)


def _is_shown(row: Row) -> bool:
    """Return whether the row is the one shown for its method: most members, first seed."""
    return (
        row.group == "compared"
        and not row.is_twin
        and not (row.members == 5 and row.method in ("mc-dropout", "single", "multi"))
    )

"""Figures of the experiment: calibration, failure detection and training trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation
from napari_bayes_nnunet.app.evaluation.figures import reliability_picture, risk_coverage_picture
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder
from napari_bayes_nnunet.paper.trajectory.analysis import analyse_trajectory, with_control
from napari_bayes_nnunet.paper.trajectory.figures import draw_trajectory

from .rows import Row


def draw_figures(
    methods: dict[str, MethodEvaluation], rows: Sequence[Row], output: Path, images: Path
) -> None:
    """Write the pictures paper_*.png: reliability with and without τ, risk, and trajectory.

    The trajectory has that of a training without restarts beside it, once this is finished.
    """
    images.mkdir(parents=True, exist_ok=True)
    shown = [row for row in rows if row.name in methods and _is_shown(row)]
    for name, picture, drawn_rows in (
        ("reliability", reliability_picture, [row for row in shown if not row.is_twin]),
        ("reliability_fitted", reliability_picture, [row for row in shown if row.is_fitted]),
        ("risk_coverage", risk_coverage_picture, [row for row in shown if not row.is_twin]),
    ):
        drawn = picture([methods[row.name] for row in drawn_rows])
        if drawn:
            (images / f"paper_{name}.png").write_bytes(drawn)
    run, control = (output / "trainings" / kind / "seed1" for kind in ("restarts", "poly"))
    if _has_weights(run):
        analysis = analyse_trajectory(run)
        if _has_weights(control):
            analysis = with_control(analysis, control)
        draw_trajectory(analysis).savefig(images / "paper_trajectory.png", dpi=110)


def _has_weights(run: Path) -> bool:
    return (RunFolder(run).fold("0") / "checkpoint_final.pth").exists()


def _is_shown(row: Row) -> bool:
    """Return whether the row is the one shown for its method: most members, first seed."""
    return row.group == "compared" and not (
        row.members == 5 and row.method in ("mc-dropout", "single", "multi")
    )

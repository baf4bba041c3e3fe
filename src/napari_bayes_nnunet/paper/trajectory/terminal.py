"""Trajectory of a training in a terminal, with a progress bar for each case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import click

from ...app import AppError
from ...app.segmentation.ensemble import Ensemble
from ...app.terminal import progress_bar, show_member
from ...io.ensemble.run_folder import RunFolder
from ...io.images.nifti import case_name
from .analysis import analyse_trajectory, with_control
from .member_comparison import MemberCase, compare_members, read_image
from .output_files import check_trajectory_report, trajectory_text, write_trajectory


def trajectory_in_terminal(
    run: Path,
    report: Path,
    *,
    fold: str = "0",
    layers: Sequence[str] = (),
    cases: Sequence[Path] = (),
    control: Path | None = None,
    device: str = "auto",
) -> None:
    """Analyse the training ``run`` and write the report with pictures of ``cases``.

    ``control`` is a training without restarts, whose epochs are grouped in the same way. Raises
    AppError, DataError or ModelError.
    """
    names = [case_name(case) for case in cases]
    if twice := [name for name in names if names.count(name) > 1]:
        raise AppError(
            "Two images have the name {case}, so they would have the same picture. Rename one.",
            case=twice[0],
        )
    for case in cases:
        read_image(case)  # an unreadable image must not stop the long work later
    analysis = analyse_trajectory(run, fold=fold, layers=layers)
    if control is not None:
        analysis = with_control(analysis, control)
    check_trajectory_report(report)
    shown = list(_with_bars(RunFolder(run).fold(fold), cases, device)) if cases else []
    page = write_trajectory(analysis, report, cases=shown)
    click.echo(trajectory_text(analysis))
    click.echo(f"Report: {page}")


def _with_bars(fold: Path, cases: Sequence[Path], device: str) -> Iterator[MemberCase]:
    ensemble = Ensemble(fold, device=device)
    for image in cases:
        with progress_bar() as bar:
            yield compare_members(
                ensemble, image, on_member=partial(show_member, bar, case_name(image))
            )

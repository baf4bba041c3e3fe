"""The control of the modes: the same epochs of a training that never restarted.

Members of a cycle are close in time, so that weights which simply move on form groups too. Groups
are modes only as far as they are more distinct than those.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...core.ensemble.weight_space import modes, pairwise_distances
from ...io.ensemble.run_folder import RunFolder, read_record
from ...io.ensemble.trajectory import read_trajectory
from .. import AppError
from .analysis import TrajectoryAnalysis


def with_control(
    analysis: TrajectoryAnalysis, run: Path, *, fold: str | None = None
) -> TrajectoryAnalysis:
    """Add the modes that the members' epochs of another training ``run`` form, layer by layer.

    It should differ in its rates alone (train --schedule poly --keep-trajectory), and ``fold`` is
    that of the analysis unless another is named. Raises AppError where it has restarts, or lacks
    such epochs or layers, DataError where it kept none.
    """
    _check_never_restarted(run)
    control = read_trajectory(RunFolder(run).trajectory(fold or analysis.fold))
    missing = np.setdiff1d(analysis.members, control.epochs)
    if len(missing):
        raise AppError(f"{run} has kept no epoch {missing[0]}, which is a member here: train on.")
    places = np.searchsorted(control.epochs, analysis.members)
    cycles = analysis.cycles[analysis.is_member]
    layers = []
    for layer in analysis.layers:
        weights = control.layers.get(layer.name)
        if weights is None or weights.shape[1] != layer.weights:
            raise AppError(f"{run} is of another network: its {layer.name} is not the same.")
        found = modes(pairwise_distances(weights[places]), cycles)
        layers.append(replace(layer, control=found))
    return replace(analysis, layers=tuple(layers))


def _check_never_restarted(run: Path) -> None:
    record = RunFolder(run).record
    if not record.exists():
        raise AppError(f"{run} is no training: expected the --output of bayes-nnunet train.")
    schedule = read_record(record).schedule
    if schedule.shape != "poly" and schedule.all_cycles > 1:
        raise AppError(
            f"{run} was trained with restarts and shows nothing about a training without: choose "
            "one of --schedule poly."
        )

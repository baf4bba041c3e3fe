"""Modes beside those of a training that never restarted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.trajectory.analysis import TrajectoryAnalysis, analyse
from napari_bayes_nnunet.app.trajectory.control import with_control
from napari_bayes_nnunet.core.ensemble.schedule import RestartSchedule
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record, write_record
from napari_bayes_nnunet.io.ensemble.trajectory import read_trajectory, write_epoch

from ...helpers.trajectories import CYCLES, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Three modes; not to be changed."""
    return make_run(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture(scope="module")
def analysis(run: RunFolder) -> TrajectoryAnalysis:
    return analyse(run.path)


def straight_on(folder: Path, epochs: int = 3 * CYCLES) -> Path:
    """A run of the same layers that goes 0.1 an epoch along one weight, and never restarts."""
    for epoch in range(epochs):
        weights = {"only": np.array([[epoch / 10, 1]], np.float32)}
        write_epoch(RunFolder(folder).trajectory("0"), epoch, weights)
    return folder


def as_poly(folder: Path, like: RunFolder) -> Path:
    """The folder, with a record that says it never restarted."""
    schedule = RestartSchedule(epochs=3 * CYCLES, cycles=1, shape="poly")
    write_record(RunFolder(folder).record, replace(read_record(like.record), schedule=schedule))
    return folder


def with_one_layer(analysis: TrajectoryAnalysis) -> TrajectoryAnalysis:
    return replace(analysis, layers=(replace(analysis.first, name="only", weights=2),))


def test_the_control_of_itself_is_itself(
    analysis: TrajectoryAnalysis, run: RunFolder, tmp_path: Path
) -> None:
    same = as_poly(Path(shutil.copytree(run.path, tmp_path / "same")), run)
    for layer in with_control(analysis, same).layers:
        assert layer.control is not None
        assert layer.control.ratio == pytest.approx(layer.modes.ratio)
        assert layer.control.silhouette == pytest.approx(layer.modes.silhouette)


def test_weights_that_move_on_form_groups_too(
    analysis: TrajectoryAnalysis, run: RunFolder, tmp_path: Path
) -> None:
    control = as_poly(straight_on(tmp_path / "poly"), run)
    (layer,) = with_control(with_one_layer(analysis), control).layers
    assert layer.control is not None
    assert layer.control.between == pytest.approx((1 + 1 + 2) / 3, rel=1e-5)
    assert layer.control.within == pytest.approx((3 * 0.1 + 2 * 0.2 + 0.3) / 6, rel=1e-5)
    assert layer.control.silhouette > 0.8


def test_what_is_no_control(analysis: TrajectoryAnalysis, run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(AppError, match="is no training: expected the --output of bayes-nnunet tr"):
        with_control(analysis, tmp_path)
    with pytest.raises(AppError, match="was trained with restarts .* one of --schedule poly"):
        with_control(analysis, run.path)
    (tmp_path / "nothing kept").mkdir()
    with pytest.raises(DataError, match="train with --keep-trajectory"):
        with_control(analysis, as_poly(tmp_path / "nothing kept", run))
    with pytest.raises(AppError, match="is of another network: its encoder.stages.0.conv.weight"):
        with_control(analysis, as_poly(straight_on(tmp_path / "other"), run))
    short = as_poly(Path(shutil.copytree(run.path, tmp_path / "short")), run)
    (RunFolder(short).trajectory("0") / "epoch_0027.npz").unlink()
    with pytest.raises(AppError, match="has kept no epoch 27, which is a member here"):
        with_control(analysis, short)
    assert len(read_trajectory(run.trajectory("0")).epochs) == 3 * CYCLES

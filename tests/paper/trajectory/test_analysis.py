"""Trajectory of made runs and of a real training."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.core.ensemble.schedule import RestartSchedule
from napari_bayes_nnunet.core.problems import change
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record, write_record
from napari_bayes_nnunet.io.ensemble.trajectory import read_trajectory, write_epoch
from napari_bayes_nnunet.nnunet import ModelError
from napari_bayes_nnunet.paper.trajectory.analysis import (
    NO_WEIGHTS,
    RESTARTED,
    TrajectoryAnalysis,
    analyse_trajectory,
    map_weights,
    with_control,
)

from ...helpers.checks.problems import says_only
from ...helpers.data.trajectories import CYCLES, LAYERS, PLATEAU, make_run

LAST = "decoder.stages.1.convs.0.conv.weight"


@pytest.fixture(scope="module")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Three cycles around three points, every epoch kept; not to be changed."""
    return make_run(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture(scope="module")
def analysis(made_run: RunFolder) -> TrajectoryAnalysis:
    return analyse_trajectory(made_run.path)


@pytest.fixture
def run(made_run: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the made run."""
    return RunFolder(shutil.copytree(made_run.path, tmp_path / "run"))


# Distances


def test_all_epochs_of_all_layers(analysis):
    assert analysis.epochs.tolist() == list(range(3 * CYCLES))
    assert analysis.members.tolist() == [*PLATEAU, *(CYCLES + PLATEAU), *(2 * CYCLES + PLATEAU)]
    assert analysis.cycles.tolist() == [0] * CYCLES + [1] * CYCLES + [2] * CYCLES
    assert [layer.name for layer in analysis.layers] == list(LAYERS)
    assert (analysis.name, analysis.fold) == ("made run", "0")
    assert len(analysis.reports) == 3 * CYCLES
    assert analysis.drawn.name == LAST


def test_numbers_of_the_made_modes(analysis):
    layer = analysis.drawn
    # Modes 10 apart along one weight; within them every epoch is 0.1 from the one before.
    assert layer.step == pytest.approx(0.1, rel=1e-5)
    assert layer.modes.between == pytest.approx((10 + 10 + 20) / 3, rel=1e-3)
    assert layer.modes.within == pytest.approx((3 * 0.1 + 2 * 0.2 + 0.3) / 6, rel=1e-4)
    assert layer.restart == pytest.approx(10 - 0.1 * (CYCLES - 1), rel=1e-4)
    assert layer.modes.silhouette > 0.95
    assert layer.relative(layer.norm) == 1
    assert replace(layer, norm=0).relative(1.0) is math.nan
    assert np.isnan(layer.steps[0])


def test_norms_are_those_of_the_members(analysis, made_run):
    layer = analysis.layers[-1]
    assert layer.name == "decoder.seg_layers.1.weight"
    weights = read_trajectory(made_run.trajectory("0")).layers[layer.name].astype(float)
    members = [*PLATEAU, *(CYCLES + PLATEAU), *(2 * CYCLES + PLATEAU)]
    assert layer.weights == weights.shape[1] == 16
    assert layer.norm == pytest.approx(np.mean(np.sqrt((weights[members] ** 2).sum(axis=1))))


# Maps


def test_the_decoders_last_layer_is_drawn(analysis):
    assert analysis.drawn_name == LAST
    maps = analysis.maps
    assert maps.epochs is not None
    assert maps.members is not None
    assert maps.epochs.points.shape == (3 * CYCLES, 2)
    assert maps.members.points.shape == (12, 2)
    assert (maps.epochs.perplexity, maps.members.perplexity) == (CYCLES / 2, 2)


def test_a_map_is_reproducible_and_groups_cycles():
    cycles = np.repeat([0, 1, 2], 20)
    weights = np.random.default_rng(0).normal(size=(60, 30)).astype(np.float32)
    weights += 50 * np.eye(30, dtype=np.float32)[cycles]
    first, second = map_weights(weights, cycles), map_weights(weights, cycles)
    assert (first.points == second.points).all()
    centers = np.stack([first.points[cycles == c].mean(axis=0) for c in range(3)])
    nearest = np.linalg.norm(first.points[:, None] - centers, axis=2).argmin(axis=1)
    assert (nearest == cycles).all()


# Trajectories and members


def test_members_are_analysed_without_a_trajectory(trained_run):
    found = analyse_trajectory(trained_run)
    assert found.members.tolist() == found.epochs.tolist() == [2, 3, 6, 7, 10, 11]
    assert list(found.cycles) == [0, 0, 1, 1, 2, 2]
    maps = found.maps
    assert maps.epochs is None
    assert maps.members is not None
    assert maps.members.points.shape == (6, 2)
    layer = found.drawn
    assert layer.name.startswith("decoder.stages.")
    assert layer.modes.ratio > 1
    assert len(found.reports) == 12
    assert np.isfinite(layer.steps).tolist() == [False, True] * 3


def test_a_kept_trajectory_is_that_of_the_members(planned_run, hearts, warm_command, tmp_path):
    run = RunFolder(shutil.copytree(planned_run, tmp_path / "run"))
    flags = ("--preset", "demo", "--iterations-per-epoch", 2, "--batch-size", 2, "--seed", 3)
    flags += ("--epochs", 6, "--gamma", 0.5, "--keep-trajectory")
    done = warm_command.run("train", hearts, "--output", run.path, *flags, folder=tmp_path)
    assert done.code == 0, done.errors
    whole = analyse_trajectory(run.path)
    assert whole.epochs.tolist() == list(range(6))
    assert whole.members.tolist() == [1, 3, 5]
    assert whole.maps.epochs is not None
    assert whole.maps.members is None  # too few
    for epoch in (4, 5):
        (run.trajectory("0") / f"epoch_{epoch:04d}.npz").rename(tmp_path / f"{epoch}.npz")
    with pytest.raises(AppError) as caught:
        analyse_trajectory(run.path)
    (longer,) = caught.value.remedies
    assert longer == change("epochs", "5 or more")
    # A member has the weights of its epoch, in half precision.
    record = read_record(run.record)
    shutil.rmtree(run.trajectory("0"))
    with pytest.raises(AppError) as caught:
        analyse_trajectory(run.path)
    assert caught.value.values == {"folder": run.fold("0"), "count": 3, "needed": 5}
    assert caught.value.remedies == (change("keep_trajectory"),)
    rows = [{**row, "epoch": 10 * n} for n, row in enumerate(record.folds["0"]["members"] * 2)]
    record.folds["0"]["members"] = rows
    write_record(run.record, replace(record, schedule=replace(record.schedule, epochs=90)))
    of_members = analyse_trajectory(run.path)
    assert [layer.name for layer in of_members.layers] == [layer.name for layer in whole.layers]
    kept = whole.drawn.distances[np.ix_(whole.is_member, whole.is_member)]
    assert of_members.drawn.distances[:3, :3] == pytest.approx(kept, rel=1e-2)


def test_a_training_that_has_no_members_yet(tmp_path):
    run = make_run(tmp_path / "run", epochs=6)
    found = analyse_trajectory(run.path)
    assert found.maps.epochs is not None
    assert found.maps.members is None
    assert len(found.members) == 0
    assert math.isnan(found.drawn.modes.ratio)
    assert found.drawn.norm > 0


def test_added_cycles_are_cycles_too(tmp_path):
    run = make_run(tmp_path / "run", cycles=4)
    record = read_record(run.record)
    record.folds["0"]["added_cycles"] = [{"training_cases": ["a"], "dataset": {}, "command": ""}]
    write_record(
        run.record, replace(record, schedule=replace(record.schedule, epochs=30, cycles=3))
    )
    found = analyse_trajectory(run.path)
    assert found.schedule.all_cycles == 4
    assert np.unique(found.cycles).tolist() == [0, 1, 2, 3]


def test_a_missing_progress_file_gives_no_reports(run):
    run.progress.unlink()
    assert analyse_trajectory(run.path).reports == ()


# Errors


def test_a_missing_training_or_fold_is_refused(tmp_path, run):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(AppError, check=says_only(folder=folder, record="ensemble.json")):
            analyse_trajectory(folder)
    with pytest.raises(AppError) as caught:
        analyse_trajectory(run.path, fold="3")
    assert caught.value.values == {"folder": run.path, "fold": "3", "folds": "0"}
    assert caught.value.remedies == (change("fold"),)


def test_a_training_without_weights_is_refused(run):
    shutil.rmtree(run.trajectory("0"))
    record = read_record(run.record)
    record.folds["0"]["members"] = []
    write_record(run.record, record)
    with pytest.raises(AppError, check=says_only(NO_WEIGHTS, folder=run.fold("0"))):
        analyse_trajectory(run.path)


def test_too_few_epochs_are_refused(tmp_path):
    run = make_run(tmp_path / "run", epochs=4)
    with pytest.raises(AppError, check=says_only(folder=run.fold("0"), count=4, needed=5)):
        analyse_trajectory(run.path)


def test_damaged_files_are_refused(run):
    (run.trajectory("0") / "epoch_0007.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"epoch_0007\.npz"):
        analyse_trajectory(run.path)
    shutil.rmtree(run.trajectory("0"))
    run.members("0").mkdir()
    for member in read_record(run.record).members("0"):
        (run.path / member.file).write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"epoch_0006\.pth"):
        analyse_trajectory(run.path)


def straight_on(folder: Path, epochs: int = 3 * CYCLES) -> Path:
    """Make a run with one layer, which moves 0.1 an epoch along one weight without restarts."""
    for epoch in range(epochs):
        weights = {"only": np.array([[epoch / 10, 1]], np.float32)}
        write_epoch(RunFolder(folder).trajectory("0"), epoch, weights)
    return folder


def as_poly(folder: Path, like: RunFolder) -> Path:
    """Write a record without restarts into the folder; return the folder."""
    schedule = RestartSchedule(epochs=3 * CYCLES, cycles=1, shape="poly")
    write_record(RunFolder(folder).record, replace(read_record(like.record), schedule=schedule))
    return folder


def with_one_layer(analysis: TrajectoryAnalysis) -> TrajectoryAnalysis:
    layer = replace(analysis.drawn, name="only", weights=2)
    return replace(analysis, layers=(layer,), drawn_name="only")


def test_the_control_of_itself_is_itself(analysis, made_run, tmp_path):
    same = as_poly(Path(shutil.copytree(made_run.path, tmp_path / "same")), made_run)
    controlled = with_control(analysis, same)
    for layer in controlled.layers:
        assert layer.control is not None
        assert layer.control.ratio == pytest.approx(layer.modes.ratio)
        assert layer.control.silhouette == pytest.approx(layer.modes.silhouette)
    np.testing.assert_allclose(controlled.maps.control.points, controlled.maps.epochs.points)


def test_weights_that_move_on_form_groups_too(analysis, made_run, tmp_path):
    control = as_poly(straight_on(tmp_path / "poly"), made_run)
    (layer,) = with_control(with_one_layer(analysis), control).layers
    assert layer.control is not None
    assert layer.control.between == pytest.approx((1 + 1 + 2) / 3, rel=1e-5)
    assert layer.control.within == pytest.approx((3 * 0.1 + 2 * 0.2 + 0.3) / 6, rel=1e-5)
    assert layer.control.silhouette > 0.8


def test_a_control_without_some_epochs_has_no_map(analysis, made_run, tmp_path):
    few = as_poly(Path(shutil.copytree(made_run.path, tmp_path / "few")), made_run)
    (RunFolder(few).trajectory("0") / "epoch_0000.npz").unlink()
    controlled = with_control(analysis, few)
    assert controlled.drawn.control is not None
    assert controlled.maps.control is None


def test_unsuitable_controls_are_refused(analysis, made_run, tmp_path):
    with pytest.raises(AppError, check=says_only(folder=tmp_path, record="ensemble.json")):
        with_control(analysis, tmp_path)
    with pytest.raises(AppError, check=says_only(RESTARTED, run=made_run.path)):
        with_control(analysis, made_run.path)
    (tmp_path / "nothing kept").mkdir()
    with pytest.raises(DataError) as missing:
        with_control(analysis, as_poly(tmp_path / "nothing kept", made_run))
    assert "--keep-trajectory" in str(missing.value)
    other = as_poly(straight_on(tmp_path / "other"), made_run)
    with pytest.raises(AppError, check=says_only(run=other, layer="encoder.stages.0.conv.weight")):
        with_control(analysis, other)
    short = as_poly(Path(shutil.copytree(made_run.path, tmp_path / "short")), made_run)
    (RunFolder(short).trajectory("0") / "epoch_0027.npz").unlink()
    with pytest.raises(AppError, check=says_only(run=short, epoch=27)):
        with_control(analysis, short)
    assert len(read_trajectory(made_run.trajectory("0")).epochs) == 3 * CYCLES

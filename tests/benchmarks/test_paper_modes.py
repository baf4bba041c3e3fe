"""Groups of members in the space of weights, which the paper's experiment keeps."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.paper.modes import CONTROL, keep_modes, read_modes
from benchmarks.paper.trainings import Preset, trainings

from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record, write_record
from napari_bayes_nnunet.paper.trajectory.analysis import analyse_trajectory

from ..helpers.data.trajectories import CYCLES, make_run

PRESET = Preset(
    name="demo", epochs=3 * CYCLES, iterations=4, seeds=2, mirroring="none", shifted="all"
)


def test_modes_and_their_control_are_kept(tmp_path: Path) -> None:
    planned = {(t.kind, t.seed): t for t in trainings(PRESET)}
    first, control = (
        RunFolder(planned[key].folder(tmp_path)) for key in (("restarts", 1), CONTROL)
    )
    first.path.parent.mkdir(parents=True)
    made = make_run(first.path)
    (made.fold("0") / "checkpoint_final.pth").touch()
    keep_modes(tmp_path, PRESET)
    assert not list(read_modes(tmp_path, PRESET))  # there is no control yet
    shutil.copytree(made.path, control.path)
    schedule = planned[CONTROL].schedule
    write_record(control.record, replace(read_record(made.record), schedule=schedule))
    keep_modes(tmp_path, PRESET)
    shutil.rmtree(tmp_path / "trainings")
    keep_modes(tmp_path, PRESET)
    ((training, numbers),) = read_modes(tmp_path, PRESET)
    assert (training.kind, training.seed) == ("restarts", 1)
    make_run(first.path)
    modes = analyse_trajectory(first.path).first.modes
    assert numbers == pytest.approx([modes.ratio, modes.silhouette] * 2)

"""Tests of the cross-conformal check: its folds, and what is made of the left-out cases."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.cross_conformal import compare, ship, split
from benchmarks.held_back import SPLIT

from napari_bayes_nnunet.app.segmentation.calibration import read_calibrations
from napari_bayes_nnunet.io.ensemble.run_folder import read_record


def test_every_training_patient_is_left_out_once(tmp_path: Path) -> None:
    split(tmp_path / "splits.json", folds=4)
    folds = json.loads((tmp_path / "splits.json").read_text())
    (demo,) = json.loads(SPLIT.read_text())
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(demo["train"])
    for fold in folds:
        assert sorted([*fold["train"], *fold["val"]]) == sorted(demo["train"])
        patients = [{case.partition("_")[0] for case in fold[side]} for side in ("train", "val")]
        assert (len(patients[0]), len(patients[1]), patients[0] & patients[1]) == (48, 16, set())


def test_errors_of_runs_calibrate_an_ensemble_and_judge_a_recipe(
    trained_run: Path, hearts: Path, tmp_path: Path
) -> None:
    run, shipped = (tmp_path / name for name in ("run", "shipped"))
    for copy in (run, shipped):
        shutil.copytree(trained_run, copy)
    (shipped / "calibration.json").unlink()
    ship(shipped, hearts, [run], mirroring="none")
    (calibration,) = read_calibrations(shipped)
    assert (calibration.mirroring, calibration.cases) == ("none", _validation_cases(run))
    rows = compare(run, hearts, shipped, hearts, mirroring="none").splitlines()[2:]
    assert len(rows) == 11
    assert all(row.split(" | ")[-1].startswith("+0.0000") for row in rows)


def _validation_cases(run: Path) -> tuple[str, ...]:
    (fold,) = read_record(run / "ensemble.json").folds.values()
    return tuple(sorted(fold["validation_cases"]))

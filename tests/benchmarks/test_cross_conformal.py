"""Tests of the folds of the cross-conformal check."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.cross_conformal import split
from benchmarks.held_back import SPLIT


def test_every_training_patient_is_left_out_once(tmp_path: Path) -> None:
    split(tmp_path / "splits.json", folds=4)
    folds = json.loads((tmp_path / "splits.json").read_text())
    (demo,) = json.loads(SPLIT.read_text())
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(demo["train"])
    for fold in folds:
        assert sorted([*fold["train"], *fold["val"]]) == sorted(demo["train"])
        patients = [{case.partition("_")[0] for case in fold[side]} for side in ("train", "val")]
        assert (len(patients[0]), len(patients[1]), patients[0] & patients[1]) == (48, 16, set())

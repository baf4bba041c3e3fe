"""Reports of cases, also of version 0.1.0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.core.metrics.conformal import IntervalRule
from napari_bayes_nnunet.core.metrics.expected_dice import DiceRule
from napari_bayes_nnunet.io.study.case_report import (
    REPORT_FORMAT,
    expected_dice_entry,
    in_order_of_members,
    read_report,
)
from napari_bayes_nnunet.io.study.info import read_study_info

WRITTEN = Path(__file__).parents[2] / "fixtures" / "written_by_0_1_0"
STUDY = WRITTEN / "study" / "output" / "cine"
VOXEL_ML = 0.25
LV = 3


def lv_of_members(phase: int) -> list[float]:
    """Return the mL in the labels of each member, which 0.1.0 stored in the right order."""
    with np.load(STUDY / "posterior" / f"phase{phase:02d}.npz") as stored:
        return [float(VOXEL_ML * np.count_nonzero(m == LV)) for m in stored["members"]]


def test_volumes_of_an_old_study_are_sorted() -> None:
    info = read_study_info(STUDY)
    for phase, report in info.reports.items():
        assert report["volumes_ml"]["LV"]["members"] == lv_of_members(phase), phase
    assert list(info.reports[1]["member_epochs"]) == [2, 3, 6, 7]


def test_volumes_of_an_old_report_are_sorted(tmp_path: Path) -> None:
    file = STUDY.parent / "cine_frame01.json"
    written = json.loads(file.read_text())
    assert written["volumes_ml"]["LV"]["members"] != lv_of_members(1)
    report = read_report(file)
    assert report["volumes_ml"]["LV"]["members"] == lv_of_members(1)
    assert report | {"volumes_ml": 0} == written | {"volumes_ml": 0}


@pytest.mark.parametrize(
    "changes",
    [
        {"format": REPORT_FORMAT},
        {"volumes_ml": {"LV": {"ensemble": 3.0, "members": [3.0]}}},
        {"volumes_ml": {"LV": {"ensemble": 3.0}}},
        {"members": []},
    ],
    ids=["new", "mean weights", "no volumes", "no members"],
)
def test_other_reports_stay_as_they_are(changes: dict[str, Any]) -> None:
    members = [{"training": "", "fold": "0", "cycle": 0, "epoch": epoch} for epoch in (1, 2)]
    volumes = {"LV": {"ensemble": 3.0, "members": [1.0, 2.0]}}
    report = {"members": members, "volumes_ml": volumes} | changes
    assert in_order_of_members(report) == report


def test_missing_part_of_the_heart_has_an_expected_dice_of_0() -> None:
    """Members that find nothing agree, but a reference has every part."""
    interval = IntervalRule(bias=0.0, half_width_80=0.1, half_width_90=None, patients=8)
    line = DiceRule(intercept=0.0, slope=0.9, interval=interval)
    rules = {"any": dict.fromkeys(("RV", "LV", "scar"), line)}
    volumes = {"RV": 0.0, "LV": 80.0, "scar": 0.0}
    entry = expected_dice_entry(rules, dict.fromkeys(volumes, 1.0), volumes)
    assert entry["RV"] == {"value": 0.0}
    assert entry["LV"]["value"] == entry["scar"]["value"] == 0.9
    assert entry["LV"]["interval_80"] == pytest.approx([0.8, 1.0])

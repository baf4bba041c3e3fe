"""Expected Dice in the reports of cases."""

from __future__ import annotations

import json

import pytest

from napari_bayes_nnunet.core.metrics.conformal import IntervalRule
from napari_bayes_nnunet.core.metrics.expected_dice import DiceRule
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files.json_files import DAMAGED_JSON, NEWER_JSON
from napari_bayes_nnunet.io.study.case_report import expected_dice_entry, read_report

from ...helpers.checks.problems import says


def test_missing_part_of_the_heart_has_an_expected_dice_of_0():
    """Members that find nothing agree, but a reference has every part."""
    interval = IntervalRule(bias=0.0, half_width_80=0.1, half_width_90=None, patients=8)
    line = DiceRule(intercept=0.0, slope=0.9, interval=interval)
    rules = {"any": dict.fromkeys(("RV", "LV", "scar"), line)}
    volumes = {"RV": 0.0, "LV": 80.0, "scar": 0.0}
    entry = expected_dice_entry(rules, dict.fromkeys(volumes, 1.0), volumes)
    assert entry["RV"] == {"value": 0.0}
    assert entry["LV"]["value"] == entry["scar"]["value"] == 0.9
    assert entry["LV"]["interval_80"] == pytest.approx([0.8, 1.0])


def test_report_of_another_format_is_refused(tmp_path):
    file = tmp_path / "heart.json"
    content = {"volumes_ml": {"LV": {"ensemble": 5.0}}, "seconds": 1.0, "device": "cpu"}
    file.write_text(json.dumps({"format": 2, **content}))
    assert read_report(file)["volumes_ml"] == content["volumes_ml"]
    for entry, reason in (
        ({}, DAMAGED_JSON),
        ({"format": 1}, DAMAGED_JSON),
        ({"format": 3}, NEWER_JSON),
    ):
        file.write_text(json.dumps(entry | content))
        with pytest.raises(DataError, check=says(reason)):
            read_report(file)

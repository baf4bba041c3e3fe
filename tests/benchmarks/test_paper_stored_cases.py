"""Evaluations of cases as JSON."""

from __future__ import annotations

import json
import math

import numpy as np
from benchmarks.paper.stored_cases import case_from_json, case_to_json
from benchmarks.stored_bins import bins_to_json

from napari_bayes_nnunet.app.evaluation.aggregates import ALL
from napari_bayes_nnunet.io.files.atomic import null_for_nan
from tests.helpers.data.evaluations import made_case

NOTHING = {"probabilities": None, "pairwise_dice": None, "groups": {"vendor": "A"}}


def test_evaluation_survives_json():
    ends = {80: (1.0, 2.0)}
    case = made_case(1, expected_dice={"LV": 0.9}, volume_intervals={"LV": ends})
    text = json.dumps(case_to_json(case), allow_nan=False)
    again = case_from_json(json.loads(text))
    assert case_to_json(again) == case_to_json(case)
    np.testing.assert_equal(again.numbers, case.numbers)


def test_evaluation_of_version_0_2_0_is_read():
    case = made_case(1)
    structures = {name: case.numbers[name] for name in case.structures}
    columns = ("nll", "distant_entropy", "mean_entropy")
    content = {
        "case": case.case,
        "patient": case.patient,
        "groups": {},
        "structures": structures,
        "reliability": bins_to_json(case.reliability),
        "detection": {"entropy": {"auroc": 0.8, "auprc": 0.5, "errors": 9, "voxels": 99}},
        "intervals": {},
        **{column: case.number(column) for column in columns},
    }
    again = case_from_json(null_for_nan(content))
    assert again.number("auroc entropy") == 0.8
    for column in (*columns, "dice", "ece"):
        assert again.number(column) == case.number(column)
    assert again.number("dice", "LV") == case.number("dice", "LV")


def test_undefined_numbers_are_null_in_json():
    content = case_to_json(made_case(1, **NOTHING))
    assert content["numbers"][ALL]["nll"] is None
    assert content["reliability"] is None
    assert content["numbers"]["LV"]["pairwise_dice"] is None
    again = case_from_json(content)
    assert math.isnan(again.number("nll"))
    assert math.isnan(again.number("pairwise_dice", "LV"))
    assert again.reliability is None
    assert (again.case, again.patient, again.groups) == ("p1_frame01", "p1", {"vendor": "A"})

"""Evaluations of cases as JSON."""

from __future__ import annotations

import json
import math

from benchmarks.paper.stored_cases import case_from_json, case_to_json

from tests.helpers.data.evaluations import made_case

NOTHING = {"probabilities": None, "pairwise_dice": None, "groups": {"vendor": "A"}}


def test_evaluation_survives_json():
    ends = {"low_80": 1.0, "high_80": 2.0}
    case = made_case(1, expected_dice={"LV": 0.9}, volume_intervals={"LV": ends})
    text = json.dumps(case_to_json(case), allow_nan=False)
    again = case_from_json(json.loads(text))
    assert case_to_json(again) == case_to_json(case)
    assert again.ece == case.ece
    assert again.structures == case.structures
    assert again.intervals["LV volume"].ends(80) == (1, 2)
    assert again.means == case.means
    assert again.detection == case.detection


def test_undefined_numbers_are_null_in_json():
    content = case_to_json(made_case(1, **NOTHING))
    assert content["nll"] is None
    assert content["reliability"] is None
    assert content["structures"]["LV"]["pairwise_dice"] is None
    again = case_from_json(content)
    assert math.isnan(again.nll)
    assert math.isnan(again.structures["LV"].pairwise_dice)
    assert again.reliability is None
    assert (again.case, again.patient, again.groups) == ("p1_frame01", "p1", {"vendor": "A"})

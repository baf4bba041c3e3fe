"""The row of a study: its numbers are those of the review, rebuilt from its reports alone."""

import math
import pickle
from dataclasses import replace

import pytest

from napari_bayes_nnunet.app.cohort.table import NUMBERS, failed_row, paired_row, study_row
from napari_bayes_nnunet.app.prediction.function_entry import PhasePair
from tests.helpers.data.studies import made_report


def report(lv: tuple[float, ...], *, myo: float = 100.0, **changes):
    """Of one phase: the LV in mL by the ensemble, then by each member."""
    volumes = {
        "LV": {"ensemble": lv[0], "members": lv[1:]},
        "MYO": {"ensemble": myo, "members": [myo, myo]},
        "RV": {"ensemble": 0.0, "members": [0.0, 1.0]},
    }
    made = {"volumes_ml": volumes, "seconds": 1.5, "device": "cpu"}
    return made_report(**(made | changes))


def test_ed_and_es_are_found_by_the_volumes():
    volumes = {1: (80, 78, 82), 2: (100, 98, 104), 3: (40, 41, 39)}
    phases = {phase: report(lv, phases=3) for phase, lv in volumes.items()}
    row = study_row("a/heart", "done", phases)
    assert (row.ed, row.es) == (2, 3)
    ef = row.numbers["LV EF"]
    assert ef.value == pytest.approx(60)
    of_members = [100 * (98 - 41) / 98, 100 * (104 - 39) / 104]
    spread = (of_members[1] - of_members[0]) / math.sqrt(2)
    assert ef.spread == pytest.approx(spread)
    assert row.numbers["LV mass"].value == pytest.approx(105)
    assert "RV EDV" not in row.numbers  # nothing was found, which is no volume of 0
    assert set(row.numbers) < set(NUMBERS)
    assert (row.seconds, row.device) == (4.5, "cpu")


def test_ed_and_es_are_those_of_the_reports():
    told = {"ED": 1, "ES": 3}
    row = study_row("heart", "done", {1: report((80, 1), **told), 3: report((90, 1), **told)})
    assert (row.ed, row.es) == (1, 3)
    assert row.numbers["LV EDV"].value == 80


def test_some_phases_have_no_ejection_fraction():
    some = {1: report((80, 78, 82), phases=20), 2: report((100, 98, 104), phases=20)}
    told = {phase: {**each, "ED": 1, "ES": 8} for phase, each in some.items()}
    for reports in (some, told):
        row = study_row("a/heart", "done", reports)
        assert (row.ed, row.es) == (None, None)
        assert "LV EF" not in row.numbers


def test_quality_is_the_expected_dice_if_calibrated():
    plain = report((80, 78, 82), pairwise_dice={"LV": 0.9})
    expected = {**plain, "expected_dice": {"LV": {"value": 0.8}, "RV": {"value": 0.6}}}
    assert study_row("heart", "done", {None: plain}).quality == pytest.approx(0.9)
    assert study_row("heart", "done", {None: expected}).quality == pytest.approx(0.7)


def test_a_volume_has_no_ejection_fraction():
    row = study_row("heart", "done", {None: report((80, 78, 82))})
    assert set(row.numbers) == {"LV volume", "LV mass"}
    assert (row.ed, row.es) == (None, None)


def test_ed_of_a_pair_has_the_function_and_the_quality_of_its_phase():
    row = study_row("p_ED", "done", {None: report((80, 78, 82))})
    changed = report((80, 78, 82), expected_dice={"LV": {"value": 0.8}}, warnings=["Odd."])
    of_both = {1: report((80, 78, 82), phases=2), 2: report((40, 41, 39), phases=2)}
    measured = study_row("p", "done", of_both).numbers
    assert "LV EF" in measured
    reports = dict.fromkeys(("p_ED", "p_ES"), changed)
    pair = PhasePair(ed="p_ED", es="p_ES", reports=reports, measured=measured)
    for case, function in (("p_ED", measured), ("p_ES", {})):
        paired = paired_row(replace(row, case=case), pair)
        assert paired.warnings == ("Odd.",)
        assert dict(paired.numbers) == (function or row.numbers)
        assert paired.quality == pytest.approx(0.8)


def test_reports_of_before_have_no_volumes_of_members():
    old = report((80,))
    del old["volumes_ml"]["LV"]["members"]
    row = study_row("heart", "done", {None: old})
    assert row.numbers["LV volume"].value == 80
    assert math.isnan(row.numbers["LV volume"].spread)


def test_quality_and_warnings_are_those_of_all_phases():
    phases = {1: report((80, 1), warnings=["odd"]), 2: report((40, 1), warnings=["odd", "dark"])}
    phases[2]["pairwise_dice"] = {"LV": 0.5, "RV": None}
    row = study_row("heart", "done", phases)
    assert row.quality == pytest.approx((3 * 0.9 + 0.5) / 4)
    assert row.warnings == ("odd", "dark")
    assert (
        study_row("heart", "done", {None: report((8, 1)) | {"pairwise_dice": {}}}).quality is None
    )


def test_rows_travel_between_processes():
    for row in (study_row("heart", "done", {None: report((8, 7, 9))}), failed_row("b", "Broken.")):
        assert pickle.loads(pickle.dumps(row)) == row


def test_the_worst_come_first_and_the_unknown_last():
    rows = [study_row(name, "done", {None: report((8, 7))}) for name in "ab"]
    unknown = study_row("0", "done", {None: report((8, 7)) | {"pairwise_dice": {}}})
    worst = study_row("z", "done", {None: report((8, 7)) | {"pairwise_dice": {"LV": 0.1}}})
    rows += [unknown, worst]
    assert [row.case for row in sorted(rows, key=lambda row: row.worst_first)] == list("zab0")


def test_intervals_follow_the_rules_in_the_reports():
    rule = {"bias": 1.0, "half_width_80": 2.0, "half_width_90": 4.0, "patients": 12}
    rules = {"volumes": {"LV": rule}, "function": {"LV EF": rule}}
    ends = {1: report((80, 78, 82), ED=1, ES=3), 3: report((40, 41, 39), ED=1, ES=3)}
    calibrated = {phase: {**each, "calibration": rules} for phase, each in ends.items()}
    row = study_row("heart", "done", calibrated)
    assert row.numbers["LV EF"].intervals == {80: (49, 53), 90: (47, 55)}
    assert row.numbers["LV EDV"].intervals == {}
    volume = study_row("heart", "done", {None: {**report((80, 78, 82)), "calibration": rules}})
    assert volume.numbers["LV volume"].intervals[90] == (77, 85)
    mixed = {1: calibrated[1], 3: ends[3]}
    assert study_row("heart", "done", mixed).numbers["LV EF"].intervals == {}

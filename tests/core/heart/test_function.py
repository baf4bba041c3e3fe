"""EF, output and mass, with the spread of the members."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.heart.function import Patient, heart_function
from napari_bayes_nnunet.core.heart.slice_volumes import PhaseVolumes
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule, RemainingChange

from ...helpers.checks.problems import says

KNOWN = Patient(height_cm=180, weight_kg=80, heart_rate=60)


def phase(reviewed: Sequence[int] = (), **structures: list[list[float]]) -> PhaseVolumes:
    """Return volumes per structure and slice, of the labels and then of each member."""
    volumes = {name: np.array(rows, float) for name, rows in structures.items()}
    slices = next(iter(volumes.values())).shape[1]
    return PhaseVolumes(
        labels={name: rows[0] for name, rows in volumes.items()},  # type: ignore[misc]
        members={name: rows[1:] for name, rows in volumes.items()},  # type: ignore[misc]
        reviewed=np.isin(np.arange(slices), reviewed),
    )


ED = phase(
    LV=[[60, 60], [58, 58], [62, 66]],
    MYO=[[50, 50], [49, 49], [51, 51]],
    RV=[[70, 80], [70, 78], [72, 80]],
)
ES = phase(
    LV=[[30, 20], [30, 18], [30, 24]],
    MYO=[[55, 55], [50, 50], [60, 60]],
    RV=[[40, 40], [40, 40], [40, 40]],
)


def test_the_left_and_right_ventricle():
    found = heart_function({1: ED, 8: ES}, ed=1, es=8)
    values = {name: measured.value for name, measured in found.items()}
    assert values == pytest.approx(
        {
            "LV EDV": 120, "LV ESV": 50, "LV SV": 70, "LV EF": 100 * 70 / 120, "LV mass": 105,
            "RV EDV": 150, "RV ESV": 80, "RV SV": 70, "RV EF": 100 * 70 / 150,
        }
    )  # fmt: skip
    assert [found[name].unit for name in ("LV EDV", "LV EF", "LV mass")] == ["mL", "%", "g"]
    assert found["LV EF"].title == "Left ventricle, ejection fraction"
    assert all(name == measured.name and measured.help for name, measured in found.items())


def test_same_member_is_taken_at_ed_and_es():
    found = heart_function({1: ED, 8: ES}, ed=1, es=8)
    members = [100 * (116 - 48) / 116, 100 * (128 - 54) / 128]
    assert found["LV EF"].spread == pytest.approx(statistics.stdev(members))
    assert found["LV EDV"].spread == pytest.approx(statistics.stdev([116, 128]))
    assert found["LV mass"].spread == pytest.approx(1.05 * statistics.stdev([98, 102]))


def test_reviewed_slices_leave_no_spread():
    some = heart_function({1: replace(ED, reviewed=np.array([True, False])), 8: ES}, ed=1, es=8)
    assert some["LV EDV"].value == 120
    assert some["LV EDV"].spread == pytest.approx(statistics.stdev([118, 126]))
    seen = np.array([True, True])
    every = {1: replace(ED, reviewed=seen), 8: replace(ES, reviewed=seen)}
    assert {m.spread for m in heart_function(every, ed=1, es=8).values()} == {0.0}


def test_output_needs_the_heart_rate():
    found = heart_function({1: ED, 8: ES}, ed=1, es=8, patient=Patient(heart_rate=60))
    assert (found["LV CO"].value, found["LV CO"].unit) == (pytest.approx(4.2), "L/min")
    assert found["LV CO"].spread == pytest.approx(0.06 * statistics.stdev([68, 74]))
    assert "LV CI" not in found


def test_indexed_by_body_surface_area():
    found = heart_function({1: ED, 8: ES}, ed=1, es=8, patient=KNOWN)
    for name, index in [
        ("LV EDV", "LV EDVi"),
        ("LV ESV", "LV ESVi"),
        ("RV SV", "RV SVi"),
        ("LV CO", "LV CI"),
        ("LV mass", "LV mass index"),
    ]:
        assert found[index].value == pytest.approx(found[name].value / 2)
        assert found[index].spread == pytest.approx(found[name].spread / 2)
        assert found[index].unit == f"{found[name].unit}/m²"
    assert "2.00 m²" in found["LV EDVi"].help
    assert list(found)[:8] == [
        "LV EDV", "LV ESV", "LV SV", "LV EF", "LV CO", "LV mass", "LV EDVi", "LV ESVi",
    ]  # fmt: skip


def test_every_number_names_its_phases():
    found = heart_function({1: ED, 8: ES}, ed=1, es=8, patient=KNOWN)
    both, first, last = (1, 8), (1,), (8,)
    expected = {
        "EDV": first, "ESV": last, "SV": both, "EF": both, "CO": both, "mass": first,
        "EDVi": first, "ESVi": last, "SVi": both, "CI": both, "mass index": first,
    }  # fmt: skip
    assert {name[3:]: m.phases for name, m in found.items() if name[:2] == "LV"} == expected
    single = heart_function({None: ED}, patient=KNOWN)
    assert {measured.phases for measured in single.values()} == {(None,)}


def test_of_one_phase_volumes_and_mass_are_known():
    found = heart_function({None: ED}, patient=KNOWN)
    assert {name: m.value for name, m in found.items() if "index" not in name} == pytest.approx(
        {"LV volume": 120, "LV mass": 105, "RV volume": 150}
    )
    assert found["RV volume index"].value == pytest.approx(75)


@pytest.mark.parametrize("es", [None, 1, 5])
def test_without_end_systole_there_is_no_ef(es):
    assert list(heart_function({1: ED}, ed=1, es=es)) == ["LV EDV", "LV mass", "RV EDV"]


def test_without_end_diastole_there_is_no_mass():
    assert list(heart_function({8: ES}, es=8)) == ["LV ESV", "RV ESV"]


def test_what_the_labels_lack_is_left_out():
    ed = phase(LV=[[60, 60], [58, 58]])
    es = phase(LV=[[0, 0], [20, 20]])
    assert list(heart_function({1: ed, 8: es}, ed=1, es=8)) == ["LV EDV"]
    assert list(heart_function({1: es, 8: ed}, ed=1, es=8)) == ["LV ESV"]
    assert heart_function({}, ed=1, es=8) == {}


def test_a_member_without_the_ventricle_has_no_ef():
    ed = phase(LV=[[60], [0], [58], [62]])
    es = phase(LV=[[30], [30], [30], [30]])
    found = heart_function({1: ed, 8: es}, ed=1, es=8)
    members = [100 * 28 / 58, 100 * 32 / 62]
    assert found["LV EF"].spread == pytest.approx(statistics.stdev(members))
    assert found["LV EDV"].spread == pytest.approx(statistics.stdev([0, 58, 62]))


def test_of_one_member_the_spread_is_unknown():
    one = {1: phase(LV=[[60], [58]]), 8: phase(LV=[[30], [30]])}
    found = heart_function(one, ed=1, es=8)
    assert found["LV EF"].value == 50
    assert all(math.isnan(measured.spread) for measured in found.values())


def test_other_members_at_es_make_spread_unknown():
    other = phase(LV=[[30, 20], [30, 18], [30, 24], [20, 10]])
    found = heart_function({1: ED, 8: other}, ed=1, es=8)
    assert found["LV EF"].value == pytest.approx(100 * 70 / 120)
    assert math.isnan(found["LV EF"].spread)
    assert found["LV ESV"].spread > 0


def test_body_surface_area():
    assert KNOWN.body_surface_area == pytest.approx(2.0)
    assert Patient(height_cm=180).body_surface_area is None
    assert Patient(weight_kg=80).body_surface_area is None


@pytest.mark.parametrize(
    ("field", "value", "limits"),
    [
        ("height_cm", 1.8, "from 20 to 280 cm"),
        ("weight_kg", -3.0, "from 0.3 to 650 kg"),
        ("heart_rate", 0.0, "from 10 to 400 beats/min"),
        ("height_cm", math.nan, "from 20 to 280 cm"),
        ("weight_kg", math.inf, "from 0.3 to 650 kg"),
    ],
)
def test_a_patient_no_human_could_be(field, value, limits):
    with pytest.raises(InputError) as error:
        Patient(**{field: value})
    assert error.value.values["value"] is value
    assert error.value.values["limits"] == limits


def test_a_sex_is_one_of_two_or_unknown():
    assert [Patient(sex=sex).sex for sex in ("m", "f", None)] == ["m", "f", None]
    with pytest.raises(InputError, check=says(known="f, m")):
        Patient(sex="male")  # type: ignore[arg-type]


RULES = {
    name: IntervalRule(bias=0.0, half_width_80=2.0, half_width_90=6.0, patients=16)
    for name in ("LV EDV", "LV SV", "LV EF", "RV ESV", "LV mass")
}


def test_rules_give_the_intervals_also_of_derived_numbers():
    found = heart_function({1: ED, 8: ES}, ed=1, es=8, patient=KNOWN, rules=RULES)
    assert found["LV EDV"].intervals == {80: (118, 122), 90: (114, 126)}
    assert found["LV ESV"].intervals == {}
    assert found["LV CO"].intervals[90] == pytest.approx((64 * 0.06, 76 * 0.06))
    area = KNOWN.body_surface_area
    assert found["LV EDVi"].intervals[90] == pytest.approx((114 / area, 126 / area))
    assert found["LV CI"].intervals[90] == pytest.approx((64 * 0.06 / area, 76 * 0.06 / area))


def test_interval_is_remaining_change_at_the_spread_left():
    """Members: 116 and 128 mL, and 118 and 126 mL once the first slice is reviewed.

    Before it, the bound is that of a whole review, whatever the spread.
    """
    spreads = statistics.stdev([118, 126]), statistics.stdev([116, 128]), 99.0
    bounds = {"bounds_80": (3, 5, 6), "bounds_90": (4, 5, 200)}
    rule = RemainingChange(spreads=spreads, patients=16, **bounds)
    rules = {"LV EDV": rule, "RV EDV": rule}
    before = heart_function({1: ED}, ed=1, rules=rules, patient=KNOWN)
    assert before["LV EDV"].intervals == {80: (114, 126), 90: (0, 320)}
    assert before["LV EDVi"].intervals == {80: (57, 63), 90: (0, 160)}
    reviewed = replace(ED, reviewed=np.array([True, False]))
    assert heart_function({1: reviewed}, ed=1, rules=rules)["LV EDV"].intervals == {
        80: (117, 123), 90: (116, 124),
    }  # fmt: skip
    one = phase(LV=[[60, 60], [58, 58]])  # without a spread
    assert heart_function({1: one}, ed=1, rules=rules)["LV EDV"].intervals == {}


def test_width_grows_with_the_spread():
    rule = replace(RULES["LV EDV"], difficulty_floor=1.0)
    found = heart_function({1: ED, 8: ES}, ed=1, es=8, rules={"LV EDV": rule})["LV EDV"]
    low, high = found.intervals[80]
    assert high - low == pytest.approx(2 * 2 * (1 + found.spread))


def test_ejection_fraction_is_plausible_up_to_100():
    rule = replace(RULES["LV EDV"], half_width_90=90.0)
    found = heart_function({1: ED, 8: ES}, ed=1, es=8, rules={"LV EF": rule})["LV EF"]
    assert found.intervals[90] == (0, 100)


def test_mass_in_an_unknown_phase_has_the_rule_of_the_volume():
    rules = {"LV mass": RULES["LV EDV"], "MYO volume": replace(RULES["LV EDV"], bias=1.0)}
    mass = heart_function({None: ED}, rules=rules)["LV mass"]
    low, high = mass.value + 1.05 * (1 - 2), mass.value + 1.05 * (1 + 2)
    assert mass.intervals[80] == pytest.approx((low, high))
    in_phase = heart_function({1: ED}, ed=1, rules=rules)["LV mass"]
    assert in_phase.intervals[80] == pytest.approx((mass.value - 2, mass.value + 2))

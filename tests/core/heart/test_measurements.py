"""Volumes, their spread, end-diastole and end-systole, and the names of structures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.heart.measurements import (
    canonical_structure,
    end_diastole_and_systole,
    measure_spread,
    volumes_ml,
)

from ...helpers.checks.problems import says

HEART = {"RV": 1, "MYO": 2, "LV": 3}


def test_volumes_in_ml():
    labels = np.zeros((10, 20, 20), np.uint8)
    labels[2:7, 5:10, 4:14] = 3
    labels[0, 0, :4] = 1
    found = volumes_ml(labels, (10.0, 1.5, 1.25), HEART)
    assert found == pytest.approx({"RV": 0.075, "MYO": 0.0, "LV": 4.6875})


def test_spread_over_members():
    found = measure_spread([100.0, 104.0, 108.0])
    assert (found.mean, found.standard_deviation) == (104.0, 4.0)
    assert (found.minimum, found.maximum) == (100.0, 108.0)


def test_spread_takes_an_array_and_gives_plain_numbers():
    found = measure_spread(np.array([1, 2], np.float32))  # type: ignore[arg-type]
    assert all(type(value) is float for value in vars(found).values())


def test_spread_of_one_member_is_unknown():
    found = measure_spread([104.0])
    assert (found.mean, found.minimum, found.maximum) == (104.0, 104.0, 104.0)
    assert math.isnan(found.standard_deviation)


@pytest.mark.parametrize(
    ("volumes", "phases"),
    [
        ([120.0, 100.0, 60.0, 80.0, 110.0], (1, 3)),
        ([60.0, 80.0, 120.0], (3, 1)),
        ([120.0, 60.0, 60.0, 120.0], (1, 2)),
        ([120.0, 0.0, 60.0, math.nan], (1, 3)),
        ([0.0, 90.0], (2, 2)),
    ],
)
def test_end_diastole_and_systole(volumes, phases):
    assert end_diastole_and_systole(volumes) == phases


@pytest.mark.parametrize("volumes", [[], [0.0, 0.0], [math.nan]])
def test_without_lv_there_is_no_end_diastole(volumes):
    with pytest.raises(InputError, check=says(count=len(volumes))):
        end_diastole_and_systole(volumes)


@pytest.mark.parametrize(
    ("structure", "names"),
    [
        ("RV", "RV|rv|Right Ventricle|right_ventricle|right ventricular cavity|RV cavity|RVC|RVBP"),
        ("RV", "RV blood pool|RV_endo|rightVentricle|heart_ventricle_right|R.V."),
        ("MYO", "MYO|Myo|myo|myocardium|Myocardium|LV myocardium|LVM|LV_Myo|LVMyo|LV-MYO|Myocard"),
        ("MYO", "left ventricular myocardium|myocardium of the left ventricle|heart_myocardium"),
        ("LV", "LV|lv|Left Ventricle|left_ventricle|LV cavity|LVC|LV blood pool|LVBP|LV bloodpool"),
        ("LV", "LeftVentricle|left ventricle blood cavity|LVendo|LVcavity|heart_ventricle_left"),
    ],
)
def test_synonyms_of_data_sets(structure, names):
    found = {name: canonical_structure(name) for name in names.split("|")}
    assert found == dict.fromkeys(found, structure)


@pytest.mark.parametrize(
    "name",
    ["background", "", " ", "1", "LV2", "left atrium", "LA", "RV myocardium", "RVM", "RV wall",
     "LV scar", "LV epicardium", "ventricle", "cavity", "left", "m", "c", "heart", "aorta",
     "left and right ventricle", "liver"],
)  # fmt: skip
def test_other_names_have_no_canonical_structure(name):
    assert canonical_structure(name) is None

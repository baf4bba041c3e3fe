"""Normal ranges: which range a number has, and whether it lies outside."""

import csv
import math
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest

from napari_bayes_nnunet.core.heart.function import Measured, Patient
from napari_bayes_nnunet.core.heart.normal_ranges import (
    AGE_UNKNOWN,
    ALL_NUMBERS,
    HIGH,
    LOW,
    OTHER_AGE,
    NormalRange,
    NormalRanges,
    compare,
)
from napari_bayes_nnunet.io.heart.normal_ranges import PETERSEN, read_normal_ranges

CSV = files("napari_bayes_nnunet.io.heart") / "petersen2017.csv"
ROWS = list(csv.DictReader(CSV.read_text(encoding="utf-8").splitlines()[2:]))
INDEXED = {"LV mass/BSA": "LV mass index"}
"""Names of quantities that do not only get an i."""
AGE = 60


def limits_of(quantity: str, sex: str) -> tuple[float, float]:
    """Return the limits that count, by the order of the kinds."""
    rows = [row for row in ROWS if (row["quantity"], row["sex"]) == (quantity, sex)]
    kinds = ["abnormal beyond", "95 % interval", "mean and SD"]
    row = min(rows, key=lambda row: kinds.index(row["kind"]))
    if row["kind"] == "mean and SD":
        mean, sd = float(row["mean"]), float(row["sd"])
        return mean - 1.96 * sd, mean + 1.96 * sd
    return float(row["low"]), float(row["high"])


def number(name: str, value: float, **about: Any) -> Measured:
    given = {"title": name, "spread": 1.0, "unit": "mL", "help": "", "phases": (1,)} | about
    return Measured(name=name, value=value, **given)


def verdict(name: str, value: float, patient: Patient, ranges: NormalRanges | None = None) -> str:
    found = compare(number(name, value), patient, ranges or read_normal_ranges(PETERSEN))
    assert found is not None
    return found.verdict


def test_the_table_is_that_of_the_paper():
    values = {(row["quantity"], row["sex"]): row for row in ROWS if row["kind"] == "mean and SD"}
    of_ef = [values["LV EF", sex] for sex in "mf"]
    assert [(row["mean"], row["sd"]) for row in of_ef] == [("58", "5"), ("61", "5")]
    assert limits_of("LV EDV", "m") == (93, 232)
    assert limits_of("RV ESV/BSA", "f") == (16, 55)
    assert len(ROWS) == 40
    assert {(row["age_low"], row["age_high"]) for row in ROWS} == {("45", "74")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "{quantity} {sex} {kind}".format(**row))
def test_a_number_is_judged_by_each_row(row):
    quantity, sex = row["quantity"], row["sex"]
    name = INDEXED.get(quantity, quantity.replace("/BSA", "i"))
    patient = Patient(sex=sex, age=AGE)
    low, high = (round(limit, 1) for limit in limits_of(quantity, sex))
    assert verdict(name, low - 0.06, patient) == LOW
    assert verdict(name, low - 0.04, patient) == verdict(name, high + 0.04, patient) == ""
    assert verdict(name, high + 0.06, patient) == HIGH


@pytest.mark.parametrize(
    ("value", "expected"), [(79, LOW), (80, ""), (92, ""), (176, ""), (232, ""), (233, HIGH)]
)
def test_an_unknown_sex_is_outside_of_both_or_not(value, expected):
    assert verdict("LV EDV", value, Patient(age=AGE)) == expected


def test_an_unknown_sex_shows_both_ranges():
    found = compare(number("LV EDV", 1), Patient(), read_normal_ranges(PETERSEN))
    assert found is not None
    assert found.text == "93–232\n80–175"
    assert len(found.lines) == 2


def test_a_range_of_one_sex_gives_no_verdict_without_the_sex():
    ranges = read_normal_ranges(PETERSEN)
    found = compare(number("RV EF", 5), Patient(age=AGE), ranges)
    assert found is not None
    assert (found.text, found.verdict) == ("–\n47–68", "")
    assert verdict("RV EF", 5, Patient(sex="f")) == LOW
    assert compare(number("RV EF", 5), Patient(sex="m"), ranges) is None


@pytest.mark.parametrize(("age", "known"), [(44.9, False), (45, True), (74.9, True), (75, False)])
def test_other_ages_have_no_range_and_it_is_said(age, known):
    ranges, patient = read_normal_ranges(PETERSEN), Patient(sex="m", age=age)
    assert (compare(number("LV EDV", 1), patient, ranges) is not None) == known
    said = OTHER_AGE.format(names=ALL_NUMBERS, age=math.floor(age)) in ranges.describe(patient)
    assert said == (not known)


def test_an_unknown_age_is_said_with_the_source():
    found = compare(number("LV EDV", 1), Patient(sex="m"), read_normal_ranges(PETERSEN))
    assert found is not None
    assert AGE_UNKNOWN.format(names=ALL_NUMBERS, ages="45 to 74") in found.notes
    assert "10.1186/s12968-017-0327-9" in found.notes[0]
    known = compare(number("LV EDV", 1), Patient(sex="m", age=50), read_normal_ranges(PETERSEN))
    assert known is not None
    assert len(known.notes) == 1


@pytest.mark.parametrize(
    ("name", "sex", "kind"),
    [
        ("LV EDV", "f", "(abnormal beyond)"),
        ("LV EF", "f", "(95 % interval)"),
        ("LV EF", "m", "(mean ± 1.96 SD)"),
    ],
)
def test_the_kind_of_the_range_is_said(name, sex, kind):
    found = compare(number(name, 1), Patient(sex=sex), read_normal_ranges(PETERSEN))
    assert found is not None
    assert kind in found.lines[0]


def groups(*ages: tuple[float, float, float, float]) -> NormalRanges:
    rows = [
        NormalRange(
            quantity="LV EDV", sex="m", kind="95 % interval", low=low, high=high, ages=(first, last)
        )
        for first, last, low, high in ages
    ]
    return NormalRanges(source="Site", ranges=rows)


def test_a_known_age_chooses_its_group():
    ranges = groups((20, 39, 100, 200), (40, 59, 90, 180))
    assert verdict("LV EDV", 190, Patient(sex="m", age=39.9), ranges) == ""
    assert verdict("LV EDV", 190, Patient(sex="m", age=40), ranges) == HIGH
    assert verdict("LV EDV", 190, Patient(sex="m"), ranges) == ""
    assert verdict("LV EDV", 89, Patient(sex="m"), ranges) == LOW


def test_numbers_without_a_range_at_an_age_are_named():
    edv = groups((20, 39, 100, 200), (60, 79, 90, 180)).ranges
    of_men = NormalRange(quantity="RV EF", sex="m", kind="95 % interval", low=50, high=70)
    ranges = NormalRanges(source="Site", ranges=[*edv, of_men, replace(of_men, quantity="LV EF")])

    def said(**patient: Any) -> tuple[str, ...]:
        return ranges.describe(Patient(**patient))[1:]

    assert said(sex="m", age=50) == (OTHER_AGE.format(names="LV EDV", age=50),)
    assert said(sex="m") == (AGE_UNKNOWN.format(names="LV EDV", ages="20 to 79"),)
    assert said(sex="m", age=39) == said(sex="f", age=50) == ()


def test_a_set_without_ages_is_for_all():
    ranges = groups((0, math.inf, 100, 200))
    assert verdict("LV EDV", 201, Patient(sex="m", age=5), ranges) == HIGH
    assert len(ranges.describe(Patient())) == 1


def test_a_number_without_a_range_has_no_comparison():
    ranges = read_normal_ranges(PETERSEN)
    assert compare(number("LV mass", 100), Patient(sex="m"), ranges) is None
    assert compare(number("LV EDV", 100), Patient(sex="m"), NormalRanges()) is None
    assert compare(number("LV EDV", 9, phases=(None,)), Patient(sex="m"), ranges) is None
    assert verdict("LV EDV", math.nan, Patient(sex="m")) == ""
    assert NormalRanges().describe(Patient(age=3)) == ()

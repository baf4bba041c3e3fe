"""Numbers side by side."""

from __future__ import annotations

import math
import re

from napari_bayes_nnunet.app.review.report_numbers import number, numbers_table, with_spread

from ...helpers.reviews import AFTER, BEFORE, measured, numbers


def rows(table: str) -> list[list[str]]:
    """The texts of every row."""
    return [
        [re.sub(r"<[^>]+>", "|", cell).strip("|") for cell in re.findall(r"<t[dh].*?</t[dh]>", row)]
        for row in re.findall(r"<tr.*?</tr>", table)
    ]


def test_before_and_after_with_their_spread() -> None:
    assert rows(numbers_table(BEFORE, AFTER)) == [
        ["", "Prediction", "± models", "After review", "± left", "Change", "Unit"],
        ["Left ventricle"],
        ["End-diastolic volume|LV EDV", "120.0", "± 3.2", "118.0", "± 1.0", "−2.0", "mL"],
        ["Ejection fraction|LV EF", "55.5", "± 2.5", "57.8", "± 1.2", "+2.2", "%"],
        ["Right ventricle"],
        ["Cardiac output|RV CO", "5.13", "± 0.25", "5.13", "± 0.25", "0", "L/min"],
    ]


def test_what_is_there_only_before_or_after() -> None:
    table = numbers_table(numbers(measured("RV EDV", 90)), numbers(measured("LV EDV", 120, 2)))
    assert [row[1:6] for row in rows(table) if len(row) > 1][1:] == [
        ["–", "–", "120.0", "± 2.0", "–"],
        ["90.0", "–", "–", "–", "–"],
    ]


def test_a_number_in_words() -> None:
    assert with_spread(AFTER["LV EF"]) == ("57.8", "± 1.2 %")
    assert with_spread(measured("LV EDV", 120)) == ("120.0", "mL")
    assert number(None) == number(measured("LV EDV", math.nan)) == "–"

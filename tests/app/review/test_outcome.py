"""Names of studies, phases and slices."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.app.review.outcome import all_names

from ...helpers.data.reviews import measured, numbers, review


@pytest.mark.parametrize(
    "study",
    ["patient007", "/data/Jane Doe/patient007", "C:\\Jane Doe\\patient007", "x/patient007/"],
)
def test_name_is_last_part_of_path(study: str) -> None:
    assert review(study=study).name == "patient007"


def test_place_counts_slices_from_one() -> None:
    made = review()
    assert made.place(8, 2) == "Phase 8 (ES), slice 3"
    assert made.place(1, 0) == "Phase 1 (ED), slice 1"
    assert made.place(4, 0) == "Phase 4, slice 1"
    assert made.place(None, 0) == "Slice 1"
    assert made.phase_title(None) == ""


def test_names_after_review_come_first() -> None:
    before = numbers(measured("LV EDV", 1), measured("RV EDV", 1))
    assert all_names(before, numbers(measured("LV EF", 1), measured("LV EDV", 1))) == [
        "LV EF", "LV EDV", "RV EDV",
    ]  # fmt: skip

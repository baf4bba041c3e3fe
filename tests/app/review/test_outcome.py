"""Names of studies and of slices."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.app.review.outcome import all_names

from ...helpers.reviews import measured, numbers, review


@pytest.mark.parametrize(
    "study",
    ["patient007", "/data/Jane Doe/patient007", "C:\\Jane Doe\\patient007", "x/patient007/"],
)
def test_of_a_path_only_the_last_part_is_told(study: str) -> None:
    assert review(study=study).name == "patient007"


def test_slices_count_from_one_and_phases_say_their_role() -> None:
    made = review()
    assert made.place(8, 2) == "Phase 8 (ES), slice 3"
    assert made.place(1, 0) == "Phase 1 (ED), slice 1"
    assert made.place(4, 0) == "Phase 4, slice 1"
    assert made.place(None, 0) == "Slice 1"
    assert made.phase_title(None) == ""


def test_names_after_the_review_come_first() -> None:
    before = numbers(measured("LV EDV", 1), measured("RV EDV", 1))
    assert all_names(before, numbers(measured("LV EF", 1), measured("LV EDV", 1))) == [
        "LV EF", "LV EDV", "RV EDV",
    ]  # fmt: skip

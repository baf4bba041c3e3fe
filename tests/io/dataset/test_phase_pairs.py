"""End-diastole and end-systole among 3D images."""

import pytest

from napari_bayes_nnunet.io.dataset.phase_pairs import (
    named_ends,
    phase_number,
    phase_order,
    phase_pairs,
)


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        (("p1_frame01", "p1_frame12"), [("p1_frame12", "p1_frame01")]),
        (("a/p1_phase01", "a/p1_phase_12"), [("a/p1_phase_12", "a/p1_phase01")]),
        (("p1_sa_ED", "p1_sa_ES"), [("p1_sa_ED", "p1_sa_ES")]),  # the names count
        (("p1-es", "p1-ed"), [("p1-ed", "p1-es")]),
        (("p1_ED_frame01", "p1_ES_frame12"), [("p1_ED_frame01", "p1_ES_frame12")]),
        (("sub-01_ses-1_ED", "sub-01_ses-2_ED"), []),
        (("sub-01_ses-1", "sub-01_ses-2"), []),
        (("p1_frame01", "p1_frame05", "p1_frame12"), []),
        (("p1_frame01", "p2_frame12"), []),
    ],
)
def test_pairs_are_two_phases_of_one_examination(cases, expected):
    volumes = {case: {"LV": 50.0 + 10 * place} for place, case in enumerate(cases)}
    assert phase_pairs(volumes) == expected


def test_order_of_equal_lv_is_that_of_the_rv():
    volumes = {"p_frame01": {"RV": 40.0}, "p_frame02": {"RV": 60.0}}
    assert phase_pairs(volumes) == [("p_frame02", "p_frame01")]
    assert phase_pairs({case: {"MYO": 50.0} for case in volumes}) == []


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        (("p1_ED", "p1_ES"), (1, 2)),
        (("p1-es", "p1-ed"), (2, 1)),
        (("p1_frame01", "p1_frame12"), None),
        (("p1_ED", "p1_frame12"), None),
        ((), None),
    ],
)
def test_names_say_which_case_is_ed(cases, expected):
    assert named_ends(cases) == expected


def test_phases_are_ordered_by_end_and_number():
    cases = ["p_frame10", "p_frame9", "p_phase_2"]
    assert [phase_number(case) for case in cases] == [10, 9, 2]
    assert phase_number("p_ED") is None
    assert sorted(cases, key=phase_order) == cases[::-1]
    ends = ["p_ES_frame01", "p_ED_frame19"]
    assert sorted(ends, key=phase_order) == ends[::-1]
    assert sorted(["p_frame12", "p_ED"], key=phase_order) == ["p_ED", "p_frame12"]

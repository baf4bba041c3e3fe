"""What stands beside the numbers of a review: normal ranges, or papillary muscles as muscle."""

from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.app.review.accepted_slices import measure_review
from napari_bayes_nnunet.app.review.comparisons import (
    AS_MUSCLE,
    NOTHING_BY_RULE,
    PAPILLARY,
    describe_rules,
)
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.core.heart.normal_ranges import LOW, NormalRanges
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule
from napari_bayes_nnunet.io.heart.normal_ranges import PETERSEN, read_normal_ranges
from napari_bayes_nnunet.io.study.study import read_study

from ...helpers.data.cines import CINE, ED, ES, LV, MYO, SPACING, make_cine

ML = np.prod(SPACING) / 1000
DARK = {ED: 30, ES: 10}
"""Voxels of papillary muscle in each phase."""


@pytest.fixture
def session(tmp_path: Path) -> ReviewSession:
    """A review whose image has dark voxels in the cavity of two slices."""
    session = ReviewSession(read_study(make_cine(tmp_path / "heart")))
    voxels = np.where(session.labels == LV, 300, 100)
    for phase, count in DARK.items():
        for z in (0, 1):
            y, x = np.nonzero(session.labels[phase - 1, z] == LV)
            voxels[phase - 1, z, y[: count // 2], x[: count // 2]] = 90
    assert voxels.shape == CINE.shape
    session.voxels, session.ranges = voxels, read_normal_ranges(PETERSEN)
    return session


def test_numbers_and_indexed_numbers_have_their_ranges(session: ReviewSession) -> None:
    session.change(patient=Patient(sex="m", age=60, height_cm=170, weight_kg=70))
    numbers, _ = measure_review(session)
    found = {name: n.comparison for name, n in numbers.items() if n.comparison is not None}
    assert found["LV EDV"].text == "93–232"
    assert found["LV EDV"].verdict == LOW  # the made heart is small
    assert found["LV EDVi"].text == "52–117"
    assert found["LV mass index"].text == "35.4–70.6"
    assert {"LV mass", "RV EF"}.isdisjoint(found)
    session.change(patient=Patient(sex="m", age=30))
    assert all(n.comparison is None for n in measure_review(session)[0].values())
    assert "30" in describe_rules(session)[-1]


def test_papillary_muscles_as_muscle_are_a_second_set(session: ReviewSession) -> None:
    before, labels = measure_review(session)[0], session.labels.copy()
    session.change(papillary_as_muscle=True)
    numbers, _ = measure_review(session)
    second = {n.name: n.comparison.value for n in numbers.values() if n.comparison is not None}
    edv, esv = before["LV EDV"].value - DARK[ED] * ML, before["LV ESV"].value - DARK[ES] * ML
    assert second["LV EDV"] == pytest.approx(edv)
    assert second["LV ESV"] == pytest.approx(esv)
    assert second["LV EF"] == pytest.approx(100 * (edv - esv) / edv)
    assert second["LV mass"] == pytest.approx(before["LV mass"].value + DARK[ED] * ML * 1.05)
    assert {name: n.value for name, n in numbers.items()} == {n: m.value for n, m in before.items()}
    assert np.array_equal(session.labels, labels)
    assert not any(name.startswith("RV") for name in second)
    assert describe_rules(session) == [PAPILLARY, AS_MUSCLE, NOTHING_BY_RULE]


def test_a_second_rule_ends_intervals_ranges_and_spread(session: ReviewSession) -> None:
    rule = IntervalRule(bias=0, half_width_80=3, half_width_90=5, patients=20)
    session.numbers.rules = {"LV EF": rule}
    assert session.predicted()["LV EF"].intervals
    assert session.measured()["LV EF"].intervals
    session.change(papillary_as_muscle=True, patient=Patient(sex="m"))
    for numbers in (session.predicted(), measure_review(session)[0]):
        assert not any(n.intervals for n in numbers.values())
        assert all(np.isnan(n.spread) for n in numbers.values())
    besides = [n.comparison for n in measure_review(session)[0].values()]
    assert {beside.verdict for beside in besides if beside} == {""}
    session.change(papillary_as_muscle=False)
    assert session.measured()["LV EF"].intervals


def test_without_an_image_there_is_no_second_set(session: ReviewSession) -> None:
    session.voxels = None
    session.change(papillary_as_muscle=True)
    assert all(n.comparison is None for n in measure_review(session)[0].values())


def test_an_edit_changes_the_second_set(session: ReviewSession) -> None:
    session.change(papillary_as_muscle=True)
    session.labels[ED - 1, 0][session.labels[ED - 1, 0] == LV] = MYO
    session.note_change([(ED, 0)], tool="brush")
    numbers, _ = measure_review(session)
    comparison = numbers["LV EDV"].comparison
    assert comparison is not None
    assert comparison.value == pytest.approx(numbers["LV EDV"].value - DARK[ED] / 2 * ML)


def test_rules_are_said_without_ranges_too(session: ReviewSession) -> None:
    session.ranges = NormalRanges()
    assert describe_rules(session) == [PAPILLARY]

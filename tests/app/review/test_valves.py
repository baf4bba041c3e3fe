"""Valve planes in a study under review: findings, removal, and volumes that end at them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.app.review.accepted_slices import measure_review
from napari_bayes_nnunet.app.review.comparisons import (
    BY_VALVE_PLANE,
    NO_VALVE_PLANE,
    describe_rules,
)
from napari_bayes_nnunet.app.review.ends import without_atria
from napari_bayes_nnunet.app.review.export import collect_outcome
from napari_bayes_nnunet.app.review.findings import describe_finding
from napari_bayes_nnunet.app.review.report_page import report_page
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.review.valve_points import hinges_of, points_on
from napari_bayes_nnunet.core.heart.plausibility import Fault
from napari_bayes_nnunet.io.study.study import read_study

from ...helpers.data.cines import ED, ES, LV, MYO, RV, SHAPE, SPACING, make_cine
from ...helpers.data.valves import hinges_at, long_axis, mark

ML = np.prod(SPACING) / 1000
BASAL = (ES, 0)


@pytest.fixture
def session(tmp_path: Path) -> ReviewSession:
    """A review with the mitral valve 0.2 slices above slice 1 at ED, 0.4 below it at ES."""
    session = ReviewSession(read_study(make_cine(tmp_path / "heart")))
    mark(session, ED, -0.2)
    mark(session, ES, 0.4)
    return session


def count(session: ReviewSession, phase: int, label: int, z: int) -> int:
    return int(np.count_nonzero(session.labels_in((phase, z)) == label))


def test_slice_beyond_the_valve_is_a_finding_in_the_queue(session) -> None:
    found = [f for f in session.findings() if f.fault is Fault.ATRIUM]
    assert [(f.place, f.structure) for f in found] == [(BASAL, "LV")]
    assert found[0].amount == pytest.approx(0.9 * count(session, ES, LV, 0) * ML)
    said = describe_finding(session, found[0])
    assert (said.values["slice"], said.values["structure"]) == ("Slice 1, ES", "LV")
    assert next((item.phase, item.z) for item in session.with_findings(())) == BASAL
    session.decide(BASAL, "accepted")
    assert not session.findings()


def test_shares_of_slices_move_with_the_valve(session) -> None:
    assert session.kept_in(ED, "LV") == pytest.approx([0.7, 1, 1, 1])
    assert session.kept_in(ES, "MYO") == pytest.approx([0.1, 1, 1, 1])
    assert session.kept_in(ED, "RV") is None
    assert session.valve_plane(2, "mitral") is not None  # between ED and ES
    height = session.study.info.geometry.affine_in_mm
    plane = session.valve_plane(2, "mitral")
    assert plane.normal @ (height @ (0, 0, 0.1, 1))[:3] == pytest.approx(plane.normal @ plane.point)


def test_removal_takes_cavity_with_wall_and_leaves_the_rest(session) -> None:
    mark(session, ES, 1.4, "tricuspid")
    slices = without_atria(session, ES)
    assert slices.keys() == {(ES, 0), (ES, 1)}
    assert not slices[ES, 0].any()
    assert np.array_equal(
        slices[ES, 1], np.where(session.labels[2, 1] == RV, 0, session.labels[2, 1])
    )
    session.change(protected=("LV",))
    kept = without_atria(session, ES)[ES, 0]
    assert {*np.unique(kept)} == {0, MYO, LV}
    assert without_atria(session, ED) == {}


def test_volumes_by_valve_plane_stand_beside_whole_slices(session) -> None:
    whole, _ = measure_review(session)
    assert whole["LV EF"].comparison is None
    session.change(by_valve_plane=True)
    numbers, _ = measure_review(session)
    edv, esv = (
        sum(k * count(session, phase, LV, z) for z, k in enumerate((basal, 1, 1, 1))) * ML
        for phase, basal in ((ED, 0.7), (ES, 0.1))
    )
    found = {name: n.comparison.value for name, n in numbers.items() if n.comparison}
    assert found["LV EDV"] == pytest.approx(edv)
    assert found["LV EF"] == pytest.approx(100 * (edv - esv) / edv)
    assert found["LV mass"] < numbers["LV mass"].value
    assert not {name for name in found if name.startswith("RV")}
    assert {n: m.value for n, m in numbers.items()} == {n: m.value for n, m in whole.items()}
    assert all(not n.intervals and np.isnan(n.spread) for n in numbers.values())
    assert BY_VALVE_PLANE in describe_rules(session)


def test_basal_slice_reaches_up_to_the_plane(session) -> None:
    session.labels[ED - 1, 0] = 0
    session.recount([(ED, 0)])
    assert session.kept_in(ED, "LV") == pytest.approx([1, 1.7, 1, 1])


def test_preview_does_not_move_the_numbers(session) -> None:
    before = session.kept_in(ES, "LV")
    session.preview = BASAL, session.labels_in(BASAL).copy()
    session.labels_in(BASAL)[...] = 0
    assert session.kept_in(ES, "LV") == pytest.approx(before)
    assert session.as_shown().kept_in(ES, "LV") == pytest.approx([1, 1.1, 1, 1])


def test_without_hinges_nothing_is_corrected(tmp_path: Path) -> None:
    session = ReviewSession(read_study(make_cine(tmp_path / "heart")))
    session.change(by_valve_plane=True)
    assert session.valve_plane(ED, "mitral") is None
    assert all(n.comparison is None for n in measure_review(session)[0].values())
    assert NO_VALVE_PLANE in describe_rules(session)
    mark(session, ED, SHAPE[0])
    assert session.valve_plane(ES, "mitral") is None  # one phase does not say how it moves


def test_undo_of_a_decision_returns_the_hinges(session) -> None:
    before = session.decided(BASAL)
    mark(session, ES, -1)
    after = session.decided(BASAL)
    session.put_back(BASAL, before, tool="undo or redo")
    assert session.kept_in(ES, "LV") == pytest.approx([0.1, 1, 1, 1])
    session.put_back(BASAL, after, tool="undo or redo")
    assert session.kept_in(ES, "LV") == pytest.approx([1.5, 1, 1, 1])


def test_report_names_both_volumes(session) -> None:
    session.change(by_valve_plane=True)
    outcome = collect_outcome(session, None, [])
    both = outcome.after["LV EDV"]
    page = report_page(outcome)
    assert both.comparison.lines[0] in page
    assert f"{both.comparison.value:.1f}" in both.comparison.lines[0]
    assert f"<b>{both.value:.1f}</b>" in page


def test_points_on_the_long_axis_are_those_that_are_marked(session) -> None:
    axis = long_axis(session)
    mitral, tricuspid = points_on(session, ES, axis)
    assert (mitral.key, mitral.is_marked) == ((ES, "mitral", "4CH"), True)
    # Slice 0.4 is 3.2 mm from slice 0, which is in row 10, and columns 10 and 42 are 1.25 mm apart.
    assert mitral.pixels == pytest.approx(np.array([[13.2, 12.5], [13.2, 52.5]]))
    assert not tricuspid.is_marked
    moved = hinges_of(axis, mitral.pixels)
    known = hinges_at(session, 0.4)
    for name in ("first", "second"):
        assert getattr(moved, name) == pytest.approx(getattr(known, name))
    assert np.abs(np.dot(moved.normal, known.normal)) == pytest.approx(1)


def test_points_not_marked_lie_in_the_basal_slice_of_the_cavity(tmp_path: Path) -> None:
    session = ReviewSession(read_study(make_cine(tmp_path / "heart")))
    mitral, tricuspid = points_on(session, ED, long_axis(session))
    for points, label in ((mitral, LV), (tricuspid, RV)):
        columns = np.flatnonzero(session.labels_in((ED, 0))[18] == label) * 1.25
        assert points.pixels[:, 0] == pytest.approx(10)
        assert sorted(points.pixels[:, 1]) == pytest.approx([columns[0], columns[-1]])
        assert not points.is_marked
    assert [points.key[1] for points in points_on(session, ED, long_axis(session, "2CH"))] == [
        "mitral"
    ]
    assert points_on(session, 2, long_axis(session)) == []  # not segmented
    assert session.valve_plane(ED, "mitral") is None

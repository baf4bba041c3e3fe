"""Steps of base and apex: slices that gain or lose a structure, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.review import ends as module
from napari_bayes_nnunet.app.review.ends import End, EndStep, ShapeSource, move_end
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.io.images.geometry import Geometry

from ...helpers.data.cines import ED, LV, MYO, RV, SHAPE, drawn

BASE, APEX, MIDDLE = (ED, 0), (ED, 3), (ED, 2)


def clear(session: ReviewSession, label: int, *slices: int, prediction: bool = False) -> None:
    """Remove a structure from slices of ED, also from the prediction if wanted."""
    for volume in (session.labels, session.study.prediction)[: 1 + prediction]:
        for z in slices:
            volume[ED - 1, z][volume[ED - 1, z] == label] = 0


def refused(session: ReviewSession, end: End, *, outwards: bool, place: tuple = MIDDLE) -> AppError:
    with pytest.raises(AppError) as caught:
        move_end(session, place, RV, end, outwards=outwards)
    assert caught.value.values["structure"] == "RV"
    return caught.value


def step(session: ReviewSession, end: End, *, outwards: bool, label: int = RV) -> EndStep:
    made = move_end(session, MIDDLE, label, end, outwards=outwards)
    session.labels_in(made.place)[...] = made.labels
    return made


@pytest.mark.parametrize(("end", "places"), [(End.BASE, (0, 1)), (End.APEX, (3, 2))])
def test_an_end_moves_slice_by_slice_and_back(session, end, places) -> None:
    for z in places:
        gone = step(session, end, outwards=False)
        assert (gone.place, gone.source) == ((ED, z), None)
        assert not (gone.labels == RV).any()
    for z in reversed(places):
        came = step(session, end, outwards=True)
        assert (came.place, came.source) == ((ED, z), ShapeSource.PREDICTION)
    assert np.array_equal(session.labels == RV, session.study.prediction == RV)


def test_a_structure_of_no_slice_begins_on_screen(session) -> None:
    clear(session, RV, *range(SHAPE[0]))
    for end in End:
        assert refused(session, end, outwards=False).statement.template == module.NOWHERE
        assert move_end(session, MIDDLE, RV, end, outwards=True).place == MIDDLE


def test_a_structure_appears_as_most_models_draw_it(session) -> None:
    clear(session, RV, 0, prediction=True)
    came = step(session, End.BASE, outwards=True)
    assert (came.place, came.source) == (BASE, ShapeSource.MEMBERS)
    alternatives = [a for a in session.alternatives_in(BASE) if (a.labels == RV).any()]
    assert came.members == len(alternatives[0].members)
    assert np.array_equal(came.labels == RV, alternatives[0].labels == RV)


def test_structure_unknown_here_is_as_in_next_slice(session) -> None:
    clear(session, RV, 0, prediction=True)
    session.study.posteriors.clear()
    came = step(session, End.BASE, outwards=True)
    assert (came.source, came.members) == (ShapeSource.NEIGHBOUR, 0)
    next_ = session.labels_in((ED, 1))
    assert np.array_equal(came.labels == RV, next_ == RV)


def test_the_wall_goes_and_comes_with_the_cavity(session) -> None:
    before = session.labels.copy()
    gone = step(session, End.BASE, outwards=False, label=LV)
    assert set(np.unique(gone.labels)) == {0, RV}
    step(session, End.BASE, outwards=True, label=LV)
    assert np.array_equal(session.labels, before)
    apical = step(session, End.APEX, outwards=False, label=LV)
    assert (apical.labels[drawn(ED, 2)[3] == LV] == MYO).all()


@pytest.fixture
def no_position(monkeypatch) -> None:
    monkeypatch.setattr(Geometry, "starts_at_base", None)


@pytest.mark.usefixtures("no_position")
def test_ends_follow_the_order_of_the_slices(session) -> None:
    for volume in (session.labels, session.study.prediction):
        volume[...] = volume[:, ::-1].copy()
    assert session.base_is_first is False
    assert step(session, End.BASE, outwards=False).place == (ED, SHAPE[0] - 1)
    assert step(session, End.APEX, outwards=False).place == BASE


def test_position_of_the_stack_says_where_the_base_is(session) -> None:
    for volume in (session.labels, session.study.prediction):
        volume[...] = volume[:, ::-1].copy()
    assert session.base_is_first is True


@pytest.mark.usefixtures("no_position")
def test_an_unknown_order_begins_with_the_base(session) -> None:
    session.study.prediction[...] = 0
    assert session.base_is_first is None
    gone = step(session, End.BASE, outwards=False, label=LV)
    assert gone.place == BASE
    assert MYO in gone.labels  # the base is not known well enough to remove the wall


def test_finished_structures_edges_and_unknown_shapes_are_refused(session) -> None:
    session.change(protected=("RV",))
    for outwards in (True, False):
        error = refused(session, End.BASE, outwards=outwards)
        assert error.statement.template == module.IS_LOCKED
    session.change(protected=())
    for end in End:
        error = refused(session, end, outwards=True)
        assert error.statement.template == module.NO_SLICE_LEFT
        assert error.values["end"] == end.value
    clear(session, RV, *range(SHAPE[0]), prediction=True)
    session.study.posteriors.clear()
    error = refused(session, End.BASE, outwards=True)
    assert error.statement.template == module.NOTHING_KNOWN
    assert error.values["slice"] == MIDDLE[1] + 1


def test_a_structure_under_finished_ones_is_refused(session) -> None:
    clear(session, RV, 0)
    session.change(protected=("LV", "MYO"))
    session.labels_in(BASE)[...] = MYO
    error = refused(session, End.BASE, outwards=True)
    assert error.statement.template == module.UNDER_LOCKED

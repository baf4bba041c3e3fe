"""Tests of the reader who corrects slices with the reference in mind."""

import numpy as np
import pytest

from napari_bayes_nnunet.paper.review.simulated_reader import (
    ACCEPT_COST,
    QUICK,
    REDRAW_COST,
    SimulatedReader,
    Tool,
)

from ...helpers.data.posteriors import posterior_of
from ...helpers.data.slices import HEART, LV, MYO, RV, disk, heart

SPACING = (8.0, 1.5, 1.5)


def read(members, reference, *, z=0, tools=tuple(Tool)):
    """Return the reader of (n, Z, Y, X) members, and its reading of one slice."""
    reader = SimulatedReader(
        posterior_of(np.asarray(members)), np.asarray(reference), spacing=SPACING,
        structures=HEART, tools=tools,
    )  # fmt: skip
    return reader, reader.read(z)


def tools_of(reading):
    return [correction.tool for correction in reading.corrections]


def test_right_slice_is_accepted_at_once():
    reader, reading = read([[heart()], [heart()]], [heart()])
    assert reading.corrections == ()
    assert reading.cost == ACCEPT_COST
    assert reader.gross(0) == 0


def test_errors_near_a_contour_need_no_correction():
    _, reading = read([[heart(lv=8)]], [heart(lv=9)])
    assert reading.corrections == ()


def test_cheapest_tool_that_solves_the_slice_is_taken():
    """The level is one drag; the alternative is the third of its round."""
    without, right = heart(rv=0), heart()
    members = [[without], [without], [without], [right], [right]]
    reader, reading = read(members, [right])
    assert len(reading.corrections) == 1
    assert reading.cost == ACCEPT_COST + 1
    assert reading.corrections[0].removed > 0
    assert reader.gross(0) == 0
    np.testing.assert_array_equal(reader.labels, reader.reference)


@pytest.mark.parametrize("tool", [Tool.LEVEL, Tool.ALTERNATIVE, Tool.ENDS, Tool.SCRIBBLE])
def test_every_quick_tool_finds_a_missing_structure(tool):
    members = [[heart(rv=0)], [heart(rv=0)], [heart()]]
    reader, reading = read(members, [heart()], tools=[tool])
    assert tools_of(reading) == [tool]
    assert reader.gross(0) == 0
    assert reader.left_after_one(0) == {tool: 0}


def test_structure_no_model_sees_is_drawn():
    members = [[heart(rv=0)], [heart(rv=0)]]
    reader, reading = read(members, [heart()])
    assert tools_of(reading) == [Tool.REDRAW]
    assert reading.cost == ACCEPT_COST + REDRAW_COST
    assert reader.gross(0) == 0
    _, given_up = read(members, [heart()], tools=QUICK)
    assert given_up.corrections == ()


@pytest.mark.parametrize(("width", "handles"), [(4, 1), (7, 2), (12, 2), (14, 3)])
def test_contour_costs_a_handle_for_each_centimetre(width, handles):
    """The wrong piece has a diagonal of 8.5, 12.1, 19.0 and 21.8 mm."""
    bulge = heart()
    bulge[2:6, 2 : 2 + width] = RV
    reader, reading = read([[bulge], [bulge]], [heart()], tools=[Tool.CONTOUR])
    assert tools_of(reading) == [Tool.CONTOUR]
    assert reading.corrections[0].cost == 1 + handles
    assert reader.gross(0) == 0
    np.testing.assert_array_equal(reader.labels == MYO, reader.reference == MYO)


@pytest.mark.parametrize(("before", "after"), [(0, MYO), (MYO, 0)])
def test_a_push_flattens_a_bulge_and_fills_a_bite(before, after):
    right = heart(rv=0)
    wrong = right.copy()
    at_the_wall = disk(6, at=(32 + 13, 36), shape=right.shape)
    wrong[at_the_wall & (right == before)] = after
    reader, reading = read([[wrong], [wrong]], [right], tools=[Tool.PUSH])
    assert tools_of(reading) == [Tool.PUSH]
    assert reading.cost == ACCEPT_COST + 1
    assert reader.gross(0) == 0
    np.testing.assert_array_equal(reader.labels == LV, reader.reference == LV)


def test_structures_beyond_the_base_are_removed_together():
    members = [[heart(), heart(), heart(), heart(lv=4)]] * 2
    nothing = np.zeros_like(heart())
    right = [nothing, heart(), heart(), heart(lv=4)]
    reader, reading = read(members, right, tools=[Tool.ENDS])
    assert tools_of(reading) == [Tool.ENDS, Tool.ENDS]  # LV with its wall, and RV
    assert not reader.labels[0].any()


def test_left_after_one_changes_no_labels():
    reader, _ = read([[heart(), heart(rv=0)], [heart(), heart()]], [heart(), heart()])
    before = reader.labels.copy()
    left = reader.left_after_one(1)
    assert set(left) == set(QUICK)
    assert min(left.values()) == 0 < reader.gross(1)
    np.testing.assert_array_equal(reader.labels, before)
    assert reader.left_after_one(0) == dict.fromkeys(QUICK, 0)


def test_labels_of_structures_may_be_of_any_number():
    numbers = np.array([0, 7, 2, 5], np.uint8)
    members, right = np.asarray([[heart(rv=0)], [heart()]]), np.asarray([heart()])
    usual_reader, usual = read(members, right)
    reader = SimulatedReader(
        posterior_of(numbers[members], classes=8), numbers[right], spacing=SPACING,
        structures={name: int(numbers[label]) for name, label in HEART.items()},
    )  # fmt: skip
    reading = reader.read(0)
    assert len(reading.corrections) == len(usual.corrections) > 0
    assert tools_of(reading) == tools_of(usual)
    np.testing.assert_array_equal(reader.labels, numbers[usual_reader.labels])


def test_structure_without_a_name_is_left_as_predicted():
    members = np.asarray([[heart(rv=0)], [heart()]])
    reader = SimulatedReader(
        posterior_of(members), np.asarray([heart()]), spacing=SPACING,
        structures={"LV": LV, "MYO": MYO},
    )  # fmt: skip
    assert reader.read(0).corrections == ()
    assert reader.gross(0) > 0

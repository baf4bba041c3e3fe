"""Tests of the cine player."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_bayes_nnunet.io.images.geometry import Geometry, make_geometry
from napari_bayes_nnunet.widgets.layers import cine_player
from napari_bayes_nnunet.widgets.layers.cine_player import (
    ACQUIRED_RATE,
    UNKNOWN_RATE,
    CinePlayer,
    layer_frame_time,
)
from napari_bayes_nnunet.widgets.layers.viewing import (
    current_phase,
    show_in_reading_orientation,
    show_place,
    shown_place,
)

from ...helpers.windows.settling import settle
from ..conftest import CINE, OBLIQUE, VOLUME, image_layer


class Clock:
    """Clock that moves only by `pass_ms`, so that the rate does not depend on the machine."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def pass_ms(self, milliseconds: float) -> None:
        self.seconds += milliseconds / 1000


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(cine_player, "perf_counter", made)
    return made


@pytest.fixture
def viewer(tmp_path) -> ViewerModel:
    """Return a viewer with a cine of 5 phases, 46 ms apart."""
    model = ViewerModel()
    show_in_reading_orientation(model, model.add_layer(image_layer(tmp_path, CINE)))
    show_place(model, model.layers[0], (1, 2))
    return model


@pytest.fixture
def player(viewer, clock, qapp) -> CinePlayer:
    made = CinePlayer(viewer, viewer.layers[0])
    yield made
    made.close()


@pytest.fixture
def phase_after(qtbot, viewer, player, clock):
    """Return a function that waits some ms and returns the displayed phase."""

    def after(milliseconds: float) -> int:
        clock.pass_ms(milliseconds)
        with qtbot.waitSignal(player._timer.timeout):
            pass
        return current_phase(viewer, viewer.layers[0])

    return after


def test_phases_follow_each_other_at_their_distance(player, phase_after) -> None:
    player.start()
    assert [phase_after(46) for _ in range(7)] == [2, 3, 4, 5, 1, 2, 3]


def test_slow_drawing_skips_phases(player, phase_after) -> None:
    player.start()
    assert phase_after(3 * 46) == 4
    assert phase_after(46) == 5
    assert phase_after(5 * 46) == 5
    assert phase_after(20) == 5


def test_the_slice_stays(viewer, player, phase_after) -> None:
    player.start()
    phase_after(92)
    assert shown_place(viewer, viewer.layers[0]) == (3, 2)


def test_playback_continues_from_the_place_chosen_meanwhile(viewer, player, phase_after) -> None:
    player.start()
    phase_after(46)
    show_place(viewer, viewer.layers[0], (4, 0))
    assert phase_after(46) == 4
    assert phase_after(46) == 5
    assert shown_place(viewer, viewer.layers[0]) == (5, 0)


def test_start_stop_and_toggle(qtbot, viewer, player, phase_after) -> None:
    told: list[bool] = []
    player.playing_changed.connect(told.append)
    player.start()
    player.start()
    assert player.is_playing
    phase_after(46)
    player.stop()
    player.stop()
    assert not player.is_playing
    player.toggle()
    assert phase_after(46) == 2
    player.toggle()
    assert told == [True, False, True, False]
    settle(qtbot, player)
    assert current_phase(viewer, viewer.layers[0]) == 1


def test_stopping_returns_to_where_playing_began(viewer, player, phase_after) -> None:
    show_place(viewer, viewer.layers[0], (2, 1))
    player.start()
    assert phase_after(46) == 3
    player.stop()
    assert shown_place(viewer, viewer.layers[0]) == (2, 1)
    player.start()
    phase_after(46)
    show_place(viewer, viewer.layers[0], (4, 0))  # the reader goes elsewhere meanwhile
    assert phase_after(46) == 4
    assert phase_after(46) == 5
    player.stop()
    assert shown_place(viewer, viewer.layers[0]) == (4, 0)


def test_pausing_stays_at_the_displayed_phase(viewer, player, phase_after) -> None:
    player.start()
    assert phase_after(46) == 2
    player.pause()
    assert not player.is_playing
    assert current_phase(viewer, viewer.layers[0]) == 2


def test_playback_stops_when_the_image_is_removed(viewer, player) -> None:
    told: list[bool] = []
    player.playing_changed.connect(told.append)
    player.start()
    viewer.layers.clear()
    assert told == [True, False]
    assert not player.is_playing


def test_playback_stops_if_time_is_displayed(qtbot, viewer, player, clock) -> None:
    player.start()
    viewer.dims.order = (1, 2, 0, 3)
    clock.pass_ms(46)
    with qtbot.waitSignal(player.playing_changed) as stopped:
        pass
    assert stopped.args == [False]
    assert not player.is_playing
    player.start()
    assert not player.is_playing


def test_a_stack_stored_in_another_order_plays_too(tmp_path, qtbot, clock) -> None:
    affine = OBLIQUE[:, [2, 0, 1, 3]]
    stack = make_geometry((5, 16, 20, 4), (1.5, 1.25, 8), frame_time=40, affine=affine)
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, stack))
    show_in_reading_orientation(viewer, layer)
    assert layer.data.shape == (5, 4, 16, 20)
    player = CinePlayer(viewer, layer)
    before = viewer.dims.point
    player.start()
    clock.pass_ms(80)
    qtbot.waitUntil(lambda: current_phase(viewer, layer) == 3)
    assert viewer.dims.point[1:] == before[1:]
    player.close()


def test_playback_works_next_to_a_5d_layer(qtbot, viewer, player, clock) -> None:
    viewer.add_image(np.zeros((2, *CINE.shape)), scale=(1, 46, 8, 1.5, 1.25))
    player.start()
    clock.pass_ms(46)
    qtbot.waitUntil(lambda: current_phase(viewer, viewer.layers[0]) == 2)


def test_a_volume_has_nothing_to_play(tmp_path, viewer) -> None:
    player = CinePlayer(viewer, viewer.add_layer(image_layer(tmp_path, VOLUME, "volume")))
    player.start()
    assert not player.is_playing
    assert player.rate == ""
    assert player.count == 1


def test_the_rate_of_a_cine_is_named(viewer, player) -> None:
    assert player.rate == ACQUIRED_RATE.format(rate=22)


def test_cine_without_time_beats_once_second(tmp_path, viewer) -> None:
    geometry = make_geometry((25, 4, 16, 20), (8, 1.5, 1.25), affine=OBLIQUE)
    player = CinePlayer(viewer, viewer.add_layer(image_layer(tmp_path, geometry, "timeless")))
    assert player.rate == UNKNOWN_RATE.format(rate=25)


def test_frame_time_of_other_readers_is_their_scale(viewer) -> None:
    units = ("s", "mm", "mm", "mm")
    layer = viewer.add_image(np.zeros((5, 4, 16, 20)), scale=(0.04, 8, 1, 1), units=units)
    assert layer_frame_time(layer) == pytest.approx(40)
    assert layer_frame_time(viewer.add_image(np.zeros((5, 4, 16, 20)))) is None


def test_closing_stops_and_disconnects(viewer, player) -> None:
    player.start()
    player.close()
    assert not player.is_playing
    viewer.layers.events.removed.connect(player._on_removed)  # the fixture closes it again


def test_a_real_window_plays_beat_after_beat(tmp_path, make_napari_viewer, qtbot) -> None:
    """A busy machine may skip phases, but playback goes round and round."""
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    player = CinePlayer(viewer, layer)
    seen: list[int] = []
    viewer.dims.events.point.connect(lambda: seen.append(current_phase(viewer, layer)))
    show_place(viewer, layer, (1, 1))
    seen.clear()
    player.start()
    qtbot.waitUntil(lambda: len(seen) > 10 and len({*seen}) > 2)
    player.close()
    assert {*seen} <= {1, 2, 3, 4, 5}
    assert all(phase != following for phase, following in pairwise(seen))


@pytest.mark.parametrize(
    ("unit", "step", "expected"),
    [("s", 1, None), ("ms", 1, None), ("s", 46, None), ("ms", 0, None), ("s", 0.35, 350)],
)
def test_an_implausible_frame_time_is_unknown(viewer, unit, step, expected) -> None:
    header = CINE.parsed()
    header.set_xyzt_units("mm", {"s": "sec", "ms": "msec"}[unit])
    header["pixdim"][4] = step
    units, scale = (unit, "mm", "mm", "mm"), (step or 1, 8, 1.5, 1.25)
    for metadata in ({"bayes": {"geometry": Geometry(header.binaryblock)}}, {}):
        layer = viewer.add_image(np.zeros(CINE.shape), scale=scale, units=units, metadata=metadata)
        assert layer_frame_time(layer) == (None if expected is None else pytest.approx(expected))


def test_a_cine_with_default_times_beats_once_a_second(viewer) -> None:
    """SimpleITK and ITK write seconds and a step of 1."""
    header = CINE.parsed()
    header.set_xyzt_units("mm", "sec")
    header["pixdim"][4] = 1
    geometry = Geometry(header.binaryblock)
    layer = viewer.add_image(np.zeros(CINE.shape), metadata={"bayes": {"geometry": geometry}})
    player = CinePlayer(viewer, layer)
    assert player.rate == UNKNOWN_RATE.format(rate=5)

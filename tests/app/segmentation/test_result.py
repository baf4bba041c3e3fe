"""Snapshots that are shown."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.app.segmentation import result
from napari_bayes_nnunet.app.segmentation.result import SnapshotThrottle


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time; tests change its only entry."""
    now = [100.0]
    monkeypatch.setattr(result, "perf_counter", lambda: now[0])
    return now


def test_fast_members_are_shown_at_powers_of_two(clock) -> None:
    throttle = SnapshotThrottle()
    assert [n for n in range(1, 12) if throttle.shows(n, 11)] == [1, 2, 4, 8, 11]


def test_late_member_is_shown_and_restarts_the_wait(clock) -> None:
    throttle = SnapshotThrottle()
    shown = []
    for done in range(5, 12):
        clock[0] += 0.1
        if throttle.shows(done, 30):
            shown.append(done)
    assert shown == [7, 8, 11]  # 0.3 s, a power of two, 0.3 s


def test_a_busy_reader_gets_only_what_is_due(clock) -> None:
    throttle = SnapshotThrottle()
    clock[0] += 60
    assert not throttle.shows(3, 30, is_busy=True)
    assert throttle.shows(4, 30, is_busy=True)
    clock[0] += 60
    assert throttle.shows(5, 30)

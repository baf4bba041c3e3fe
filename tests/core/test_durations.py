from statistics import median

import pytest

from napari_bayes_nnunet.core import durations
from napari_bayes_nnunet.core.durations import TimeLeft, duration_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (599.7, "10 min"),
        (754, "13 min"),
        (3599, "1 h"),
        (3600 * 5.2, "5 h 12 min"),
        (86399, "1 d"),
        (86400 * 2.1, "2 d 2 h"),
    ],
)
def test_durations_have_the_units_that_matter(seconds, text):
    assert duration_text(seconds) == text


@pytest.fixture
def at(monkeypatch):
    """Set the time, in seconds."""
    times = [0.0]
    monkeypatch.setattr(durations, "monotonic", lambda: times[0])
    return lambda seconds: times.__setitem__(0, seconds)


def test_nothing_is_known_before_the_first_step(at):
    time_left = TimeLeft()
    at(3)
    assert time_left.seconds(5) is None
    assert time_left.step() == 3
    assert time_left.seconds(5) == 15
    assert time_left.seconds(0) == 0


def test_several_steps_share_their_time(at):
    time_left = TimeLeft()
    at(1)
    time_left.step()
    at(10)
    assert time_left.step(3) == 9
    assert time_left.seconds(4) == 10


def test_only_the_latest_steps_count(at):
    time_left = TimeLeft(latest=2)
    for now in (100, 101, 104):
        at(now)
        time_left.step()
    assert time_left.seconds(2) == 4


def test_the_average_may_leave_out_a_slow_step(at):
    time_left = TimeLeft(average=median)
    for now in (2, 4, 1000):
        at(now)
        time_left.step()
    assert time_left.seconds(3) == 6


def test_time_before_a_restart_belongs_to_no_step(at):
    time_left = TimeLeft()
    at(100)
    time_left.restart()
    at(102)
    time_left.step()
    assert time_left.seconds(1) == 2

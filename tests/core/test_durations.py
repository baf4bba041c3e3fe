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
    at(100)
    time_left.restart()  # the time before belongs to no step
    at(109)
    assert time_left.step(3) == 9
    assert time_left.seconds(4) == 4 * 3


@pytest.mark.parametrize(
    ("options", "seconds"),
    [({}, 104 / 3), ({"latest": 2}, 2), ({"average": median}, 3)],
)
def test_average_is_of_all_or_the_latest_steps_or_their_median(options, seconds, at):
    time_left = TimeLeft(**options)
    for now in (100, 101, 104):
        at(now)
        time_left.step()
    assert time_left.seconds(1) == pytest.approx(seconds)

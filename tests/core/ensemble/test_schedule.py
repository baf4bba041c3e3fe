"""Eq. 4 and the selection of members, against the values of the paper."""

import math
from dataclasses import replace
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.ensemble.schedule import (
    MOST_EPOCHS,
    MemberSelection,
    RestartSchedule,
    select_latest,
)
from napari_bayes_nnunet.core.ensemble.training_settings import TrainingSettings

from ...helpers.checks.problems import says_only

PAPER = RestartSchedule()


def by_cycle(schedule: RestartSchedule, selection: MemberSelection) -> dict[int, list[int]]:
    kept = selection.epochs(schedule)
    return {cycle: list(epochs) for cycle, epochs in groupby(kept, key=schedule.cycle)}


def test_defaults_are_the_papers():
    assert (PAPER.epochs, PAPER.cycles, PAPER.cycle_length) == (1200, 3, 400)
    assert (PAPER.initial_lr, PAPER.restart_lr, PAPER.exponent) == (0.01, 0.1, 0.9)
    assert (PAPER.gamma, PAPER.plateau_start, PAPER.decay_over) == (0.8, 320, "T")


@pytest.mark.parametrize("cycle", [0, 1, 2])
@pytest.mark.parametrize(
    ("t_c", "rate"),
    [
        (0, 0.1),
        (1, 0.009992),
        (100, 0.009247),
        (319, 0.007572),
        (320, 0.007564),
        (321, 0.007564),
        (399, 0.007564),
    ],
)
def test_learning_rate_over_the_whole_training(cycle, t_c, rate):
    assert PAPER.learning_rate(400 * cycle + t_c) == pytest.approx(rate, abs=5e-7)


def test_poly_is_nnunets_own():
    schedule = RestartSchedule(epochs=1000, cycles=1, shape="poly")
    rates = [schedule.learning_rate(epoch) for epoch in (0, 500, 999)]
    assert rates == pytest.approx([0.01, 0.01 * 0.5**0.9, 0.01 * 0.001**0.9])
    assert by_cycle(schedule, MemberSelection()) == {0: [999]}
    with pytest.raises(InputError, check=says_only(cycles=3)):
        RestartSchedule(shape="poly")


def test_cosine_is_that_of_snapshot_ensembles():
    schedule = RestartSchedule(shape="cosine")
    for cycle in range(3):
        rates = [schedule.learning_rate(400 * cycle + t_c) for t_c in (0, 100, 200, 399)]
        half = 0.05 * (2**-0.5 + 1)
        assert rates == pytest.approx([0.1, half, 0.05, 0.0], abs=2e-6)
    assert by_cycle(schedule, MemberSelection()) == {0: [399], 1: [799], 2: [1199]}
    gently = RestartSchedule(shape="cosine", restart_first_cycle=False)
    assert [gently.learning_rate(epoch) for epoch in (0, 400)] == pytest.approx([0.01, 0.1])


def test_too_many_epochs_are_refused():
    longest = RestartSchedule(epochs=MOST_EPOCHS, cycles=1)
    with pytest.raises(InputError, check=says_only(most=MOST_EPOCHS, epochs=2 * MOST_EPOCHS)):
        replace(longest, added_cycles=1)
    with pytest.raises(InputError, match=str(MOST_EPOCHS)):
        RestartSchedule(epochs=MOST_EPOCHS + 1, cycles=1)


def test_plateau_may_start_between_two_epochs():
    schedule = RestartSchedule(epochs=9, cycles=3, gamma=0.5)
    assert schedule.plateau_start == 2
    assert schedule.learning_rate(2) == pytest.approx(0.01 * (1 - 1.5 / 9) ** 0.9)


@pytest.mark.parametrize(
    ("kind", "option", "name", "value"),
    [
        (RestartSchedule, "epochs", "epochs", 0),
        (RestartSchedule, "cycles", "cycles", 0),
        (RestartSchedule, "gamma", "gamma", -0.1),
        (RestartSchedule, "gamma", "gamma", 1.1),
        (RestartSchedule, "gamma", "gamma", math.nan),
        (RestartSchedule, "initial_lr", "initial_lr", 0.0),
        (RestartSchedule, "restart_lr", "restart_lr", math.inf),
        (RestartSchedule, "exponent", "exponent", -1.0),
        (RestartSchedule, "decay_over", "decay_over", "M"),
        (MemberSelection, "members_per_cycle", "per_cycle", 0),
        (MemberSelection, "member_step", "step", 0),
        (TrainingSettings, "batch_size", "batch_size", 0),
        (TrainingSettings, "dropout", "dropout", 1.0),
    ],
)
def test_impossible_value_is_refused_by_its_option(kind, option, name, value):
    with pytest.raises(InputError) as error:
        kind(**{name: value})
    values = error.value.values
    assert values["setting"] == option
    assert repr(values.get("value", values.get("unknown"))) == repr(value)


def test_papers_single_modal_members():
    last_cycle = by_cycle(PAPER, MemberSelection())[2]
    assert last_cycle == list(range(1141, 1200, 2))
    assert len(last_cycle) == 30


def test_papers_multi_modal_members():
    members = select_latest(by_cycle(PAPER, MemberSelection()), 30)
    in_cycle = list(range(381, 400, 2))
    assert members == [400 * cycle + t_c for cycle in range(3) for t_c in in_cycle]


@given(
    length=st.integers(1, 50),
    gamma=st.sampled_from([0.0, 0.1, 0.5, 0.8, 1.0]),
    step=st.integers(1, 60),
    per_cycle=st.integers(1, 60),
)
def test_members_are_the_last_epochs_of_each_plateau(length, gamma, step, per_cycle):
    """Epochs are counted back from the last one of a cycle, which is always kept."""
    schedule = RestartSchedule(epochs=3 * length, cycles=3, gamma=gamma)
    first = min(-(-round(10 * gamma) * length // 10), length - 1)  # rounded up
    of_cycle = range(length - 1, first - 1, -step)[:per_cycle]
    expected = [cycle * length + t_c for cycle in range(3) for t_c in reversed(of_cycle)]
    selection = MemberSelection(per_cycle=per_cycle, step=step)
    assert list(selection.epochs(schedule)) == expected
    assert [e for e in range(3 * length) if selection.keeps(schedule, e)] == expected
    high = [e for e in range(3 * length) if schedule.learning_rate(e) == 0.1]
    assert high == [0, length, 2 * length]
    gently = replace(schedule, restart_first_cycle=False)
    assert gently.learning_rate(0) == 0.01
    for epoch in range(1, 3 * length):
        assert gently.learning_rate(epoch) == schedule.learning_rate(epoch)


@pytest.mark.parametrize(
    ("groups", "taken"),
    [
        ({0: [9], 1: [17, 18, 19], 2: [26, 27, 28, 29]}, [9, 18, 19, 27, 28, 29]),
        ({0: [6, 7, 8, 9], 1: [17, 18, 19], 2: [29]}, [8, 9, 17, 18, 19, 29]),
        ({0: [6, 7, 8, 9], 1: [], 2: [27, 28, 29]}, [7, 8, 9, 27, 28, 29]),
        ({2: [27, 28, 29], 0: [7, 8, 9]}, [7, 8, 9, 27, 28, 29]),
        ({}, []),
    ],
)
def test_latest_cycles_replace_epochs_of_short_cycle(groups, taken):
    assert select_latest(groups, 6) == taken

import pytest

from napari_bayes_nnunet.core.steps import drain, map_steps


def counting(closed):
    try:
        yield from (1, 2, 3)
        return "result"
    finally:
        closed.append(True)


def test_drain_returns_the_result_after_every_step():
    seen = []
    assert drain(counting([])) == "result"
    assert drain(counting([]), seen.append) == "result"
    assert seen == [1, 2, 3]


def test_map_steps_changes_steps_and_keeps_the_result():
    seen = []
    assert drain(map_steps(counting([]), str), seen.append) == "result"
    assert seen == ["1", "2", "3"]


def test_closing_mapped_steps_closes_the_inner_ones():
    closed = []
    inner = counting(closed)
    steps = map_steps(inner, str)
    assert next(steps) == "1"
    steps.close()
    assert closed == [True]


def test_an_error_of_on_step_closes_the_steps():
    closed = []
    steps = counting(closed)
    with pytest.raises(ZeroDivisionError):
        drain(steps, lambda step: 1 // (step - 2))
    assert closed == [True]

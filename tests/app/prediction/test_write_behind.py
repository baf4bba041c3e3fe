"""Writing of results in a thread."""

import threading

import pytest

from napari_bayes_nnunet.app.prediction.write_behind import WriteBehind


@pytest.mark.parametrize("is_used", [True, False])
def test_calls_are_made_in_their_order(is_used) -> None:
    made, threads = [], set()

    def write(number: int) -> None:
        threads.add(threading.current_thread())
        made.append(number)

    with WriteBehind(is_used=is_used) as behind:
        for number in range(5):
            behind.call(lambda number=number: write(number))
    assert made == [0, 1, 2, 3, 4]
    assert (threading.current_thread() in threads) is not is_used


def test_work_goes_on_during_a_call() -> None:
    goes_on = threading.Event()
    with WriteBehind(is_used=True) as behind:
        behind.call(lambda: goes_on.wait(60))
        goes_on.set()


def test_an_error_is_raised_by_the_next_call() -> None:
    made = []
    with WriteBehind(is_used=True) as behind:
        behind.call(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            behind.call(lambda: made.append(1))
    assert not made


def test_an_error_is_raised_at_the_end() -> None:
    with pytest.raises(ZeroDivisionError), WriteBehind(is_used=True) as behind:
        behind.call(lambda: 1 / 0)


def test_the_last_call_ends_before_another_error() -> None:
    written = []
    with pytest.raises(KeyError), WriteBehind(is_used=True) as behind:
        behind.call(lambda: written.append(1))
        raise KeyError
    assert written == [1]

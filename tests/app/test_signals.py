import os
import signal

import pytest

from napari_bayes_nnunet.app.signals import StopRequest
from napari_bayes_nnunet.nnunet import Stopped


class Left(Exception):
    pass


def leave():
    raise Left


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def number(request):
    return request.param


def test_nothing_asked(tmp_path):
    stop = StopRequest(tmp_path / "stop")
    assert not stop
    stop.check()


def test_a_file_asks(tmp_path):
    stop = StopRequest(tmp_path / "stop")
    (tmp_path / "stop").touch()
    assert stop
    with pytest.raises(Stopped):
        stop.check()


def test_a_file_of_an_earlier_training_does_not(tmp_path):
    (tmp_path / "stop").touch()
    assert not StopRequest(tmp_path / "stop")


def test_outside_epochs_a_signal_leaves_at_once(tmp_path, number):
    stop = StopRequest(tmp_path / "stop")
    with pytest.raises(Left), stop.listening(leave):
        os.kill(os.getpid(), number)


def test_in_epochs_a_signal_is_noted(tmp_path, number):
    stop = StopRequest(tmp_path / "stop")
    with stop.listening(leave):
        with stop.in_epochs():
            os.kill(os.getpid(), number)
            assert stop
        with pytest.raises(Stopped):
            stop.check()


def test_a_second_signal_is_left_to_the_system(tmp_path, number):
    stop = StopRequest(tmp_path / "stop")
    with stop.listening(leave), stop.in_epochs():
        os.kill(os.getpid(), number)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


def test_afterwards_signals_do_what_they_did(tmp_path, number):
    before = signal.getsignal(number)
    with StopRequest(tmp_path / "stop").listening(leave):
        assert signal.getsignal(number) != before
    assert signal.getsignal(number) == before

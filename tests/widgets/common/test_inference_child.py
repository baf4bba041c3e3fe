"""Tests of the inference child process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from napari_bayes_nnunet.app.messages import ChildReady, JobEnded, SegmentImage
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.widgets.common.process import (
    CHILD_KILLED,
    NEW_PROCESS,
    SUBJECT,
    WORKER_COMMAND,
    InferenceChild,
)

from ..conftest import fake_command


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def make_child(qapp):
    made: list[InferenceChild] = []

    def make(*flags: object, command: list[str] | None = None) -> InferenceChild:
        made.append(InferenceChild(command or fake_command(*flags)))
        return made[-1]

    yield make
    for child in made:
        child.close()


@pytest.fixture
def messages(make_child):
    """A child and its messages."""

    def make(*flags: object, command: list[str] | None = None):
        child = make_child(*flags, command=command)
        received: list[object] = []
        child.message_received.connect(received.append)
        return child, received

    return make


def wait_for(kind: type, said: list[object], qtbot) -> None:
    qtbot.waitUntil(lambda: any(isinstance(m, kind) for m in said))


def request(child: InferenceChild, shape=(1, 4, 8, 8), **changes) -> SegmentImage:
    import numpy as np

    np.save(child.scratch / "image.npy", np.ones(shape))
    given = {"job": 1, "spacing": (1.0, 1.0, 1.0), "folder": "x"}
    settings = SegmentationSettings(members=2)
    image = str(child.scratch / "image.npy")
    return SegmentImage(image=image, settings=settings, **(given | changes))


def test_the_command_starts_the_inference_child() -> None:
    assert WORKER_COMMAND[0] == sys.executable
    assert WORKER_COMMAND[-2:] == ("-m", "napari_bayes_nnunet.app.worker")


def test_starting_twice_starts_one(messages, qtbot) -> None:
    child, said = messages()
    child.start()
    pid = child.pid
    child.start()
    wait_for(ChildReady, said, qtbot)
    assert child.pid == pid


@pytest.mark.parametrize("state", ["not ready", "idle", "busy"])
def test_closing_ends_child_and_removes_scratch_folder(messages, qtbot, state) -> None:
    child, said = messages("--hangs-at", 1)
    child.start()
    if state == "busy":
        child.send(request(child))
    if state != "not ready":
        wait_for(ChildReady, said, qtbot)
    pid, scratch = child.pid, child.scratch
    child.close()
    assert not is_alive(pid)
    assert not scratch.exists()
    assert child.pid is None


def test_killed_child_is_replaced_at_next_message(messages, qtbot) -> None:
    child, said = messages()
    child.start()
    wait_for(ChildReady, said, qtbot)
    pid = child.pid
    (child.scratch / "left.npy").write_bytes(b"")
    with qtbot.waitSignal(child.died) as died:
        os.kill(pid, signal.SIGKILL)
    assert died.args == [f"{CHILD_KILLED.format(subject=SUBJECT)} {NEW_PROCESS}"]
    assert list(child.scratch.iterdir()) == []
    child.send(request(child))
    wait_for(JobEnded, said, qtbot)
    assert child.pid != pid


def test_a_cleaned_scratch_folder_is_made_again(messages, qtbot) -> None:
    child, said = messages()
    child.start()
    wait_for(ChildReady, said, qtbot)
    pid, scratch = child.pid, child.scratch
    scratch.rmdir()
    child.send(request(child))
    wait_for(JobEnded, said, qtbot)
    assert said[-1] == JobEnded(outcome="finished", job=1)
    assert (child.pid, child.scratch) == (pid, scratch)
    assert sys.platform == "win32" or scratch.stat().st_mode & 0o777 == 0o700


def test_restarting_does_not_wait_for_a_busy_child(messages, qtbot) -> None:
    child, said = messages("--hangs-at", 1)
    child.send(request(child))
    wait_for(ChildReady, said, qtbot)
    pid = child.pid
    said.clear()
    child.restart()
    assert not is_alive(pid)
    wait_for(ChildReady, said, qtbot)


def test_a_child_does_not_outlive_a_killed_window(tmp_path) -> None:
    """The child's input closes when its parent is gone, whatever ended that."""
    script = (
        "import sys; from qtpy.QtCore import QCoreApplication\n"
        "from napari_bayes_nnunet.widgets.common.process import InferenceChild\n"
        "app = QCoreApplication([]); child = InferenceChild(sys.argv[1:])\n"
        "child.message_received.connect(lambda m: print(child.pid, child.scratch, flush=True))\n"
        "child.start(); app.exec()"
    )
    command = [sys.executable, "-c", script, *fake_command()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as window:
        assert window.stdout is not None
        pid, scratch = window.stdout.readline().split()
        pid = int(pid)
        assert is_alive(pid)
        window.kill()
    until = time.perf_counter() + 5
    while is_alive(pid) and time.perf_counter() < until:
        time.sleep(0.05)
    assert not is_alive(pid)
    shutil.rmtree(scratch)  # the killed window could not

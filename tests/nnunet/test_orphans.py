"""Forked processes end with a killed training and release its lock."""

import signal
import subprocess
import sys

import pytest
from filelock import FileLock

from ..helpers.processes.command import environment, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prctl of Linux")

TRAINING = """
import os, sys, time
from filelock import FileLock
from napari_bayes_nnunet.nnunet.fork_guard import end_forks_with_this_process
lock = FileLock(sys.argv[1])
lock.acquire()
end_forks_with_this_process()
child = os.fork()
if child:
    print(child, flush=True)
time.sleep(600)
"""


def test_a_fork_ends_with_its_killed_parent(tmp_path):
    lock = tmp_path / "training.lock"
    with subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(lock)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    with FileLock(lock, timeout=30):
        pass
    wait_until_gone(child)

"""Forked processes that end with their parent, also when it is killed.

nnU-Net's augmentation processes otherwise wait for a killed training for ever, and keep the memory
of its GPU and its lock on the run folder.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_forks_with_this_process() -> None:
    """From now on, on Linux, the kernel ends every process forked from this one together with it.

    Programs started with ``subprocess`` or spawned by ``multiprocessing`` are not affected.
    """
    if sys.platform != "linux":
        return
    prctl = ctypes.CDLL(None).prctl
    parent = [os.getpid()]

    def note_parent() -> None:
        parent[0] = os.getpid()

    def end_with_parent() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent[0]:  # it was killed before the kernel knew
            os._exit(1)

    os.register_at_fork(before=note_parent, after_in_child=end_with_parent)

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
    os.register_at_fork(after_in_child=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL))

"""Processes that end with their parent, even if it is killed.

Without this, nnU-Net's augmentation processes would wait for a killed training for ever, and keep
its GPU memory and its lock on the run folder.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def be_killed_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends.

    A process on a GPU must call this, too: torch asks Linux for an interrupt instead, which a
    process that waits for the others never sees.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_forks_with_this_process() -> None:
    """Make Linux end every process forked from this one together with this one.

    Programs started with ``subprocess`` or spawned by ``multiprocessing`` are not affected.
    """
    if sys.platform != "linux":
        return
    parent = [os.getpid()]

    def note_parent() -> None:
        parent[0] = os.getpid()

    def end_with_parent() -> None:
        be_killed_with_parent()
        if os.getppid() != parent[0]:  # the parent was killed before the call above
            os._exit(1)

    os.register_at_fork(before=note_parent, after_in_child=end_with_parent)

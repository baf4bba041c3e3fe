"""What tests ask of the workers that segment for a laptop; it needs no package."""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import Any


def runs_held(dask_worker: Any) -> int:
    """How many runs a worker has."""
    return len(dask_worker.state.actors)


def runs_alive() -> int:
    """How many runs a worker has in memory, held or not."""
    return sum(type(found).__name__ == "RemoteRun" for found in gc.get_objects())


def is_computing() -> bool:
    """Whether a thread of this process is inside a network."""
    return any(
        "inference.py" in frame
        for stack in map(_files, sys._current_frames().values())
        for frame in stack
    )


def _files(frame: Any) -> list[str]:
    found = []
    while frame is not None:
        found.append(frame.f_code.co_filename)
        frame = frame.f_back
    return found


def process() -> int:
    """The process of the worker."""
    assert threading.current_thread()
    return os.getpid()

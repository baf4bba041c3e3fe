"""Functions that tests run on workers that segment for a laptop, without imports of the package."""

import gc
import os
import sys
import threading
from typing import Any


def runs_held(dask_worker: Any) -> int:
    """Return the number of runs a worker holds."""
    return len(dask_worker.state.actors)


def runs_alive() -> int:
    """Return the number of runs in the memory of a worker, held or not."""
    return sum(type(item).__name__ == "RemoteRun" for item in gc.get_objects())


def is_computing() -> bool:
    """Return whether a thread of this process is running a network."""
    return any(
        "inference.py" in frame
        for stack in map(_files, sys._current_frames().values())
        for frame in stack
    )


def _files(frame: Any) -> list[str]:
    files = []
    while frame is not None:
        files.append(frame.f_code.co_filename)
        frame = frame.f_back
    return files


def process() -> int:
    """Return the process id of the worker."""
    assert threading.current_thread()
    return os.getpid()


def break_cuda() -> None:
    """Let every segmentation of a worker fail as after an error that breaks CUDA."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    sys.modules["napari_bayes_nnunet.app.segmentation.ensemble"].Ensemble.phase_steps = fail
    sys.modules["torch"].cuda.synchronize = fail

"""Functions that cluster workers run in tests, without imports of what segments."""

import os
import signal
import time
from pathlib import Path

from distributed import Scheduler, get_worker

from napari_bayes_nnunet.nnunet import ModelError


def square(number: int) -> int:
    """Return the square at once."""
    return number * number


def slow_square(number: int) -> int:
    """Return the square after 0.2 s."""
    time.sleep(0.2)
    return number * number


def place(task: object) -> str:
    """Return the address of the worker."""
    return str(get_worker().address)


def tasks_known(dask_scheduler: Scheduler) -> int:
    """Return the number of tasks of the scheduler."""
    return len(dask_scheduler.tasks)


def note(task: tuple[Path, int]) -> int:
    """Call `slow_square` after writing a file named after the number and the process."""
    folder, number = task
    (folder / f"{number} {os.getpid()} {time.monotonic_ns()}").touch()
    return slow_square(number)


def wait_for_ever(task: object) -> None:
    """Wait for an hour, longer than any test."""
    time.sleep(3600)


def kill_own_worker(number: int) -> int:
    """Kill the process for number 0, as the kernel does when memory runs out."""
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


NO_CUDA = "This machine has no usable cuda device."


def refuse(number: int) -> int:
    """Raise ModelError, as a worker without a GPU does."""
    raise ModelError(NO_CUDA)


def refuse_on_one(task: tuple[Path, int]) -> int:
    """Call `slow_square`, or `refuse` on the worker named in the file."""
    refusing, number = task
    return refuse(number) if refusing.read_text() == get_worker().address else slow_square(number)


def fail(patient: str) -> int:
    """Raise an error that names the patient."""
    print("printed while it worked")
    raise ValueError(f"no slices of {patient}")


class Unreadable:
    """Task that can be pickled but not unpickled, like a task of another version."""

    def __init__(self, patient: str) -> None:
        self.patient = patient

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _read, (self.patient,)

    def __repr__(self) -> str:
        return f"Unreadable({self.patient})"


def _read(patient: str) -> Unreadable:
    raise AttributeError("there is no such thing in this version")


def variables(task: object) -> dict[str, str]:
    """Return the environment variables of the worker."""
    return dict(os.environ)

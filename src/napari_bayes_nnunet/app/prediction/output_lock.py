"""Locks that keep two runs from writing the same results.

A run of images locks each case, so that others can segment other images into the same folder. A
cohort locks the folder. The workers of a cohort take no lock. The operating system releases the
lock of a process that has died.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import BaseFileLock, FileLock, Timeout

from ...core.problems import Action
from .. import AppError

OUTPUT_IN_USE: Final = "Another process is writing to {folder}."
LOCKS: Final = ".running"
"""Folder of the locks in an output folder; it is removed at the end."""
_WHOLE: Final = "cohort"


@contextmanager
def locked_case(output: Path, case: str) -> Iterator[None]:
    """Lock a case of an output folder. Raises AppError if it is being written already."""
    with ExitStack() as stack:
        _enter(stack, output, f"case_{case}")
        _try(output, _WHOLE)
        yield


@contextmanager
def locked_output(output: Path) -> Iterator[None]:
    """Lock an output folder. Raises AppError if it, or a case in it, is being written already."""
    with ExitStack() as stack:
        # Take this lock first, as `locked_case` takes its own, so at most one of the two continues.
        _enter(stack, output, _WHOLE)
        for file in (output / LOCKS).glob("case_*.lock"):
            _try(output, file.stem)
        yield


def _try(output: Path, name: str) -> None:
    if (output / LOCKS / f"{name}.lock").exists():
        with ExitStack() as stack:
            _enter(stack, output, name)


def _enter(stack: ExitStack, output: Path, name: str) -> None:
    """Take a lock and keep it until the ``stack`` ends.

    Do nothing if the folder is not writable or its drive has no locks. Writing the results reports
    a folder that is not writable.
    """
    folder = output / LOCKS
    file = folder / f"{name}.lock"
    lock = FileLock(file, timeout=0, thread_local=False)
    try:
        while not _holds(lock, file):
            lock.release()
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                lock.acquire()
    except Timeout as error:
        raise AppError(OUTPUT_IN_USE, Action.WAIT, Action.OTHER_OUTPUT, folder=output) from error
    except (OSError, NotImplementedError):
        return
    stack.callback(_leave, lock, file)


def _holds(lock: BaseFileLock, file: Path) -> bool:
    """Return whether the locked file is the one that other processes find at its path.

    Its last owner may have removed it between opening and locking, and a third process may have
    locked a new file of this name.
    """
    locked = lock._context.lock_file_fd  # filelock has no public name for it
    if locked is None:
        return False
    try:
        return os.path.samestat(os.fstat(locked), file.stat())
    except FileNotFoundError:
        return False


def _leave(lock: FileLock, file: Path) -> None:
    """Remove the file before the lock ends, so that no lock of another process is removed."""
    with suppress(OSError):  # Windows does not delete a locked file
        file.unlink(missing_ok=True)
    lock.release()
    with suppress(OSError):  # the folder may hold other locks
        if os.name == "nt":
            file.unlink(missing_ok=True)
        file.parent.rmdir()

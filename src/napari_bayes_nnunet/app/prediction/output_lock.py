"""Locks that keep two runs from writing the same results.

A run of images locks each case, so that others can segment other images into the same folder. A
cohort locks the folder. The workers of a cohort take no lock. The operating system releases the
lock of a process that has died.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from filelock import BaseFileLock, FileLock, Timeout

from ...core.problems import Action
from ...io.files.atomic import write_json
from ...io.files.json_files import parse_json
from ...io.files.limits import read_small
from .. import AppError

OUTPUT_IN_USE: Final = "Process {pid} on {host} has been writing to {folder} since {since}."
OUTPUT_IN_USE_BY_ANOTHER: Final = "Another process is writing to {folder}."
LOCKS: Final = ".running"
"""Folder of the locks in an output folder; it is removed at the end."""
_WHOLE: Final = "cohort"


@dataclass(frozen=True, kw_only=True)
class LockOwner:
    """Process that holds a lock, as shown to the user."""

    pid: int
    host: str
    since: str


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
    file, record = folder / f"{name}.lock", folder / f"{name}.json"
    lock = FileLock(file, timeout=0, thread_local=False)
    try:
        while not _holds(lock, file):
            lock.release()
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                lock.acquire()
    except Timeout as error:
        raise _in_use(output, record) from error
    except (OSError, NotImplementedError):
        return
    stack.callback(_leave, lock, file, record)
    with suppress(OSError):
        write_json(record, asdict(_this_process()))


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


def _leave(lock: FileLock, file: Path, record: Path) -> None:
    """Remove the files before the lock ends, so that no lock of another process is removed."""
    with suppress(OSError):  # Windows does not delete a locked file
        record.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
    lock.release()
    with suppress(OSError):  # the folder may hold other locks
        if os.name == "nt":
            file.unlink(missing_ok=True)
        file.parent.rmdir()


def _this_process() -> LockOwner:
    since = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    return LockOwner(pid=os.getpid(), host=socket.gethostname(), since=since)


def _in_use(output: Path, record: Path) -> AppError:
    actions = (Action.WAIT, Action.OTHER_OUTPUT)
    try:
        owner = parse_json(read_small(record), LockOwner)
    except (OSError, ValueError):  # that process has just started or ended
        return AppError(OUTPUT_IN_USE_BY_ANOTHER, *actions, folder=output)
    return AppError(OUTPUT_IN_USE, *actions, folder=output, **asdict(owner))

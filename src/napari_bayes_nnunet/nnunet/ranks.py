"""Processes of a training on several GPUs: their common decisions, and their reports.

nnU-Net starts them itself, so only environment variables and files reach them, and they answer
only with files.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from ..core.problems import Statement
from ..io.ensemble.run_folder import EpochReport, RunFolder
from ..io.files.json_files import parse_json
from . import ModelError
from .fork_guard import PR_SET_PDEATHSIG

PARENT_VARIABLE = "BAYES_NNUNET_PARENT"


class Mailbox:
    """The folder RUN/fold_X/ddp, in which processes write to the one that started them.

    The first writer creates it, and the reader empties it.
    """

    def __init__(self, run: RunFolder, fold: str) -> None:
        self._folder = run.fold(fold) / "ddp"
        self._reports = self._folder / "epochs.jsonl"
        self._failure = self._folder / "failed.json"
        self._stopped = self._folder / "stopped"
        self._bytes_read = 0

    @property
    def is_stopped(self) -> bool:
        """Whether the training ended because it was asked to."""
        return self._stopped.exists()

    @property
    def failure(self) -> Statement | None:
        """Reason why the training failed; None if no process reported it."""
        with suppress(FileNotFoundError, LookupError, TypeError, ValueError):
            return Statement.from_json(parse_json(self._failure.read_bytes(), dict[str, Any]))
        return None

    def new_reports(self) -> list[EpochReport]:
        """Return the reports not read before, without one that is still being written."""
        if not self._reports.exists():
            return []
        with self._reports.open("rb") as file:
            file.seek(self._bytes_read)
            complete, newline, _ = file.read().rpartition(b"\n")
        self._bytes_read += len(complete + newline)
        return list(_parsed_reports(complete.splitlines()))

    def report(self, report: EpochReport) -> None:
        """Add the report of an epoch."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._reports.open("ab", buffering=0) as file:
            file.write((json.dumps(asdict(report)) + "\n").encode())

    def note_stop(self) -> None:
        """Note that the training ends because it was asked to."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stopped.touch()

    def note_failure(self, failure: Statement) -> None:
        """Note why the training fails. Only the first failure counts: it causes the others."""
        with suppress(OSError):  # noted already, or the disk itself failed
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._failure.open("x", encoding="utf-8") as file:
                file.write(json.dumps(failure.to_json()))

    @contextmanager
    def noting_failures(self) -> Iterator[None]:
        """Note a ModelError that is raised inside, and raise it again."""
        try:
            yield
        except ModelError as error:
            self.note_failure(error.statement)
            raise

    def empty(self) -> None:
        """Delete everything, read or not."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._bytes_read = 0


def _parsed_reports(lines: list[bytes]) -> Iterator[EpochReport]:
    for line in lines:
        with suppress(ValueError):  # written by another version, or cut short by a power cut
            yield parse_json(line, EpochReport)


def ask_first_process(ask: Callable[[], bool]) -> bool:
    """Return the first process's answer in all processes: they must stop after the same epoch."""
    import torch.distributed as dist

    answer = [dist.get_rank() == 0 and ask()]
    dist.broadcast_object_list(answer, src=0)
    return answer[0]


def end_with_parent() -> None:
    """Make Linux end this process together with the one that started it.

    PARENT_VARIABLE holds the id of that process, and is then set to the id of this one for its own
    children. Without the variable nothing is done.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or sys.platform != "linux":
        return
    be_killed_with_parent()
    if os.getppid() != int(parent):  # the parent ended before the call above
        os._exit(1)
    os.environ[PARENT_VARIABLE] = str(os.getpid())


def end_without_teardown() -> None:
    """Make a spawned process exit with code 0 as soon as its Python code is done.

    Exit handlers registered earlier do not run, so call this once everything is written. Threads of
    gloo and autograd that still hold tensors would abort a process whose interpreter is taken down
    before them (pytorch/pytorch#190489).
    """
    if multiprocessing.parent_process() is not None:
        atexit.register(os._exit, 0)


def be_killed_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends.

    The processes on the GPUs must call this too: torch asks Linux for an interrupt instead, which a
    process that waits for the others never sees.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

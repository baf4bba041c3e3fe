"""The processes of a training on several cards: what they agree on, and what they report.

nnU-Net starts them itself, so that nothing reaches them but variables and files, and nothing comes
back but files.
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

from ..io.ensemble.run_folder import EpochReport, RunFolder
from ..io.files.json_files import parse_json
from . import ModelError
from .fork_guard import PR_SET_PDEATHSIG

PARENT_VARIABLE = "BAYES_NNUNET_PARENT"


class Mailbox:
    """The folder RUN/fold_X/ddp, in which the processes leave word for the one that started them.

    It is made by the first word, and emptied by who reads it.
    """

    def __init__(self, run: RunFolder, fold: str) -> None:
        self._folder = run.fold(fold) / "ddp"
        self._reports = self._folder / "epochs.jsonl"
        self._failure = self._folder / "failed.txt"
        self._stopped = self._folder / "stopped"
        self._bytes_read = 0

    @property
    def is_stopped(self) -> bool:
        """Whether the training has ended because it was asked to."""
        return self._stopped.exists()

    @property
    def failure(self) -> str:
        """Why the training failed, one sentence; "" where nobody said so."""
        with suppress(FileNotFoundError):
            return self._failure.read_text(encoding="utf-8")
        return ""

    def new_reports(self) -> list[EpochReport]:
        """The reports not read before; one that is being written waits for its end."""
        if not self._reports.exists():
            return []
        with self._reports.open("rb") as file:
            file.seek(self._bytes_read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._bytes_read += len(whole + end)
        return list(_reports_of(whole.splitlines()))

    def report(self, report: EpochReport) -> None:
        """Add the report of an epoch."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._reports.open("ab", buffering=0) as file:
            file.write((json.dumps(asdict(report)) + "\n").encode())

    def note_stop(self) -> None:
        """Say that the training ends here because it was asked to."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stopped.touch()

    def note_failure(self, sentence: str) -> None:
        """Say why the training fails; the first to say so is the cause of what others say."""
        with suppress(OSError):  # said already, or the disk is what failed
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._failure.open("x", encoding="utf-8") as file:
                file.write(sentence)

    @contextmanager
    def told_of_failures(self) -> Iterator[None]:
        """Note the sentence of a ModelError on its way."""
        try:
            yield
        except ModelError as error:
            self.note_failure(str(error))
            raise

    def empty(self) -> None:
        """Forget all, read or not."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._bytes_read = 0


def _reports_of(lines: list[bytes]) -> Iterator[EpochReport]:
    for line in lines:
        with suppress(ValueError):  # of another version, or from before a power cut
            yield parse_json(line, EpochReport)


def agreed(ask: Callable[[], bool]) -> bool:
    """The answer of the first process, in all of them: they must stop after the same epoch."""
    import torch.distributed as dist

    answer = [dist.get_rank() == 0 and ask()]
    dist.broadcast_object_list(answer, src=0)
    return answer[0]


def end_with_parent() -> None:
    """From now on, on Linux, the kernel ends this process together with the one that started it.

    That one's id is in PARENT_VARIABLE, which is then this one's own for what it starts in turn;
    without the variable nothing is done.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or sys.platform != "linux":
        return
    be_killed_with_parent()
    if os.getppid() != int(parent):  # it ended before the kernel knew
        os._exit(1)
    os.environ[PARENT_VARIABLE] = str(os.getpid())


def end_without_teardown() -> None:
    """This process, where another has spawned it, ends as soon as all of its Python is done.

    Its exit code is 0 from now on, and exit handlers that were registered before do not run, so
    that it is to be said where all is written. Threads of gloo and autograd may still hold tensors,
    and abort a process that takes its interpreter down before them (pytorch/pytorch#190489).
    """
    if multiprocessing.parent_process() is not None:
        atexit.register(os._exit, 0)


def be_killed_with_parent() -> None:
    """Ask the kernel of Linux for it.

    To be said again in the processes on the cards: torch asks for an interrupt in its place, which
    a process that waits for the others never sees.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

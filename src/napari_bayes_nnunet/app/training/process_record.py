"""Record of the latest training process in a run folder, RUN/job.json.

The training itself writes it, so that jobs in a terminal or on a server have it too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import psutil

from ...io.ensemble.run_folder import RunFolder
from ...io.files.atomic import write_json
from ...io.files.given_path import is_same_path, resolve_links
from ...io.files.json_files import Ordinal, parse_json
from ...io.files.limits import read_small

SAME_PROCESS = 10.0
"""Seconds by which the start time of a process may change when the clock is corrected."""


@dataclass(frozen=True, kw_only=True)
class JobInfo:
    """The process of a training and its arguments.

    ``process_started``, in seconds since 1970 by the clock of ``host``, distinguishes a process
    from a later one with the same number. ``started_at`` is the same for people (ISO 8601).
    ``dataset`` is a path, for a student that of its ensemble; ``arguments`` are those of
    ``bayes-nnunet train`` or ``distill``. ``device`` and ``num_gpus`` are those of the request.
    ``resumed_by`` is the command that continues a student, "" for other trainings.
    """

    pid: Ordinal
    host: str
    process_started: float
    started_at: str
    dataset: str
    fold: str
    arguments: tuple[str, ...]
    device: str = "auto"
    num_gpus: int = 1
    resumed_by: str = ""

    @property
    def is_here(self) -> bool:
        """Whether the process runs, or ran, on this computer."""
        return self.host == this_host()

    def process(self, run: RunFolder) -> psutil.Process | None:
        """Return the process, None if it has ended, is on another host or does not train ``run``.

        A copy of a run has the record of the original, and any process may stand in a file.
        """
        with suppress(psutil.Error):
            if self.is_here:
                process = psutil.Process(self.pid)
                moved = abs(process.create_time() - self.process_started)
                if moved <= SAME_PROCESS and not is_gone(process) and _trains(process, run):
                    return process
        return None


def this_host() -> str:
    """Return the name of this computer."""
    return socket.gethostname()


def is_gone(process: psutil.Process) -> bool:
    """Return whether a process has ended; a zombie counts as ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _trains(process: psutil.Process, run: RunFolder) -> bool:
    """Return whether a process trains ``run``, by its command line or by the lock that it holds.

    A drive without locks has none, and only the command line of another user's process is known.
    """
    words, folder = process.cmdline(), Path(os.sep)
    with suppress(psutil.AccessDenied):
        folder = Path(process.cwd())
    paths = (folder / word.removeprefix("--output=") for word in words)
    if not {"train", "distill"}.isdisjoint(words) and any(is_same_path(p, run.path) for p in paths):
        return True
    # Not the same file: in a copy made of hard links, the locks of both runs are one.
    return resolve_links(run.lock) in (Path(file.path) for file in process.open_files())


def write_process_record(
    run: RunFolder,
    *,
    dataset: str,
    fold: str,
    arguments: Sequence[str],
    device: str = "auto",
    num_gpus: int = 1,
    resumed_by: str = "",
) -> None:
    """Record this process as the one that trains in ``run``."""
    info = JobInfo(
        pid=os.getpid(),
        host=this_host(),
        process_started=psutil.Process().create_time(),
        started_at=datetime.now().astimezone().isoformat(timespec="seconds"),
        dataset=dataset,
        fold=fold,
        arguments=tuple(arguments),
        device=device,
        num_gpus=num_gpus,
        resumed_by=resumed_by,
    )
    write_json(run.job, asdict(info))


def read_process_record(run: RunFolder) -> JobInfo | None:
    """Return the recorded process of ``run``, None if there is none.

    Raises OSError if the drive cannot be reached.
    """
    try:
        return parse_json(read_small(run.job), JobInfo)
    except (FileNotFoundError, ValueError):
        return None

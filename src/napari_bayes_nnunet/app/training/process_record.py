"""Which process trains in a run folder, or was the last to: RUN/job.json.

Written by the training itself, so that a job started in a terminal or on a server has it too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime

import psutil

from ...io.ensemble.run_folder import RunFolder
from ...io.files.atomic import write_json
from ...io.files.json_files import Ordinal, parse_json

SAME_PROCESS = 10.0
"""Seconds by which the start of one process may seem to move when the clock is corrected."""


@dataclass(frozen=True, kw_only=True)
class JobInfo:
    """The process of a training, and what it was told.

    ``process_started`` is in seconds since 1970 by the clock of ``host``: with it a process is
    told from a later one of the same number. ``started_at`` is the same for people (ISO 8601).
    ``dataset`` is a path; ``arguments`` follow ``bayes-nnunet train``.
    """

    pid: Ordinal
    host: str
    process_started: float
    started_at: str
    dataset: str
    fold: str
    arguments: tuple[str, ...]

    @property
    def is_here(self) -> bool:
        """Whether the process runs, or ran, on this computer."""
        return self.host == this_host()

    def process(self) -> psutil.Process | None:
        """The very process, None when it is gone or on another host."""
        with suppress(psutil.Error):
            if self.is_here:
                process = psutil.Process(self.pid)
                moved = abs(process.create_time() - self.process_started)
                if moved <= SAME_PROCESS and not is_gone(process):
                    return process
        return None


def this_host() -> str:
    """The name of this computer."""
    return socket.gethostname()


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended; one that only waits for its parent to take note has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def write_process_record(
    run: RunFolder, *, dataset: str, fold: str, arguments: Sequence[str]
) -> None:
    """Enter this process as the one that trains in ``run``."""
    info = JobInfo(
        pid=os.getpid(),
        host=this_host(),
        process_started=psutil.Process().create_time(),
        started_at=datetime.now().astimezone().isoformat(timespec="seconds"),
        dataset=dataset,
        fold=fold,
        arguments=tuple(arguments),
    )
    write_json(run.job, asdict(info))


def read_process_record(run: RunFolder) -> JobInfo | None:
    """Who trains in ``run``, None where nobody said so. Raises OSError for an unreachable drive."""
    try:
        return parse_json(run.job.read_bytes(), JobInfo)
    except (FileNotFoundError, ValueError):
        return None

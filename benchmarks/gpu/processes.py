"""Processes that end with the one that started them, so that none disturbs the next call."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def run_for(
    command: Sequence[str], seconds: float, *, environment: Mapping[str, str], log: Path | None
) -> int:
    """Run a command for at most so many seconds; return its exit code, 1 if it was killed."""
    stream = log.open("a", encoding="utf-8") if log else None
    try:
        with running(command, environment=environment, output=stream) as process:
            return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return 1
    finally:
        if stream:
            stream.close()


@contextmanager
def running(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, output: object = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command, and kill it with its children at the end, also if this process is killed."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=output,
        stderr=output,
        process_group=0,
        preexec_fn=_end_with_parent,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

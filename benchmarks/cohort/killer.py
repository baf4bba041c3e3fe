"""A Dask cluster in processes of this machine, one of whose workers is killed every few seconds."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

import psutil

STARTS_WITHIN = 60.0


class KillingCluster:
    """``workers`` with one thread each; what is killed is started anew by its nanny."""

    def __init__(self, workers: int, *, every: float) -> None:
        self._workers, self._every = workers, every
        self._running: list[subprocess.Popen[bytes]] = []
        self._ends = threading.Event()
        self._killer = threading.Thread(target=self._kill_on)
        self.kills = 0
        self.address = ""

    def __enter__(self) -> KillingCluster:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        about = Path(self._folder.name) / "scheduler.json"
        local = ("--host", "127.0.0.1", "--no-dashboard")
        self._start("scheduler", "--port", "0", "--scheduler-file", str(about), *local)
        wait_for(about)
        self._start(
            *("worker", "--scheduler-file", str(about), "--host", "127.0.0.1"),
            *("--nworkers", str(self._workers), "--nthreads", "1", "--no-dashboard"),
            *("--local-directory", self._folder.name),
        )
        self.address = json.loads(about.read_text())["address"]
        self._killer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.set()
        self._killer.join()
        for process in reversed(self._running):
            process.terminate()
        for process in self._running:
            process.wait(30)
        self._folder.cleanup()

    def _start(self, *words: str) -> None:
        log = (Path(self._folder.name) / f"{words[0]}.log").open("wb")
        command = [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]]
        self._running.append(subprocess.Popen(command, stdout=log, stderr=log))

    def _kill_on(self) -> None:
        nannies = psutil.Process(self._running[-1].pid)
        chance = random.Random(0)
        while not self._ends.wait(self._every):
            workers = [p for p in nannies.children() if "spawn_main" in " ".join(p.cmdline())]
            if workers:
                chance.choice(workers).kill()
                self.kills += 1


def wait_for(file: Path) -> None:
    """Until the scheduler has said where it is."""
    ends = time.monotonic() + STARTS_WITHIN
    while not file.exists() or not file.read_text():
        if time.monotonic() > ends:
            raise TimeoutError(f"No scheduler within {STARTS_WITHIN:g} s.")
        time.sleep(0.1)

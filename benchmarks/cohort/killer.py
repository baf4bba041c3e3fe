"""Dask cluster on this machine that loses a worker every few seconds."""

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

START_TIMEOUT = 60.0  # seconds


class KillingCluster:
    """Cluster of ``workers`` with one thread each; killed workers are restarted."""

    def __init__(self, workers: int, *, every: float) -> None:
        self._workers, self._every = workers, every
        self._is_over = threading.Event()
        self._killer = threading.Thread(target=self._kill_workers)
        self.kills = 0
        self.address = ""

    def __enter__(self) -> KillingCluster:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        address_file = Path(self._folder.name) / "scheduler.json"
        self._scheduler = self._start(
            "scheduler", "--port", "0", "--scheduler-file", str(address_file)
        )
        _wait_for(address_file)
        self.address = json.loads(address_file.read_text())["address"]
        self._nannies = [self._start_worker() for _ in range(self._workers)]
        self._killer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._killer.join()
        for process in (*self._nannies, self._scheduler):
            process.terminate()
            process.wait(30)
        self._folder.cleanup()

    def _start_worker(self) -> subprocess.Popen[bytes]:
        folder = ("--local-directory", self._folder.name)
        return self._start("worker", self.address, "--nthreads", "1", *folder)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *words[1:]]
        local = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
        with (Path(self._folder.name) / f"{words[0]}.log").open("ab") as log:
            return subprocess.Popen([*command, *local], stdout=log, stderr=log)

    def _kill_workers(self) -> None:
        rng = random.Random(0)
        while not self._is_over.wait(self._every):
            for index, nanny in enumerate(self._nannies):
                if nanny.poll() is not None:  # its worker was killed during startup
                    self._nannies[index] = self._start_worker()
            nanny = psutil.Process(rng.choice(self._nannies).pid)
            for worker in nanny.children():
                if "spawn_main" in " ".join(worker.cmdline()):
                    worker.kill()
                    self.kills += 1


def _wait_for(file: Path) -> None:
    """Wait until the scheduler has written its address."""
    deadline = time.monotonic() + START_TIMEOUT
    while not file.exists() or not file.read_text():
        if time.monotonic() > deadline:
            raise TimeoutError(f"The Dask scheduler did not start within {START_TIMEOUT:g} s.")
        time.sleep(0.1)

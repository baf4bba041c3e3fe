"""Real Dask clusters on this machine, started with a user's commands or with forks of them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from distributed import Security

from .command import environment
from .jobs import wait_until
from .warm_command import Run, WarmCommand

HERE = "127.0.0.1"
NO_PAGES = ("--no-dashboard", "--dashboard-address", f"{HERE}:0")
"""The second option keeps the web server, which runs even without a dashboard, on this machine."""
DEBUG = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "debug"}


class Cluster:
    """Scheduler and its workers, with one folder of logs each in ``folder``.

    With ``warm``, they are forks of its process, which start at once.
    """

    def __init__(
        self,
        folder: Path,
        *,
        warm: WarmCommand | None = None,
        certificates: Path | None = None,
        before: Path | None = None,
    ) -> None:
        self.folder = folder
        self._warm = warm
        self._tls = tls_options(certificates) if certificates else []
        self._processes: list[subprocess.Popen[bytes] | Run] = []
        address_file = folder / "scheduler.json"
        protocol = "tls" if certificates else "tcp"
        self.scheduler = self._start(
            *("scheduler", "--host", HERE, "--port", 0, "--protocol", protocol),
            *("--scheduler-file", address_file, *NO_PAGES),
            before=before,
        )
        wait_until(lambda: address_file.exists() and address_file.read_text().endswith("}"))
        self.address = json.loads(address_file.read_text())["address"]

    def add_workers(
        self, number: int = 1, *options: object, before: Path | None = None
    ) -> subprocess.Popen[bytes] | Run:
        """Start workers of one thread, which restart when killed.

        Modules in the folder ``before`` take precedence over all others.
        """
        return self._start(
            *("worker", self.address, "--host", HERE, "--nthreads", 1, "--nworkers", number),
            *("--memory-limit", 0, *NO_PAGES, *options),
            before=before,
        )

    @property
    def logs(self) -> str:
        """Log of the scheduler and all workers."""
        return "".join(file.read_text() for file in sorted(self.folder.glob("*/std*")))

    def close(self) -> None:
        """End all processes."""
        end_tree([process.pid for process in self._processes])
        for process in self._processes:
            process.wait()

    def _start(self, *arguments: object, before: Path | None) -> subprocess.Popen[bytes] | Run:
        logs = self.folder / str(len(self._processes))
        logs.mkdir()
        command = [*map(str, arguments), *self._tls]
        process: subprocess.Popen[bytes] | Run
        if self._warm is None:
            process = _start_cold(command, logs, before=before)
        else:
            process = self._warm.start(*command, folder=logs, program="dask")
        self._processes.append(process)
        return process


def _start_cold(command: list[str], logs: Path, *, before: Path | None) -> subprocess.Popen[bytes]:
    tests = str(Path(__file__).parents[3])
    given = environment().get("PYTHONPATH")
    path = os.pathsep.join(str(folder) for folder in (before, given, tests) if folder)
    with (logs / "stderr").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            env=environment(PYTHONPATH=path, **DEBUG),
            stdout=log,
            stderr=log,
            cwd=logs,
        )


@contextmanager
def cluster(
    folder: Path,
    *,
    warm: WarmCommand | None = None,
    certificates: Path | None = None,
    before: Path | None = None,
) -> Iterator[Cluster]:
    """Start a scheduler without workers, and end it and its added workers with the block."""
    folder.mkdir(exist_ok=True)
    made = Cluster(folder, warm=warm, certificates=certificates, before=before)
    try:
        yield made
    finally:
        made.close()


def end_tree(pids: list[int]) -> None:
    """Kill processes and all their children."""
    for pid in pids:
        if psutil.pid_exists(pid):
            tree = psutil.Process(pid)
            for process in [tree, *tree.children(recursive=True)]:
                if process.is_running():
                    process.send_signal(signal.SIGKILL)


def tls_options(certificates: Path) -> list[str]:
    """Return the TLS options of `dask scheduler` and `dask worker`."""
    files = {"ca-file": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
    return [f"--tls-{option}={certificates / file}" for option, file in files.items()]


def make_certificates(folder: Path) -> Path:
    """Write ca.pem, cert.pem and key.pem of a new certificate, its own authority, to ``folder``."""
    folder.mkdir()
    made = Security.temporary()
    (folder / "ca.pem").write_text(made.tls_ca_file)
    (folder / "cert.pem").write_text(made.tls_worker_cert)
    (folder / "key.pem").write_text(made.tls_worker_key)
    return folder

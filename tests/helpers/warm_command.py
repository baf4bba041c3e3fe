"""The real command in forks of a process that has already imported torch, nnU-Net and Dask.

Each run is a separate process, which can be killed, but starts at once instead of within seconds:
a test can kill a training dozens of times. So do the Dask workers that a run starts, and those of
the command ``dask``. Run as a script, this file is the forking process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from typing import Any, Literal

import psutil

if __package__:
    from .command import environment


AHEAD = (
    *("app.training.terminal", "app.prediction.predict", "nnunet.trainer", "nnunet.planning"),
    *("app.cohort.terminal", "app.remote.actor"),
)
"""Modules to import before a fork."""
Program = Literal["bayes-nnunet", "dask"]


class WarmCommand:
    """Launcher of ``bayes-nnunet`` in forks; close it when done."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def start(
        self,
        *arguments: object,
        folder: Path,
        largest_file: int = -1,
        program: Program = "bayes-nnunet",
    ) -> Run:
        """Start a run that prints into ``folder`` with files of at most ``largest_file`` bytes."""
        pid = self._ask("start", program, list(map(str, arguments)), str(folder), largest_file)
        return Run(self, pid, folder)

    def run(self, *arguments: object, folder: Path, largest_file: int = -1) -> Run:
        """Start a run and wait for its end."""
        run = self.start(*arguments, folder=folder, largest_file=largest_file)
        run.wait()
        return run

    def close(self) -> None:
        """End the forking process, after all runs have ended."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()

    def _ask(self, *request: Any) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


class Run:
    """One run of the command."""

    def __init__(self, command: WarmCommand, pid: int, folder: Path) -> None:
        self._command = command
        self._folder = folder
        self.pid = pid
        self.code: int | None = None

    @property
    def output(self) -> str:
        """Standard output so far."""
        return (self._folder / "stdout").read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        """Standard error so far."""
        return (self._folder / "stderr").read_text(encoding="utf-8")

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended; ``code`` is then its exit status, negative for a signal."""
        if self.code is None:
            self.code = self._command._ask("poll", self.pid)
        return self.code is not None

    def send(self, number: int) -> None:
        """Send a signal to the process only."""
        os.kill(self.pid, number)

    def send_to_all(self, number: int) -> None:
        """Send a signal to the process and its children, as a terminal does."""
        os.killpg(self.pid, number)

    def wait_for_children(self, *, seconds: float = 60) -> None:
        """Wait until all processes of the run have ended."""
        end = time.monotonic() + seconds
        while any(_is_alive(process, self.pid) for process in psutil.process_iter()):
            assert time.monotonic() < end
            time.sleep(0.05)

    def wait(self, until: Callable[[], bool] = lambda: False, *, seconds: float = 1200) -> None:
        """Wait until a condition is true or the run has ended."""
        end = time.monotonic() + seconds
        while not (self.has_ended or until()):
            assert time.monotonic() < end, f"{self.output}\n{self.errors}"
            time.sleep(0.005)

    def wait_for(self, text: str) -> None:
        """Wait until the run has printed ``text``."""
        self.wait(lambda: text in self.output)
        assert text in self.output, self.errors

    def wait_a_moment(self, seconds: float) -> None:
        """Wait for some seconds, or until the run has ended."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= end)

    def kill(self) -> None:
        """Kill the run and wait for its end."""
        if not self.has_ended:
            self.send(signal.SIGKILL)
        self.wait()


def _is_alive(process: psutil.Process, group: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    return False


def serve() -> None:
    """Answer requests on the standard input until it is closed."""
    for module in AHEAD:
        importlib.import_module(f"napari_bayes_nnunet.{module}")
    importlib.import_module("nnunetv2.run.run_training")
    importlib.import_module("distributed.cli.dask_worker")
    mains = {
        "bayes-nnunet": importlib.import_module("napari_bayes_nnunet.cli").main,
        "dask": importlib.import_module("dask.cli").run_cli,
    }
    for line in sys.stdin:
        name, *request = json.loads(line)
        if name == "poll":
            answer = _poll(*request)
        else:
            program, *rest = request
            answer = _fork(program, mains[program], *rest)
        print(json.dumps(answer), flush=True)


def _fork(
    program: Program, main: Any, arguments: list[str], folder: str, largest_file: int
) -> int | None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [os.open(f"{folder}/{name}", flags, 0o644) for name in ("stdout", "stderr")]
    pid = os.fork()
    if pid:
        for file in files:
            os.close(file)
        return pid
    import resource

    os.setsid()
    for number, file in zip((1, 2), files, strict=True):
        os.dup2(file, number)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.argv = [program, *arguments]
    code: Any = 1
    try:
        if program == "dask":
            logging.getLogger("distributed").setLevel(logging.DEBUG)
            sys.path.insert(0, str(Path(__file__).parents[2]))  # the tests give workers functions
            os.chdir(folder)
        if program == "dask" or "predict" in arguments:
            _fork_workers()
        main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _fork_workers() -> None:
    """Make Dask fork the workers of this process, from a process that has no threads yet."""
    import dask

    if sys.version_info >= (3, 14):  # whose server needs a key
        return
    resource_tracker.ensure_running()
    address = connection.arbitrary_address("AF_UNIX")
    alive, keeps_alive = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        pid = os.fork()
        if not pid:
            os.close(keeps_alive)
            try:
                forkserver.main(listener.fileno(), alive, None)
            finally:
                os._exit(0)
    os.close(alive)
    server = forkserver._forkserver
    server._forkserver_address = address
    server._forkserver_alive_fd = keeps_alive
    server._forkserver_pid = pid
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})


def _poll(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    serve()

"""The real command in forks of a process that has already imported torch, nnU-Net and Dask.

Each run is a separate process, which can be killed, but starts at once instead of within seconds:
a test can kill a training dozens of times. So do the Dask workers that a run starts, and those of
the command ``dask``. Run as a script, this file is the forking process. Three things differ from a
start by a user: modules are imported already, files are not synced, and two files of nnU-Net that
take long and that nothing reads are empty: the figure of the progress, and debug.json with the text
of all weights.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from typing import Any

import psutil

if __package__:
    from .command import environment


AHEAD = (
    *("app.training.terminal", "app.training.validation", "app.prediction.predict"),
    *("app.cohort.terminal", "app.remote.ensemble", "paper.trajectory.output_files"),
    *("nnunet.trainer", "nnunet.planning"),
)
"""Modules of the package to import before a fork."""
ALSO_AHEAD = ("nnunetv2.run.run_training", "setuptools", "distributed.cli.dask_worker")
"""Other modules to import; nnU-Net imports the second one when it preprocesses."""
PROGRAMS = {"bayes-nnunet": "napari_bayes_nnunet.cli:main", "dask": "dask.cli:run_cli"}
"""Name of a program → the function that it calls."""


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
        program: str = "bayes-nnunet",
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Run:
        """Start a run that prints into ``folder`` with files of at most ``largest_file`` bytes.

        ``program`` is one of `PROGRAMS` or, as its values, a function, perhaps in ``tests``. It
        runs in ``cwd`` with ``variables`` added to its environment.
        """
        options = {
            "folder": str(folder),
            "largest_file": largest_file,
            "program": program,
            "cwd": str(cwd or (folder if program == "dask" else Path.cwd())),
            "variables": dict(variables or {}),
        }
        return Run(self, self._ask("start", list(map(str, arguments)), options), folder)

    def run(self, *arguments: object, **options: Any) -> Run:
        """Start a run, see ``start``, and wait for its end."""
        run = self.start(*arguments, **options)
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
    _prepare()
    for line in sys.stdin:
        name, *request = json.loads(line)
        answer = _poll(*request) if name == "poll" else _fork(*request)
        print(json.dumps(answer), flush=True)


def _prepare() -> None:
    """Import what the programs import; torch must not compute before a fork."""
    sys.path.insert(0, str(Path(__file__).parents[3]))  # for functions of the tests
    for module in (*(f"napari_bayes_nnunet.{name}" for name in AHEAD), *ALSO_AHEAD):
        importlib.import_module(module)
    from nnunetv2.training.logging.nnunet_logger import LocalLogger
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    LocalLogger.plot_progress_png = lambda self, folder: Path(folder, "progress.png").touch()
    nnUNetTrainer._save_debug_information = lambda self: Path(
        self.output_folder, "debug.json"
    ).touch()
    os.fsync = lambda file: None  # as in the tests themselves
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all of these modules


def _fork(arguments: list[str], options: dict[str, Any]) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    folder, program = options["folder"], options["program"]
    files = [os.open(f"{folder}/{name}", flags, 0o644) for name in ("stdout", "stderr")]
    pid = os.fork()
    if pid:
        for file in files:
            os.close(file)
        return pid
    import resource

    os.setsid()
    for number, file in enumerate([os.open(os.devnull, os.O_RDONLY), *files]):
        os.dup2(file, number)
    largest_file = options["largest_file"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    os.chdir(options["cwd"])
    os.environ.update(options["variables"])
    sys.argv = [program, *arguments]
    code: Any = 1
    try:
        if program == "dask":
            logging.getLogger("distributed").setLevel(logging.DEBUG)
        if program == "dask" or "predict" in arguments:
            _fork_workers()
        module, _, name = PROGRAMS.get(program, program).partition(":")
        getattr(importlib.import_module(module), name)()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
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

"""Training process that is started by the window and outlives it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core.command import BAYES_NNUNET
from ...core.fields import to_arguments
from ...core.problems import Action, Statement, statement
from ...io.dataset.raw_dataset import format_label_names
from ...io.ensemble.run_folder import RunFolder
from .. import AppError
from .process_record import read_process_record
from .progress_file import end_in, last_messages, messages_in
from .request import TrainingRequest

DIED_AT_START = "The training could not start ({reason}). See {file} for details."
ENDED_AT_START = "The training could not start ({reason})."
STOPPED_AT_START = "Stopped before training began."


def command_arguments(request: TrainingRequest) -> list[str]:
    """Return the arguments of ``bayes-nnunet train`` for the request."""
    names = ["--labels", format_label_names(request.labels)] if request.labels else []
    return [*to_arguments(request, every=False), *names, "--", str(request.dataset)]


def start_training(
    request: TrainingRequest, *, command: Sequence[str] = BAYES_NNUNET
) -> StartedTraining:
    """Start the training in a process that outlives this one.

    ``command`` is followed by ``train --jsonl`` and its arguments. Raises AppError if the program
    is missing. Any other error is reported by the process, see ``refusal``.
    """
    output = Path(os.path.abspath(request.output))
    dataset = Path(os.path.abspath(request.dataset))
    arguments = command_arguments(replace(request, output=output, dataset=dataset))
    handle, name = tempfile.mkstemp(prefix="bayes-nnunet-", suffix=".log")
    try:
        process = subprocess.Popen(
            [*command, "train", "--jsonl", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            # Unbuffered, so that what it printed stands before the traceback that ends it.
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
            **_detachment(),
        )
    except OSError as error:
        Path(name).unlink()
        raise AppError(
            "The training could not start, because {command} cannot be run ({reason}). Check the "
            "installation.",
            command=command[0],
            reason=error.strerror,
        ) from error
    finally:
        os.close(handle)
    return StartedTraining(process, printed=Path(name), run=RunFolder(output))


def _detachment() -> dict[str, Any]:
    """Return options of Popen that protect the child from Ctrl-C and from a closed terminal."""
    if sys.platform == "win32":
        # With DETACHED_PROCESS there is no console, so every child would open a window.
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


class StartedTraining:
    """A training that this process started.

    In the first second, before the process is recorded in the run folder, ``read_run_state`` still
    describes the previous training. A thread waits for the end of the process, so that the process
    does not become a zombie.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, printed: Path, run: RunFolder) -> None:
        self.run = run
        self._process = process
        self._printed = printed
        self._refusal: Statement | str | None = None
        self._is_ended_early = False
        self._waiter = threading.Thread(target=self._wait_for_end, daemon=True)
        self._waiter.start()

    @property
    def pid(self) -> int:
        """Process number of the training."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return not self._waiter.is_alive()

    @property
    def has_begun(self) -> bool:
        """Whether the run folder records the process, so that ``read_run_state`` describes it."""
        with suppress(OSError):
            info = read_process_record(self.run)
            return info is not None and info.is_here and info.pid == self.pid
        return False

    def wait(self, seconds: float | None = None) -> bool:
        """Wait at most ``seconds`` for the end of the process; return if it has ended."""
        self._waiter.join(seconds)
        return self.has_ended

    def end_early(self) -> bool:
        """End the process if the run folder does not record it yet; return whether that was done.

        Until then it deletes RUN/stop as that of an earlier training, and has nothing to lose.
        """
        if self.has_ended or self.has_begun:
            return False
        self._is_ended_early = True
        self._process.terminate()
        return True

    def refusal(self) -> Statement | str | None:
        """Return why the training ended at once; None while it runs, or if a message says why.

        For example, another training runs in the folder, or the dataset is missing.
        """
        return self._refusal if self.has_ended else None

    @property
    def is_ended_early(self) -> bool:
        """Whether `end_early` ended the process."""
        return self._is_ended_early

    def _wait_for_end(self) -> None:
        code, printed = self._process.wait(), b""
        with suppress(OSError):  # the system may have emptied the temporary folder
            printed = self._printed.read_bytes()
        self._refusal, keep = self._last_words(code, printed)
        if not keep:
            with suppress(OSError):  # on Windows a grandchild may still have the file open
                self._printed.unlink()

    def _last_words(self, code: int, printed: bytes) -> tuple[Statement | str | None, bool]:
        """Return the refusal, and whether it names the output file, which must then be kept."""
        begun = self.has_begun
        if code == 0 or (begun and self._has_reported_its_end()):
            return None, False
        if end := end_in(messages_in(printed)):
            return end.sentence, False
        if begun:  # its output is in its log, and the state of the folder describes its end
            return None, False
        if self._is_ended_early:
            continued = self.run.record.exists()  # as the state of the folder still says
            return None if continued else statement(STOPPED_AT_START, Action.START_AGAIN), False
        if text := printed.decode("utf-8", errors="replace").strip():
            last = text.splitlines()[-1].strip().rstrip(".")
            return DIED_AT_START.format(reason=last, file=self._printed), True
        return ENDED_AT_START.format(
            reason=f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        ), False

    def _has_reported_its_end(self) -> bool:
        with suppress(OSError):
            return end_in(last_messages(self.run.progress)) is not None
        return False

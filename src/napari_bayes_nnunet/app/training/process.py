"""The process that trains: started by the window, and not ended with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...core.command import BAYES_NNUNET
from ...core.ensemble.schedule import UNUSED, RestartSchedule
from ...io.ensemble.run_folder import RunFolder
from .. import AppError
from .process_record import read_process_record
from .progress_file import end_in, last_messages
from .request import TrainingRequest


def arguments(request: TrainingRequest) -> list[str]:
    """What follows ``bayes-nnunet train`` on the command line that says the same."""
    flags: list[str] = []
    for flag, value in _flags(request):
        if value is True:
            flags.append(flag)
        elif value is not None and value is not False:
            flags += [flag, str(value)]
    return [*flags, "--", str(request.dataset)]


def _flags(request: TrainingRequest) -> Iterator[tuple[str, Any]]:
    """Every flag with its value; None and False are not said."""
    for name in (
        *("output", "configuration", "fold", "preset", "batch_size", "iterations_per_epoch"),
        *("dropout", "split", "patient", "seed", "licence", "resume", "add_cycle"),
        "keep_trajectory",
    ):
        yield "--" + name.replace("_", "-"), getattr(request, name)
    yield "--device", request.device if request.device != "auto" else None
    yield "--num-gpus", request.num_gpus if request.num_gpus != 1 else None
    if request.schedule:
        yield from _schedule_flags(request.schedule)
    if request.selection:
        yield "--members-per-cycle", request.selection.per_cycle
        yield "--member-step", request.selection.step


def _schedule_flags(schedule: RestartSchedule) -> Iterator[tuple[str, Any]]:
    values = asdict(schedule)
    values.pop("added_cycles")  # those stand in the run folder
    yield "--schedule", values.pop("shape")
    for name in UNUSED.get(schedule.shape, ()):
        values.pop(name)
    if "restart_first_cycle" in values:
        yes = values.pop("restart_first_cycle")
        yield "--restart-first-cycle" if yes else "--no-restart-first-cycle", True
    yield from (("--" + name.replace("_", "-"), value) for name, value in values.items())


def start(request: TrainingRequest, *, command: Sequence[str] = BAYES_NNUNET) -> StartedTraining:
    """Start the training in a process that goes on when this one ends.

    ``command`` is followed by ``train`` and its arguments. Raises AppError when there is no such
    program; all else that is wrong is in the words of the process, see ``complaint``.
    """
    output = Path(os.path.abspath(request.output))
    dataset = Path(os.path.abspath(request.dataset))
    words = arguments(replace(request, output=output, dataset=dataset))
    handle, name = tempfile.mkstemp(prefix="bayes-nnunet-", suffix=".log")
    try:
        process = subprocess.Popen(
            [*command, "train", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=handle,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            **_apart(),
        )
    except OSError as error:
        Path(name).unlink()
        raise AppError(
            "The training could not start: {command}: {strerror}. Check the installation.",
            command=command[0],
            strerror=error.strerror,
        ) from error
    finally:
        os.close(handle)
    return StartedTraining(process, errors=Path(name), run=RunFolder(output))


def _apart() -> dict[str, Any]:
    """Keeps what ends this process, such as Ctrl-C or a closed terminal, away from the child."""
    if sys.platform == "win32":
        # Not DETACHED_PROCESS: every child of a process without a console would open a window.
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


class StartedTraining:
    """A training that this process started.

    Until it has entered itself into the run folder, about a second, ``state_of`` speaks of the
    training before. A thread waits for its end, so that nobody has to ask for the sake of asking.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, errors: Path, run: RunFolder) -> None:
        self.run = run
        self._process = process
        self._errors = errors
        self._complaint: str | None = None
        self._waiter = threading.Thread(target=self._wait_for_end, daemon=True)
        self._waiter.start()

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return not self._waiter.is_alive()

    @property
    def has_begun(self) -> bool:
        """Whether it was let into the run folder; from then on ``state_of`` speaks of it."""
        with suppress(OSError):
            info = read_process_record(self.run)
            return info is not None and info.is_here and info.pid == self.pid
        return False

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end, at most so many seconds; whether it has ended."""
        self._waiter.join(seconds)
        return self.has_ended

    def complaint(self) -> str | None:
        """Why it ended at once, in a sentence; None while it runs, or when a message says it.

        Such as that another training runs in the folder, or that the dataset is missing.
        """
        return self._complaint if self.has_ended else None

    def _wait_for_end(self) -> None:
        code, text = self._process.wait(), ""
        with suppress(OSError):  # a tidy computer may have emptied its temporary folder
            text = self._errors.read_text(encoding="utf-8", errors="replace").strip()
        self._complaint, keep = self._last_words(code, text)
        if not keep:
            with suppress(OSError):  # of Windows, where a grandchild may still have it open
                self._errors.unlink()

    def _last_words(self, code: int, text: str) -> tuple[str | None, bool]:
        """The complaint, and whether it names the file of errors."""
        begun = self.has_begun
        if code == 0 or (begun and self._has_said_its_end()):
            return None, False
        if error := re.search(r"^Error: (.+)\Z", text, re.MULTILINE | re.DOTALL):
            return error[1], False
        if begun:  # what it printed then is in its log, and the state of the folder tells the rest
            return None, False
        if text:
            last = text.splitlines()[-1].strip().rstrip(".")
            return f"The training could not start: {last}. Details are in {self._errors}.", True
        how = f"it was killed (signal {-code})" if code < 0 else f"exit code {code}"
        return f"The training could not start: {how}.", False

    def _has_said_its_end(self) -> bool:
        with suppress(OSError):
            return end_in(last_messages(self.run.progress)) is not None
        return False

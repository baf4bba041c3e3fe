"""Connection to the inference child on another computer, which the system's ssh starts."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeGuard, cast

from ... import __version__
from ...core.problems import Action, Statement, statement
from ...io.ensemble.ensemble_files import ensemble_files
from ...io.ensemble.ensemble_folder import EnsembleFolder, find_ensemble
from ...io.ensemble.fingerprint import fingerprint
from ...io.files.limits import LARGEST_TEXT
from .. import AppError
from ..messages import (
    ChildReady,
    EnsembleFile,
    EnsembleLoaded,
    EnsembleMissing,
    JobEnded,
    LoadEnsemble,
    Message,
    Notice,
    PhaseDone,
    SegmentImage,
    StageStarted,
    from_line,
    text_fields,
)
from .device import RemoteDevice
from .stream import read_messages, write_message

NO_SSH: Final = "The program ssh could not be started ({reason}). Install the OpenSSH client."
SSH_FAILED: Final = 255
"""Exit code of ssh itself; all others are those of the command on the other computer."""
UNREACHABLE: Final = (
    "ssh could not connect to {address} ({reason}). In a terminal, connect to it with ssh until it "
    "lets you in without a question."
)
NO_PACKAGE: Final = (
    "{command} could not be started on {address} ({reason}). Install version {version} of "
    "napari-bayes-nnunet there, or name the command that starts it."
)
OTHER_PACKAGE: Final = (
    "{address} has version {there} of napari-bayes-nnunet, but this computer has {here}. Install "
    "the same version on both."
)
CONNECTION_LOST: Final = "The connection to {address} was lost ({reason})."
ENSEMBLE_LOST: Final = (
    "{address} does not find the ensemble that was sent. Try again, or name its path there."
)
SENDING: Final = "The ensemble is sent to {address}, which keeps it ({size:.0f} MB)."
_LAST_LINES: Final = 5
_ENDS_WITHIN: Final = 2.0
"""Seconds for ssh to end once its connection is closed."""


class RemoteConnection:
    """Connection to another computer, whose child answers as the one here.

    Files of its answers are written into the folder ``scratch``. Raises AppError if ssh cannot
    connect, or if there is no such version of this package.
    """

    def __init__(self, device: RemoteDevice, scratch: Path) -> None:
        self.device, self._scratch = device, scratch
        self._is_ready = False
        self._writing = threading.Lock()
        command = device.serve_command
        try:
            self._ssh = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C then ends only this process, which closes ssh
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # exists on Windows only
            )
        except OSError as error:
            raise AppError(NO_SSH, reason=error.strerror or error) from error
        self._requests, self._replies = cast(Any, self._ssh.stdin), cast(Any, self._ssh.stdout)
        self._errors: deque[bytes] = deque(maxlen=_LAST_LINES)
        # Read all the time, because ssh waits once the pipe of its errors is full.
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._messages = read_messages(self._replies, scratch)
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether ssh still runs."""
        return self._ssh.poll() is None

    def send(self, message: Message) -> None:
        """Send a message with its files. Raises AppError if the connection is lost."""
        try:
            with self._writing:
                write_message(self._requests, message)
        except (BrokenPipeError, ValueError) as error:  # ValueError after the connection is closed
            raise self._lost() from error

    def ask(self, request: LoadEnsemble | SegmentImage) -> Iterator[Message]:
        """Send a request for an ensemble of this computer, and yield the answers to it.

        The ensemble is sent first if the other computer lacks it. The last answer is that the
        ensemble is loaded, or the end of the job. Raises AppError, also if the ensemble cannot be
        loaded, and DataError if it is not one; after an error the connection is closed.
        """
        try:
            local = find_ensemble(Path(request.folder))
            folder = self.device.folder or request.folder
            there = replace(request, folder=folder, fingerprint=fingerprint(local))
            self.send(there)
            is_sent = False
            while True:
                reply = self._receive()
                if isinstance(reply, EnsembleMissing):
                    if is_sent:
                        raise AppError(ENSEMBLE_LOST, address=self.device.address)
                    is_sent = True
                    yield from self._send_ensemble(local, there.fingerprint)
                    self.send(there)
                elif isinstance(reply, EnsembleLoaded):
                    if reply.fingerprint != there.fingerprint:  # that of an earlier request
                        continue
                    # The other computer has no paths of this one, so it names members by number.
                    refused = {str(local.members[int(n)].path): w for n, w in reply.refused.items()}
                    yield EnsembleLoaded(folder=request.folder, refused=refused)
                    if isinstance(request, LoadEnsemble):
                        return
                elif isinstance(reply, PhaseDone):
                    device = f"{reply.report.get('device')} on {self.device.address}"
                    yield replace(reply, report={**reply.report, "device": device})
                elif isinstance(reply, JobEnded):
                    if isinstance(request, LoadEnsemble) or reply.job != request.job:
                        raise error_of(reply)
                    yield reply
                    return
                elif not isinstance(reply, ChildReady):
                    yield reply
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, which stops what runs there."""
        with suppress(OSError):
            self._requests.close()
        try:
            self._ssh.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._ssh.kill()
            self._ssh.wait()
        self._listener.join(_ENDS_WITHIN)
        self._replies.close()

    def _listen(self) -> None:
        with cast(Any, self._ssh.stderr) as errors:
            self._errors.extend(errors)

    def _send_ensemble(self, local: EnsembleFolder, known_by: str) -> Iterator[Message]:
        files, address = ensemble_files(local), self.device.address
        size = sum(file.stat().st_size for file in files.values()) / 1e6
        yield Notice(**text_fields(statement(SENDING, address=address, size=size)))
        for done, (name, file) in enumerate(files.items(), start=1):
            text = f"Sending the ensemble to {address}, file {done} of {len(files)}"
            yield StageStarted(text=text)
            is_last = done == len(files)
            self.send(
                EnsembleFile(fingerprint=known_by, name=name, content=str(file), is_last=is_last)
            )

    def _wait_until_ready(self) -> None:
        """Wait for the first message, which follows what the shell there may print."""
        while line := self._replies.readline(LARGEST_TEXT):
            with suppress(AppError):
                ready = from_line(line.decode(errors="replace"))
                if isinstance(ready, ChildReady):
                    break
        else:
            raise self._lost()
        self._is_ready = True
        if ready.version != __version__:
            address = self.device.address
            raise AppError(OTHER_PACKAGE, address=address, there=ready.version, here=__version__)

    def _receive(self) -> Message:
        """Return the next message of the other computer. Raises AppError if there are no more."""
        with suppress(EOFError, OSError, StopIteration):
            return next(self._messages)
        raise self._lost()

    def _lost(self) -> AppError:
        """Return the error of a connection that has ended, with the last line from ssh."""
        self.close()
        code = self._ssh.returncode
        lines = [line.decode(errors="replace").strip() for line in self._errors]
        reason = next(filter(None, reversed(lines)), f"exit code {code}").rstrip(".")
        address = self.device.address
        if self._is_ready:
            return AppError(CONNECTION_LOST, Action.START_AGAIN, address=address, reason=reason)
        if code == SSH_FAILED:
            return AppError(UNREACHABLE, address=address, reason=reason)
        command = self.device.serve_command[-1].removesuffix(" serve")
        return AppError(
            NO_PACKAGE, command=command, address=address, reason=reason, version=__version__
        )


def is_about_connection(failure: Statement | str) -> TypeGuard[Statement]:
    """Return whether a failure is that of the connection to another computer."""
    templates = (UNREACHABLE, CONNECTION_LOST)
    return isinstance(failure, Statement) and failure.template in templates


def error_of(end: JobEnded) -> AppError:
    """Return the error with which a job ended."""
    words = end.sentence
    if isinstance(words, Statement):
        return AppError.from_statement(words)
    return AppError("{sentence}", sentence=words)

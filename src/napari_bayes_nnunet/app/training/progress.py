"""Messages of a training in RUN/progress.jsonl, and the progress that they report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path

from ...core.problems import Statement
from .. import AppError
from ..messages import (
    EpochDone,
    JobEnded,
    Message,
    Notice,
    StageStarted,
    TrainingStarted,
    from_line,
)

LAST_BYTES = 65536
"""More than the last hundred epochs of a training."""
FIRST_LOG_BYTES = 200_000
"""Length of the end of a log that is read first."""


def append_message(file: Path, message: Message) -> None:
    """Append a message as one line, so that a reader always sees whole lines."""
    line = (message.to_line() + "\n").encode()
    with file.open("a+b", buffering=0) as stream:
        # A kill or a full disk may have left half a line, which must not be continued.
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 1))
        stream.write(line if stream.read(1) in (b"", b"\n") else b"\n" + line)


def messages_in(lines: bytes) -> list[Message]:
    """Return the messages of the lines, without those that are damaged or of an unknown kind."""
    messages = []
    for line in lines.split(b"\n"):
        try:
            messages.append(from_line(line.decode("utf-8", errors="replace")))
        except AppError:  # cut short by a kill, or written by a newer version
            continue
    return messages


def last_messages(file: Path) -> list[Message]:
    """Return the last messages of the file, [] if it is missing. Raises OSError."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - LAST_BYTES))
            # The first line may be cut, and is then left out.
            return messages_in(stream.read())
    except FileNotFoundError:
        return []


def end_in(messages: Sequence[Message]) -> JobEnded | None:
    """Return the end of the job that wrote the messages, None if it still runs or died."""
    last = messages[-1] if messages else None
    return last if isinstance(last, JobEnded) else None


def unreachable(folder: Path, error: OSError) -> AppError:
    """Return the error for a folder that cannot be read."""
    return AppError(
        "{folder} cannot be read ({reason}). Check that its drive is connected.",
        folder=folder,
        reason=error.strerror or type(error).__name__,
    )


def log_text(lines: bytes) -> str:
    """Return lines of a log; a progress bar, redrawn in one line, gives its last state."""
    text = lines.decode("utf-8", errors="replace").replace("\r\n", "\n")
    return "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))


LARGEST_BYTES = 1 << 26
"""Of a longer file, as a stranger's run may have, only the end is read."""


class FileTail:
    """Reader of the whole lines that were added to a file since the last reading.

    One reading returns at most the last ``limit`` bytes.
    """

    def __init__(self, file: Path, *, limit: int | None = None) -> None:
        self._file, self._limit = file, limit
        self._lines = b""
        self._version: tuple[int, int, int] | None = None

    def read(self) -> tuple[bytes, bool]:
        """Return the new lines, and whether lines read before are void, as the file begins again.

        Raises AppError if the folder cannot be reached.
        """
        try:
            status = self._file.stat()
            version = status.st_ino, status.st_size, status.st_mtime_ns
            # The folder may be on a slow drive, and the file has thousands of lines.
            if version == self._version:
                return b"", False
            with self._file.open("rb") as stream:
                stream.seek(max(0, status.st_size - LARGEST_BYTES))
                content = stream.read(LARGEST_BYTES)
        except FileNotFoundError as error:
            if self._lines and not self._file.parent.exists():
                raise unreachable(self._file.parent, error) from error
            version, content = None, b""
        except OSError as error:
            raise unreachable(self._file.parent, error) from error
        before, self._version = self._lines, version
        self._lines = content[: content.rfind(b"\n") + 1]
        # Another file is known by its content, as file systems soon use an inode again.
        restarted = not self._lines.startswith(before)
        new = self._lines if restarted else self._lines[len(before) :]
        if self._limit is not None and len(new) > self._limit:
            # From the first whole line on.
            new = new[-self._limit :].partition(b"\n")[2]
        return new, restarted


NO_STAGE = StageStarted(text="")


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Progress of the last training in a run folder, as its messages report it.

    ``fold`` is "", ``epochs`` and ``cycles`` are 0 until they are known; they include added
    cycles. ``stage`` is the current activity, without text after the end. ``validation_cases`` are
    measured after the epochs. ``eta_seconds`` and ``memory_bytes`` are the last reported values,
    None if they are outdated. ``ended`` is None while the training runs. ``reports_of`` has the
    finished epochs of every fold.
    """

    fold: str = ""
    epochs: int = 0
    cycles: int = 0
    stage: StageStarted = NO_STAGE
    validation_cases: int = 0
    eta_seconds: float | None = None
    memory_bytes: int | None = None
    ended: JobEnded | None = None
    notices: tuple[Statement | str, ...] = ()
    reports_of: Mapping[str, tuple[EpochDone, ...]] = field(default_factory=dict)

    @property
    def reports(self) -> tuple[EpochDone, ...]:
        """Finished epochs of the current fold in order, from 0 even after a resume."""
        return self.reports_of.get(self.fold, ())

    @property
    def members(self) -> int:
        """Number of finished epochs that became members."""
        return sum(report.member for report in self.reports)


NOTHING_YET = TrainingProgress()


def progress_of(
    messages: Iterable[Message], before: TrainingProgress = NOTHING_YET
) -> TrainingProgress:
    """Return the progress after further messages."""
    return reduce(_after, messages, before)


def _after(progress: TrainingProgress, message: Message) -> TrainingProgress:
    if isinstance(message, JobEnded):
        return replace(progress, ended=message, stage=NO_STAGE, eta_seconds=None, memory_bytes=None)
    if progress.ended:  # another training has started
        progress = replace(progress, ended=None, notices=())
    if isinstance(message, StageStarted):
        return replace(progress, stage=message, eta_seconds=message.eta_seconds)
    if isinstance(message, Notice):
        return replace(progress, notices=(*progress.notices, message.sentence))
    if isinstance(message, TrainingStarted):
        return replace(
            progress,
            fold=message.fold,
            epochs=message.epochs,
            cycles=message.cycles,
            validation_cases=message.validation_cases,
            reports_of=_up_to(progress, message.fold, message.epoch),
        )
    if isinstance(message, EpochDone):
        return replace(
            progress,
            fold=message.fold,
            reports_of=_up_to(progress, message.fold, message.epoch, message),
            eta_seconds=message.eta_seconds,
            memory_bytes=message.memory_bytes,
        )
    return progress


def _up_to(
    progress: TrainingProgress, fold: str, epoch: int, *new: EpochDone
) -> dict[str, tuple[EpochDone, ...]]:
    """Return the reports, those of ``fold`` only before ``epoch`` and with the ``new`` ones."""
    reports = progress.reports_of.get(fold, ())
    if reports and reports[-1].epoch >= epoch:  # not after every epoch, of which there are 1200
        reports = tuple(report for report in reports if report.epoch < epoch)
    return {**progress.reports_of, fold: (*reports, *new)}

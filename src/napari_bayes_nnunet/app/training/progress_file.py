"""The file of a training's messages, RUN/progress.jsonl: one JSON message a line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...io.ensemble.run_folder import RunFolder
from .. import AppError
from ..messages import JobEnded, Message, from_line

LAST_BYTES = 65536
"""More than the last hundred epochs of a training."""


class ProgressFile:
    """The file of messages. Who follows it sees whole lines, one a message."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def append(self, message: Message) -> None:
        """Write a message at the end."""
        line = (message.to_line() + "\n").encode()
        with self._file.open("a+b", buffering=0) as file:
            # A kill or a full disk may have left half a line, which this must not lengthen.
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            file.write(line if file.read(1) in (b"", b"\n") else b"\n" + line)


def messages_in(lines: bytes) -> list[Message]:
    """The messages of the lines; those that are damaged or of an unknown kind are left out."""
    messages = []
    for line in lines.split(b"\n"):
        try:
            messages.append(from_line(line.decode("utf-8", errors="replace")))
        except AppError:  # cut short by a kill, or of a newer version
            continue
    return messages


def last_messages(file: Path) -> list[Message]:
    """The messages at the end of the file, [] without it. Raises OSError."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - LAST_BYTES))
            return messages_in(stream.read())
    except FileNotFoundError:
        return []


def end_in(messages: Sequence[Message]) -> JobEnded | None:
    """How the job ended that wrote these messages, None while it goes on or when it died."""
    last = messages[-1] if messages else None
    return last if isinstance(last, JobEnded) else None


def unreachable(folder: Path, error: OSError) -> AppError:
    """The sentence for a folder that cannot be read."""
    reason = error.strerror or type(error).__name__
    return AppError(
        "{folder} cannot be read at the moment: {reason}. Check that its drive is connected.",
        folder=folder,
        reason=reason,
    )


FIRST_LOG_BYTES = 200_000
"""How much of the end of a log is shown at first."""
REMEMBERED = 4096
"""Bytes before the place read so far, by which another file of the same name is noticed."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """New messages. ``restarted``: they are all there are, what was read before is void."""

    messages: list[Message]
    restarted: bool


@dataclass(frozen=True, kw_only=True)
class LogUpdate:
    """New text of a log, whole lines. ``restarted``: what was read before is void."""

    text: str
    restarted: bool


class Follower:
    """Follows the messages of a training."""

    def __init__(self, run: RunFolder) -> None:
        self._lines = _NewLines(run.progress)

    def read(self) -> Update:
        """The messages since the last call. Raises AppError for an unreachable folder."""
        lines, restarted = self._lines.read()
        return Update(messages=messages_in(lines), restarted=restarted)


class LogTail:
    """Follows the log of a training, from its last 200 kB on."""

    def __init__(self, run: RunFolder) -> None:
        self._lines = _NewLines(run.log, at_first=FIRST_LOG_BYTES)

    def read(self) -> LogUpdate:
        """The lines since the last call. Raises AppError for an unreachable folder.

        Of a progress bar, which is drawn over and over in one line, the last state is given.
        """
        lines, restarted = self._lines.read()
        text = lines.decode("utf-8", errors="replace").replace("\r\n", "\n")
        last = (line.rpartition("\r")[2] for line in text.split("\n"))
        return LogUpdate(text="\n".join(last), restarted=restarted)


class _NewLines:
    """The whole lines a file has grown by since the last reading; half a line waits.

    Of a file longer than ``at_first`` bytes only so many at its end are read in the beginning.
    """

    def __init__(self, file: Path, *, at_first: int | None = None) -> None:
        self._file = file
        self._at_first = at_first
        self._forget()

    def read(self) -> tuple[bytes, bool]:
        """The new lines, and whether the file is another one, read from its start."""
        try:
            with self._file.open("rb") as stream:
                return self._read(stream)
        except FileNotFoundError as error:
            if self._place and not self._file.parent.exists():
                raise unreachable(self._file.parent, error) from error
            restarted = self._place > 0
            self._forget()
            return b"", restarted
        except OSError as error:
            raise unreachable(self._file.parent, error) from error

    def _forget(self) -> None:
        self._place = 0
        self._before = b""  # what stands before the place
        self._seen = (0, 0, 0)

    def _read(self, stream: BinaryIO) -> tuple[bytes, bool]:
        status = os.fstat(stream.fileno())
        now = status.st_ino, status.st_size, status.st_mtime_ns
        if now == self._seen:
            return b"", False
        restarted = not self._is_the_same(stream, now)
        if restarted:
            self._forget()
        self._seen = now
        lines = self._rest(stream, status.st_size)
        return lines, restarted

    def _is_the_same(self, stream: BinaryIO, now: tuple[int, int, int]) -> bool:
        """Whether the file is the one read before, grown; inodes alone are used again too soon."""
        if not self._place:
            return True
        if now[0] != self._seen[0] or now[1] < self._place:
            return False
        stream.seek(self._place - len(self._before))
        return stream.read(len(self._before)) == self._before

    def _rest(self, stream: BinaryIO, size: int) -> bytes:
        skipped = 0
        if not self._place and self._at_first is not None:
            skipped = max(0, size - self._at_first)
        stream.seek(self._place + skipped)
        new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._place += skipped + len(whole)
        self._before = (self._before + whole)[-REMEMBERED:]
        return whole.partition(b"\n")[2] if skipped else whole

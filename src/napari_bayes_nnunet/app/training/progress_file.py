"""File of a training's messages, RUN/progress.jsonl, with one JSON message per line."""

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
    """The file of messages; a reader always sees whole lines."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def append(self, message: Message) -> None:
        """Append a message."""
        line = (message.to_line() + "\n").encode()
        with self._file.open("a+b", buffering=0) as file:
            # A kill or a full disk may have left half a line, which must not be continued.
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            file.write(line if file.read(1) in (b"", b"\n") else b"\n" + line)


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


FIRST_LOG_BYTES = 200_000
"""Length of the end of a log that is read first."""
REMEMBERED = 4096
"""Bytes before the read position, by which another file of the same name is noticed."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """New messages. ``restarted``: the file begins again, and messages read before are void."""

    messages: list[Message]
    restarted: bool


@dataclass(frozen=True, kw_only=True)
class LogUpdate:
    """New text of a log, in whole lines. ``restarted``: text read before is void."""

    text: str
    restarted: bool


class Follower:
    """Reader of new messages of a training."""

    def __init__(self, run: RunFolder) -> None:
        self._lines = _NewLines(run.progress)

    def read(self) -> Update:
        """Return the messages since the last call. Raises AppError if the folder is unreachable."""
        lines, restarted = self._lines.read()
        return Update(messages=messages_in(lines), restarted=restarted)


class LogTail:
    """Reader of the log of a training, from its last 200 kB on."""

    def __init__(self, run: RunFolder) -> None:
        self._lines = _NewLines(run.log, at_first=FIRST_LOG_BYTES)

    def read(self) -> LogUpdate:
        """Return the lines since the last call. Raises AppError if the folder is unreachable.

        A progress bar, which is redrawn in one line, gives its last state.
        """
        lines, restarted = self._lines.read()
        text = lines.decode("utf-8", errors="replace").replace("\r\n", "\n")
        last = (line.rpartition("\r")[2] for line in text.split("\n"))
        return LogUpdate(text="\n".join(last), restarted=restarted)


class _NewLines:
    """Reader of the whole lines that were added to a file since the last reading.

    The first reading is limited to the last ``at_first`` bytes.
    """

    def __init__(self, file: Path, *, at_first: int | None = None) -> None:
        self._file = file
        self._at_first = at_first
        self._forget()

    def read(self) -> tuple[bytes, bool]:
        """Return the new lines, and if the file is another one, read from its start."""
        try:
            with self._file.open("rb") as stream:
                return self._read(stream)
        except FileNotFoundError as error:
            if self._position and not self._file.parent.exists():
                raise unreachable(self._file.parent, error) from error
            restarted = self._position > 0
            self._forget()
            return b"", restarted
        except OSError as error:
            raise unreachable(self._file.parent, error) from error

    def _forget(self) -> None:
        self._position = 0
        self._before = b""  # the bytes before the position
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
        """Return whether the file is the same one, perhaps longer.

        The inode alone does not show it, because file systems soon use it again.
        """
        if not self._position:
            return True
        if now[0] != self._seen[0] or now[1] < self._position:
            return False
        stream.seek(self._position - len(self._before))
        return stream.read(len(self._before)) == self._before

    def _rest(self, stream: BinaryIO, size: int) -> bytes:
        skipped = 0
        if not self._position and self._at_first is not None:
            skipped = max(0, size - self._at_first)
        stream.seek(self._position + skipped)
        new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._position += skipped + len(whole)
        self._before = (self._before + whole)[-REMEMBERED:]
        return whole.partition(b"\n")[2] if skipped else whole
